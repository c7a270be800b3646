"""Holds the stop procedure: the documented one, its shorter forms, and that each comes to an end."""

from __future__ import annotations

import attrs
import pytest

from djq.core.closing import PUSHER_SECONDS_MAX, SAVING_SECONDS_MAX, Closing, Facts
from djq.core.lifecycle import ClusterState, Role
from djq.core.protocol import StopLevel

BUSY = Facts(
    pushers=1,
    workers=2,
    monitors=1,
    queued=5,
    unsaved=1,
    is_full=False,
    all_ready=True,
    monitor_silent_seconds=0.0,
)
NOTHING_LEFT = Facts(
    pushers=0,
    workers=0,
    monitors=0,
    queued=0,
    unsaved=0,
    is_full=False,
    all_ready=True,
    monitor_silent_seconds=0.0,
)


def but(**changes):
    return attrs.evolve(BUSY, **changes)


@pytest.fixture
def closing():
    return Closing(stop_timeout=None)


@pytest.fixture
def hurried():
    return Closing(stop_timeout=10.0)


def test_a_cluster_starts_until_everybody_is_ready(closing):
    closing.advance(but(all_ready=False), 1.0)
    before = closing.state
    closing.advance(BUSY, 2.0)

    assert (before, closing.state, closing.since) == (
        ClusterState.STARTING,
        ClusterState.WORKING,
        2.0,
    )


def test_a_cluster_that_nobody_stops_works_on(closing):
    closing.advance(BUSY, 1.0)
    closing.advance(NOTHING_LEFT, 1_000.0)

    assert closing.state is ClusterState.WORKING
    assert closing.next_due() is None


def test_a_stop_goes_through_the_documented_procedure(closing):
    closing.advance(BUSY, 1.0)
    closing.ask(StopLevel.GENTLE, 2.0)
    states = [closing.state]
    for facts in [
        BUSY,
        but(pushers=0),
        but(pushers=0, workers=0),
        but(pushers=0, queued=0),
        but(pushers=0, queued=0, workers=0),
        but(pushers=0, queued=0, workers=0, unsaved=0),
        NOTHING_LEFT,
    ]:
        closing.advance(facts, 3.0)
        states.append(closing.state)

    assert states == [
        ClusterState.HALTING,
        ClusterState.HALTING,
        ClusterState.DRAINING,
        ClusterState.DRAINING,
        ClusterState.DRAINING,
        ClusterState.SAVING,
        ClusterState.SAVING,
        ClusterState.STOPPED,
    ]
    assert closing.cut_short is None


def test_results_that_are_not_saved_keep_the_cluster_from_stopping(closing):
    closing.ask(StopLevel.GENTLE, 0.0)
    closing.advance(attrs.evolve(NOTHING_LEFT, unsaved=1), 1.0)

    assert closing.state is ClusterState.SAVING


def test_a_stop_in_the_middle_of_the_start_is_a_stop(closing):
    assert closing.ask(StopLevel.GENTLE, 1.0)
    assert closing.state is ClusterState.HALTING


def test_the_same_stop_again_is_no_news(closing):
    answers = [
        closing.ask(level, 1.0)
        for level in [StopLevel.GENTLE, StopLevel.GENTLE, StopLevel.HASTY, StopLevel.GENTLE]
    ]

    assert answers == [True, False, True, False]
    assert closing.level is StopLevel.HASTY


@pytest.mark.parametrize(
    ("level", "hasty"),
    [(None, False), (StopLevel.GENTLE, False), (StopLevel.HASTY, True), (StopLevel.AT_ONCE, True)],
)
def test_from_the_second_signal_on_work_is_handed_back(closing, level, hasty):
    if level is not None:
        closing.ask(level, 0.0)

    assert closing.is_hasty is hasty


@pytest.mark.parametrize("before", [None, StopLevel.GENTLE, StopLevel.HASTY])
def test_a_third_signal_ends_everything_and_says_so(closing, before):
    if before is not None:
        closing.ask(before, 0.0)
    closing.ask(StopLevel.AT_ONCE, 1.0)

    assert closing.state is ClusterState.STOPPED
    assert closing.cut_short == "everything was ended at once by a third signal"


def test_an_end_after_the_end_changes_nothing(closing):
    closing.ask(StopLevel.GENTLE, 0.0)
    closing.end("first", 1.0)
    closing.end("second", 2.0)

    assert (closing.state, closing.cut_short, closing.since) == (ClusterState.STOPPED, "first", 1.0)


