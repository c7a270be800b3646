"""Holds the waiting of `result` and `fetch`, on a clock that the test moves."""

from __future__ import annotations

import pytest

from djq.tasks.waiting import Waiter
from djq_testing.clock import ManualClock


class Looks:
    """Finds `found` from the moment `at` on, and counts."""

    def __init__(self, clock, at, found):
        self.clock, self.at, self.found, self.count = clock, at, found, 0

    def __call__(self):
        self.count += 1
        return self.found if self.clock.monotonic() >= self.at else None


def waiting(at, found="found"):
    clock, pauses = ManualClock(), []

    def pause(seconds, _longest):
        pauses.append(seconds)
        clock.advance(seconds)

    return Waiter(clock, pause), Looks(clock, at, found), pauses


@pytest.mark.parametrize("wait", [0, 1_000, -1])
@pytest.mark.parametrize("found", ["found", 0, "", False])
def test_what_is_there_needs_no_pause(wait, found):
    waiter, looks, pauses = waiting(at=0, found=found)

    assert waiter.wait(looks, wait) == found
    assert looks.count == 1
    assert pauses == []


def test_no_wait_is_one_look():
    waiter, looks, pauses = waiting(at=9)

    assert waiter.wait(looks, 0) is None
    assert looks.count == 1
    assert pauses == []


def test_pauses_double_from_1_to_50_milliseconds():
    waiter, looks, pauses = waiting(at=0.25)

    assert waiter.wait(looks, -1) == "found"
    assert pauses == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, *[0.05] * 4]


def test_the_last_look_is_at_the_end_of_the_wait():
    waiter, looks, pauses = waiting(at=0.200)

    assert waiter.wait(looks, 200) == "found"
    assert sum(pauses) == pytest.approx(0.200)


def test_a_wait_ends_in_time():
    waiter, looks, pauses = waiting(at=9)

    assert waiter.wait(looks, 200) is None
    assert sum(pauses) == pytest.approx(0.200)


def test_an_endless_wait_goes_on_for_days():
    waiter, looks, pauses = waiting(at=2 * 86_400)
    waiter = Waiter(looks.clock, lambda *_: looks.clock.advance(hours=1))

    assert waiter.wait(looks, -1) == "found"
    assert looks.count == 49
    assert pauses == []


def test_nobody_looks_again_while_nothing_can_happen():
    clock, looks = ManualClock(), []

    assert Waiter(clock, clock.pause).wait(lambda: looks.append(clock.monotonic()), 60_000) is None
    assert looks == [0, 60]


def test_a_wait_ends_on_a_clock_that_stands_still():
    pauses = []

    def pause(seconds, _longest):
        pauses.append(seconds)
        assert len(pauses) < 100, "it would wait for ever"

    assert Waiter(ManualClock(), pause).wait(lambda: None, 200) is None
    assert 0.15 < sum(pauses) < 0.26


def test_a_slow_look_uses_up_the_wait():
    clock = ManualClock()
    waiter = Waiter(clock, clock.pause)
    looks = []

    def slow_look():
        looks.append(clock.monotonic())
        clock.advance(0.150)

    assert waiter.wait(slow_look, 200) is None
    assert len(looks) == 2
