"""What every clock has to do: for components a `ClockContract`, for callers a `CallersClockContract`.

    class TestMyClock(CallersClockContract):
        @pytest.fixture
        def clock(self):
            return MyClock()

A clock that nobody can wait on says in the fixture `pass_time` how its time passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from djq.ports import Clock
from djq.runtime.clock import CallersClock

PassTime = Callable[[float], object]
"""Let so many seconds pass."""

SLACK = timedelta(milliseconds=1)
"""The time of day is set right now and then, and passes a little faster or slower meanwhile."""


class ClockContract:
    """Time as components read it."""

    @pytest.fixture
    def clock(self) -> Any:
        """The clock; for components a `Clock`, for callers too a `CallersClock`."""
        raise NotImplementedError(f"{type(self).__name__} must define the fixture clock")

    @pytest.fixture
    def pass_time(self, clock: CallersClock) -> PassTime:
        """Let time pass."""
        return clock.pause

    def test_time_of_day_is_aware_and_utc(self, clock: Clock) -> None:
        assert clock.now().utcoffset() == timedelta()

    def test_measured_time_never_goes_back(self, clock: Clock, pass_time: PassTime) -> None:
        readings = []
        for _ in range(5):
            readings += [clock.monotonic(), clock.monotonic()]
            pass_time(0.001)

        assert readings == sorted(readings)

    def test_both_times_pass(self, clock: Clock, pass_time: PassTime) -> None:
        moment, measured = clock.now(), clock.monotonic()

        pass_time(0.01)

        assert clock.monotonic() - measured >= 0.01 - 1e-9
        assert clock.now() - moment >= timedelta(seconds=0.01) - SLACK

    @pytest.mark.parametrize("seconds", [1e-9, 1e-7, 1 / 300, 0.01 + 0.02])
    def test_wait_for_what_is_left_comes_to_its_end(
        self, clock: Clock, pass_time: PassTime, seconds: float
    ) -> None:
        deadline = clock.monotonic() + seconds

        for _ in range(2):
            pass_time(max(deadline - clock.monotonic(), 0.0))

        assert clock.monotonic() >= deadline


class CallersClockContract(ClockContract):
    """Time as callers wait for it."""

    def test_pause_is_never_shorter_than_asked(self, clock: CallersClock) -> None:
        before = clock.monotonic()

        clock.pause(0.01)

        assert clock.monotonic() - before >= 0.01 - 1e-9

    def test_pause_that_may_be_longer_is_never_longer_than_that(self, clock: CallersClock) -> None:
        before = clock.monotonic()

        clock.pause(0.01, longest=60)

        assert 0.01 - 1e-9 <= clock.monotonic() - before <= 60 + 1e-9

    def test_pause_in_a_coroutine_lets_others_go_on(self, clock: CallersClock) -> None:
        before, done = clock.monotonic(), []

        async def other() -> None:
            done.append("other")

        async def pause() -> None:
            await clock.apause(0.05)
            done.append("paused")

        async def both() -> None:
            await asyncio.gather(pause(), other())

        asyncio.run(both())

        assert done == ["other", "paused"]
        assert clock.monotonic() - before >= 0.05 - 1e-9
