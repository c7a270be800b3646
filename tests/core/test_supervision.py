"""Holds who is hired, when, and in which generation."""

from __future__ import annotations

import pytest

from djq.core.lifecycle import Cause, ChildId, ChildState, Role
from djq.core.supervision import (
    PAUSE_SECONDS_MAX,
    SETTLED_SECONDS,
    START_SECONDS_MAX,
    Supervision,
)
from djq.exceptions import IllegalTransition

ALL = frozenset(Role)
WORKER = ChildId(Role.WORKER, 0, 1)
PUSHER = ChildId(Role.PUSHER, 0, 1)


@pytest.fixture
def one():
    """One seat for a worker, and a worker in it that is ready."""
    supervision = Supervision({Role.WORKER: 1})
    supervision.hire(0.0, ALL)
    supervision.ready(WORKER, 100)
    return supervision


@pytest.fixture
def pusher():
    """One seat for a pusher, and a pusher that is starting."""
    supervision = Supervision({Role.PUSHER: 1})
    supervision.hire(0.0, ALL)
    return supervision


def hired(supervision, now=0.0, wanted=ALL):
    return [hiring.child for hiring in supervision.hire(now, wanted)]


def test_every_seat_is_filled_at_the_beginning():
    supervision = Supervision({Role.WORKER: 2, Role.MONITOR: 1})
    hirings = supervision.hire(0.0, ALL)

    assert [(h.child, h.number, h.reason, h.recycled) for h in hirings] == [
        (ChildId(Role.WORKER, 0, 1), 1, "", False),
        (ChildId(Role.WORKER, 1, 1), 2, "", False),
        (ChildId(Role.MONITOR, 0, 1), 3, "", False),
    ]
    assert hired(supervision) == []


def test_only_wanted_roles_are_hired():
    supervision = Supervision({Role.WORKER: 1, Role.MONITOR: 1})

    assert hired(supervision, wanted={Role.MONITOR}) == [ChildId(Role.MONITOR, 0, 1)]
    assert supervision.next_due({Role.MONITOR}) == START_SECONDS_MAX
    assert supervision.next_due({Role.WORKER}) == 0.0


def test_everybody_is_ready_when_each_seat_has_said_so():
    supervision = Supervision({Role.WORKER: 2})
    answers = [supervision.all_ready]
    for child in hired(supervision):
        supervision.ready(child, 7)
        answers.append(supervision.all_ready)

    assert answers == [False, False, True]


def test_a_dead_worker_is_followed_at_once_by_the_next_generation(one):
    gone = one.exited(WORKER, 5.0, "signal 9")
    (hiring,) = one.hire(5.0, ALL)

    assert (gone.id, gone.pid, gone.state) == (WORKER, 100, ChildState.GONE)
    assert (hiring.child, hiring.number) == (ChildId(Role.WORKER, 0, 2), 2)
    assert (hiring.reason, hiring.recycled) == ("signal 9", False)


def test_a_worker_that_is_killed_again_and_again_is_always_followed_at_once(one):
    for generation in range(1, 30):
        child = ChildId(Role.WORKER, 0, generation)
        if generation > 1:
            one.ready(child, 7)
        one.exited(child, 0.0, "signal 11")
        assert hired(one, 0.0) == [ChildId(Role.WORKER, 0, generation + 1)]


