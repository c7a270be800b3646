"""The clock contract, filled in for the clocks of djq; and what the one that tests move does besides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from djq.runtime.clock import SystemClock
from djq_testing.clock import START, ManualClock
from djq_testing.contract.clock import CallersClockContract, ClockContract
from djq_testing.sim.timeline import SimClock, Timeline


class TestSystemClock(CallersClockContract):
    @pytest.fixture
    def clock(self):
        return SystemClock()


class TestManualClock(CallersClockContract):
    @pytest.fixture
    def clock(self):
        return ManualClock()


class TestSimClock(ClockContract):
    @pytest.fixture
    def timeline(self):
        return Timeline()

    @pytest.fixture
    def clock(self, timeline):
        return SimClock(timeline)

    @pytest.fixture
    def pass_time(self, timeline):
        return lambda seconds: timeline.run(timeline.now + seconds, lambda: False)


def moved(**step):
    clock = ManualClock()
    clock.advance(**step)
    return clock.now() - START


@pytest.mark.parametrize("seconds", [5e-324, 1e-12, 4e-7, 1e-6 / 3, 0.1 + 0.2, 10.0000004])
def test_clock_never_moves_by_less_than_it_is_told(seconds):
    clock = ManualClock()

    clock.advance(seconds)

    assert 0 <= clock.monotonic() - seconds <= 1e-6
    assert clock.monotonic() > 0


@pytest.mark.parametrize("now", [0.0, 1 / 3, 86_400.000001])
@pytest.mark.parametrize("seconds", [1e-7, 0.1, 1 / 3, 9.87654321])
def test_wait_for_what_is_left_comes_to_its_end(now, seconds):
    clock = ManualClock()
    clock.advance(now)
    deadline = clock.monotonic() + seconds

    for _wait in range(2):
        clock.advance(max(deadline - clock.monotonic(), 0))

    assert clock.monotonic() >= deadline


@pytest.mark.parametrize("seconds", [0, 1, 0.1, 1.1, 59.5, 0.000001, 1234.567891])
def test_whole_microseconds_are_moved_by_as_they_are(seconds):
    assert moved(seconds=seconds) == timedelta(seconds=seconds)


def test_clock_moves_by_the_sum_of_what_it_is_told():
    assert moved(seconds=1, minutes=1, hours=1, days=31) == timedelta(days=31, seconds=3_661)


@pytest.mark.parametrize("step", [{"seconds": -1e-7}, {"minutes": 1, "seconds": -61}])
def test_clock_cannot_go_back(step):
    with pytest.raises(ValueError, match="cannot go back"):
        moved(**step)


def test_clock_moves_to_a_moment_and_to_none_that_has_passed():
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))

    clock.advance_to(datetime(2026, 5, 2, tzinfo=UTC))

    assert clock.monotonic() == 86_400
    with pytest.raises(ValueError, match="has passed"):
        clock.advance_to(datetime(2026, 5, 1, tzinfo=UTC))


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_manual_clock_moves_by_what_ends(seconds):
    with pytest.raises(ValueError, match="give numbers that end"):
        ManualClock().advance(seconds)