@pytest.mark.parametrize(("now", "late"), [(4.9, False), (5.0, True)])
def test_a_pusher_that_does_not_come_back_is_given_up(closing, now, late):
    closing.ask(StopLevel.GENTLE, 0.0)

    assert closing.pusher_is_late(now) is late
    assert closing.next_due() == PUSHER_SECONDS_MAX


def test_a_pusher_is_not_late_once_it_is_gone(closing):
    closing.ask(StopLevel.GENTLE, 0.0)
    closing.advance(but(pushers=0), 1.0)

    assert not closing.pusher_is_late(100.0)


def test_a_monitor_that_saves_nothing_is_given_up_with_what_it_holds(closing):
    closing.ask(StopLevel.GENTLE, 0.0)
    left = attrs.evolve(NOTHING_LEFT, monitors=1, unsaved=7)
    closing.advance(attrs.evolve(left, monitor_silent_seconds=SAVING_SECONDS_MAX - 0.1), 1.0)
    before = closing.state
    closing.advance(attrs.evolve(left, monitor_silent_seconds=SAVING_SECONDS_MAX), 2.0)

    assert (before, closing.state) == (ClusterState.SAVING, ClusterState.STOPPED)
    assert closing.cut_short == "7 results could not be saved in time"


def test_the_stop_timeout_makes_a_gentle_stop_hasty_and_ends_what_runs(hurried):
    hurried.ask(StopLevel.GENTLE, 5.0)
    hurried.advance(but(pushers=0), 14.9)
    before = (hurried.ends_running, hurried.level, hurried.next_due())
    hurried.advance(but(pushers=0), 15.0)

    assert before == (False, StopLevel.GENTLE, 15.0)
    assert (hurried.ends_running, hurried.level) == (True, StopLevel.HASTY)
    assert hurried.next_due() is None


def test_the_stop_timeout_counts_from_the_first_signal(hurried):
    hurried.ask(StopLevel.GENTLE, 0.0)
    hurried.ask(StopLevel.HASTY, 9.0)
    hurried.advance(but(pushers=0), 10.0)

    assert (hurried.ends_running, hurried.level) == (True, StopLevel.HASTY)


def test_the_stop_timeout_alone_cuts_nothing_short(hurried):
    hurried.ask(StopLevel.GENTLE, 0.0)
    hurried.advance(NOTHING_LEFT, 10.0)

    assert (hurried.state, hurried.cut_short) == (ClusterState.STOPPED, None)


def test_a_cluster_that_is_not_asked_to_stop_has_no_stop_timeout(hurried):
    hurried.advance(BUSY, 1_000.0)

    assert not hurried.ends_running
    assert hurried.next_due() is None


@pytest.mark.parametrize(
    ("state", "facts", "roles"),
    [
        (ClusterState.STARTING, BUSY, set(Role)),
        (ClusterState.WORKING, BUSY, set(Role)),
        (ClusterState.HALTING, BUSY, {Role.WORKER, Role.MONITOR}),
        (ClusterState.DRAINING, BUSY, {Role.WORKER, Role.MONITOR}),
        (ClusterState.DRAINING, but(queued=0), {Role.MONITOR}),
        (ClusterState.SAVING, BUSY, {Role.MONITOR}),
        (ClusterState.SAVING, but(unsaved=0), set()),
        (ClusterState.STOPPED, BUSY, set()),
    ],
)
def test_seats_are_filled_as_long_as_they_have_something_to_do(closing, state, facts, roles):
    closing.state = state

    assert closing.wanted(facts) == roles


def test_a_full_book_that_cannot_be_saved_does_not_hold_up_the_stop():
    closing = Closing(stop_timeout=None)
    closing.ask(StopLevel.GENTLE, 0.0)
    full = attrs.evolve(BUSY, pushers=0, is_full=True)
    closing.advance(attrs.evolve(full, monitor_silent_seconds=SAVING_SECONDS_MAX - 0.1), 1.0)
    before = closing.state
    closing.advance(attrs.evolve(full, monitor_silent_seconds=SAVING_SECONDS_MAX), 31.0)

    assert before is ClusterState.DRAINING
    assert closing.state is ClusterState.STOPPED
    assert closing.cut_short == "1 results could not be saved in time"