def test_what_cannot_start_is_followed_after_growing_pauses():
    supervision, now, pauses = Supervision({Role.WORKER: 1}), 0.0, []
    for _ in range(12):
        (child,) = hired(supervision, now)
        supervision.unable(child, now, "no memory")
        due = supervision.next_due(ALL)
        pauses.append(round(due - now, 3))
        now = due

    assert pauses[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == PAUSE_SECONDS_MAX
    assert hired(supervision, now - 0.001) == []
    assert hired(supervision, now) != []


def test_a_pusher_that_ends_early_is_followed_after_a_pause(pusher):
    for generation, due in [(1, 0.0), (2, 0.1), (3, 0.2)]:
        child = ChildId(Role.PUSHER, 0, generation)
        pusher.ready(child, 7)
        pusher.exited(child, 0.0, "exit code 70")
        assert pusher.next_due(ALL) == due
        assert len(hired(pusher, due)) == 1


def test_a_pusher_that_had_settled_is_followed_at_once_after_any_number_of_early_ends(pusher):
    for generation in range(1, 6):
        pusher.exited(ChildId(Role.PUSHER, 0, generation), 0.0, "exit code 70")
        hired(pusher, 1_000.0)
    child = ChildId(Role.PUSHER, 0, 6)
    pusher.ready(child, 7)
    pusher.exited(child, 1_000.0 + SETTLED_SECONDS, "signal 9")

    assert pusher.next_due(ALL) == 1_000.0 + SETTLED_SECONDS


def test_a_seat_has_pauses_of_its_own():
    supervision = Supervision({Role.WORKER: 2})
    first, second = hired(supervision)
    supervision.unable(first, 0.0, "no memory")
    supervision.unable(hired(supervision)[0], 0.0, "no memory")
    supervision.unable(second, 0.0, "no memory")

    assert hired(supervision) == [ChildId(Role.WORKER, 1, 2)]


def test_a_retiring_worker_has_its_successor_beside_it(one):
    one.retire(WORKER, 3.0, "500 tasks done", Cause.RECYCLE)
    (hiring,) = one.hire(3.0, ALL)

    assert (hiring.child.generation, hiring.reason, hiring.recycled) == (2, "500 tasks done", True)
    assert [child.state for child in one.of(Role.WORKER)] == [
        ChildState.RETIRING,
        ChildState.STARTING,
    ]


def test_a_retired_worker_has_one_successor_only(one):
    one.retire(WORKER, 3.0, "too large", Cause.MAX_RSS)
    one.retire(WORKER, 3.0, "too large", Cause.MAX_RSS)
    hired(one, 3.0)
    one.exited(WORKER, 4.0, "exit code 0")

    assert hired(one, 4.0) == []


def test_a_worker_that_was_told_to_leave_has_no_successor(one):
    assert one.stop(WORKER)
    one.retire(WORKER, 1.0, "too large", Cause.MAX_RSS)
    one.exited(WORKER, 2.0, "exit code 0")

    assert hired(one, 2.0) == []
    assert one.next_due(ALL) is None


def test_a_child_may_say_that_it_is_ready_after_it_was_told_to_leave(pusher):
    pusher.stop(PUSHER)
    pusher.ready(PUSHER, 7)

    assert pusher.children[PUSHER].state is ChildState.STOPPING


def test_a_child_that_starts_does_not_retire(pusher):
    with pytest.raises(IllegalTransition):
        pusher.retire(PUSHER, 0.0, "too large", Cause.MAX_RSS)


def test_a_child_is_killed_once(one):
    assert one.overdue(WORKER)
    assert not one.overdue(WORKER)


def test_a_child_that_does_not_get_ready_is_late(pusher):
    assert pusher.next_due(ALL) == START_SECONDS_MAX
    assert pusher.late_starters(START_SECONDS_MAX - 0.1) == []
    assert pusher.late_starters(START_SECONDS_MAX) == [PUSHER]


def test_a_late_starter_that_was_killed_is_not_waited_for(pusher):
    pusher.overdue(PUSHER)

    assert pusher.next_due(ALL) is None


def test_a_child_that_is_ready_is_never_late(one):
    assert one.late_starters(10 * START_SECONDS_MAX) == []
    assert one.next_due(ALL) is None


def test_empty_seats_are_opened_again_when_work_came_back():
    supervision = Supervision({Role.WORKER: 3, Role.PUSHER: 1})
    left, stays, dead, pusher = hired(supervision)
    supervision.stop(left)
    supervision.exited(left, 1.0, "exit code 0")
    supervision.exited(dead, 1.0, "signal 9")
    supervision.stop(pusher)
    supervision.exited(pusher, 1.0, "exit code 0")
    supervision.reopen(Role.WORKER, 2.0)
    hirings = supervision.hire(2.0, ALL)

    assert {(h.child.slot, h.child.generation, h.reason, h.cause) for h in hirings} == {
        (left.slot, 2, "work came back", Cause.STOP),
        (dead.slot, 2, "signal 9", Cause.START),
    }
    assert stays in supervision.children


# Why a child is followed by another.


def starts(supervision):
    pass


def is_ready(supervision):
    supervision.ready(WORKER, 100)


def is_late(supervision):
    supervision.overdue(WORKER)


def overruns(supervision):
    is_ready(supervision)
    supervision.overdue(WORKER)


@pytest.mark.parametrize(
    ("life", "cause"),
    [
        (starts, Cause.START),
        (is_late, Cause.START),
        (is_ready, Cause.DEATH),
        (overruns, Cause.TIMEOUT),
    ],
)
def test_a_child_that_is_gone_has_a_cause(life, cause):
    supervision = Supervision({Role.WORKER: 1})
    (first,) = supervision.hire(0.0, ALL)
    life(supervision)
    supervision.exited(WORKER, 1.0, "signal 9")
    (second,) = supervision.hire(1.0, ALL)

    assert (first.cause, first.recycled) == (None, False)
    assert (second.cause, second.recycled) == (cause, False)


@pytest.mark.parametrize("cause", [Cause.RECYCLE, Cause.MAX_RSS])
def test_a_child_that_retires_is_recycled_for_the_cause_that_it_had(one, cause):
    one.retire(WORKER, 3.0, "enough", cause)
    (hiring,) = one.hire(3.0, ALL)

    assert (hiring.cause, hiring.recycled) == (cause, True)
