"""Holds the sentinel: it hears before it judges, and every seat is filled."""

from __future__ import annotations

import pytest

from djq.core.events import (
    ChildReady,
    ChildReplaced,
    ClusterRunning,
    SpawnFailed,
)
from djq.core.lifecycle import ChildId, Role
from djq.core.protocol import (
    Assign,
    Credit,
    Deliveries,
    Keep,
    Kept,
    Retire,
    Returned,
    Started,
    Stop,
    StopLevel,
    Verdict,
)
from tests.components import parts
from tests.components.sentinel_bench import (
    LONG,
    MONITOR,
    PUSHER,
    SHORT,
    Bench,
    line,
    started,
    worker,
)


@pytest.fixture
def bench():
    return started()


# Beginning.


def test_the_first_step_fills_every_seat():
    bench = Bench(workers=2)
    bench.step()

    assert bench.spawner.labels == {
        worker(0): "Process-1:1",
        worker(1): "Process-1:2",
        MONITOR: "Process-1:3",
        PUSHER: "Process-1:4",
    }
    assert bench.observer.events == [ChildReady(Role.SENTINEL, "Process-1", 70)]


def test_the_cluster_runs_when_everybody_is_ready():
    bench = Bench()
    bench.step()
    bench.ready(worker(), MONITOR)
    bench.step()
    before = bench.observer.of(ClusterRunning)
    bench.ready(PUSHER)
    bench.step()
    bench.step()

    assert (before, bench.observer.of(ClusterRunning)) == ([], [ClusterRunning("77")])
    assert bench.observer.of(ChildReady)[1] == ChildReady(Role.WORKER, "Process-1:1", 101)


def test_what_cannot_be_spawned_is_told_and_tried_again():
    bench = Bench()
    bench.spawner.refuses = OSError("no more processes")
    bench.step()
    told = {event.role for event in bench.observer.of(SpawnFailed)}
    bench.spawner.refuses = None
    bench.step(1)

    assert told == {Role.WORKER, Role.MONITOR, Role.PUSHER}
    assert {child.role for child in bench.spawner.ends} == told


def test_a_child_that_does_not_get_ready_is_killed_once():
    bench = Bench()
    bench.step()
    bench.step(59.9)
    before = list(bench.spawner.killed)
    bench.step(0.2)
    bench.step(10)

    assert before == []
    assert sorted(bench.spawner.killed, key=str) == sorted(bench.living, key=str)


# The way of a task.


def test_a_task_goes_from_pusher_to_worker_to_monitor(bench):
    bench.deliver(1)
    (assign,) = bench.asked(worker(), Assign)
    bench.run(worker(), 1)
    bench.step()
    (keep,) = bench.asked(MONITOR, Keep)
    bench.say(MONITOR, Kept((1,)))
    bench.step()

    assert assign.items == ((1, parts.delivery(1, receipt="r1")),)
    assert [(item.ticket, item.verdict, item.outcome) for item in keep.items] == [
        (1, Verdict.SAVE, LONG)
    ]
    assert bench.box.book.entries == {}


def test_a_pusher_gets_credit_for_what_there_is_room_for(bench):
    assert bench.asked(PUSHER) == [Credit(2)]


def test_credit_is_renewed_as_tasks_move_on(bench):
    bench.asked(PUSHER)
    bench.deliver(1, 2, 3)
    between = bench.asked(PUSHER)
    bench.run(worker(), 1)
    bench.step()

    assert between == [Credit(1)]
    assert bench.asked(PUSHER) == [Credit(1)]


def test_credit_is_taken_back_when_tasks_turn_out_to_be_long():
    bench = started(workers=2)
    bench.deliver(1, 2)
    for ticket, slot in [(1, 0), (2, 1)]:
        bench.run(worker(slot), ticket, SHORT)
    bench.step()
    given = sum(message.count for message in bench.asked(PUSHER, Credit))
    bench.deliver(3)
    bench.run(worker(), 3)
    bench.step()
    taken = [message.count for message in bench.asked(PUSHER, Credit)]

    assert given == 200 + 2
    assert given - 1 + sum(taken) - 2 == 4


def test_a_new_pusher_gets_credit_anew(bench):
    bench.asked(PUSHER)
    bench.spawner.end(PUSHER, -9)
    bench.step()
    new = ChildId(Role.PUSHER, 0, 2)
    bench.ready(new)
    bench.step()

    assert bench.asked(new) == [Credit(2)]


# Time limits and deaths.


@pytest.mark.parametrize("limit", [0.3, 1.3])
def test_a_worker_is_killed_at_the_time_limit_of_its_task(bench, limit):
    bench.deliver(1, timeout=limit)
    bench.say(worker(), Started(1))
    wait = bench.step()
    bench.step(limit - 0.001)
    before = list(bench.spawner.killed)
    bench.step(0.001)
    bench.step(0.1)

    assert wait.seconds == pytest.approx(min(limit, 0.5))
    assert (before, bench.spawner.killed) == ([], [worker()])


def test_a_task_that_overran_is_a_failure_and_the_seat_is_filled(bench):
    bench.deliver(1, timeout=0.3)
    bench.say(worker(), Started(1))
    bench.step()
    bench.step(0.3)
    bench.spawner.end(worker(), -9)
    bench.step()

    assert line(bench.keeps()[1]) == "TaskTimedOut: timed out after 0.3 s"
    assert worker(0, 2) in bench.living
    assert bench.observer.of(ChildReplaced) == [
        ChildReplaced(Role.WORKER, "Process-1:4", "signal 9 (SIGKILL)", recycled=False)
    ]


def test_the_last_words_of_a_dead_worker_are_heard_before_it_is_judged(bench):
    bench.deliver(1)
    bench.say(worker(), Started(1))
    bench.spawner.end(worker(), -9, Returned(1, LONG))
    bench.step()

    assert bench.keeps()[1].outcome == LONG
    assert bench.spawner.forgotten == [worker()]


def test_what_a_dead_pusher_had_delivered_is_not_lost(bench):
    bench.spawner.end(PUSHER, -9, Deliveries((parts.delivery(1, receipt="r1"),)))
    bench.step()

    assert bench.tickets(worker()) == [1]


def test_a_task_whose_worker_died_is_handed_back_and_the_next_worker_gets_the_rest():
    bench = started()
    bench.deliver(1)
    bench.run(worker(), 1, SHORT)
    bench.step()
    bench.deliver(2, 3)
    bench.say(worker(), Started(2))
    bench.spawner.end(worker(), -11)
    bench.step()
    bench.ready(worker(0, 2))
    bench.step()

    assert bench.keeps()[2].verdict is Verdict.HAND_BACK
    assert bench.tickets(worker(0, 2)) == [3]


def test_what_a_dead_monitor_had_not_confirmed_goes_to_the_next(bench):
    bench.deliver(1)
    bench.run(worker(), 1)
    bench.step()
    bench.spawner.end(MONITOR, -9)
    bench.step()
    new = ChildId(Role.MONITOR, 0, 2)
    bench.ready(new)
    bench.step()

    assert [item.ticket for keep in bench.asked(new, Keep) for item in keep.items] == [1]


# Recycling.


def test_a_worker_that_did_its_share_is_replaced_without_an_idle_seat():
    bench = started(recycle=1)
    old, new = worker(0, 1), worker(0, 2)
    bench.deliver(1, 2)
    bench.say(old, Started(1))
    bench.step()
    bench.step()
    spawned = new in bench.spawner.ends
    bench.ready(new)
    bench.step()
    while_old_runs = (bench.tickets(new), bench.asked(old, Stop))
    bench.say(old, Returned(1, LONG))
    bench.step()

    assert spawned
    assert while_old_runs == ([], [])
    assert bench.tickets(new) == [2]
    assert bench.asked(old, Stop) == [Stop(StopLevel.GENTLE)]


def test_an_old_worker_stays_until_its_successor_is_ready():
    bench = started(recycle=1)
    old, new = worker(0, 1), worker(0, 2)
    bench.deliver(1)
    bench.run(old, 1)
    bench.step()
    bench.step()
    before = bench.asked(old, Stop)
    bench.ready(new)
    bench.step()

    assert (before, bench.asked(old, Stop)) == ([], [Stop(StopLevel.GENTLE)])
    assert bench.observer.of(ChildReplaced) == [
        ChildReplaced(Role.WORKER, "Process-1:4", "1 tasks done", recycled=True)
    ]


def test_a_worker_that_grew_too_large_is_replaced_once(bench):
    bench.say(worker(), Retire("200 MiB of memory in use"), Retire("200 MiB of memory in use"))
    bench.step()
    bench.step()
    bench.ready(worker(0, 2))
    bench.step()
    bench.spawner.end(worker())
    bench.step()
    bench.step()

    assert [child for child in bench.spawner.ends if child.role is Role.WORKER] == [
        worker(0, 1),
        worker(0, 2),
    ]


def test_a_successor_that_dies_while_it_starts_has_a_successor_itself():
    bench = started(recycle=1)
    bench.deliver(1)
    bench.run(worker(), 1)
    bench.step()
    bench.step()
    bench.spawner.end(worker(0, 2), 70)
    bench.step()

    assert worker(0, 3) in bench.spawner.ends
    assert worker(0, 1) in bench.living


def test_each_seat_waits_for_its_own_elder():
    bench = started(workers=2, recycle=1)
    bench.deliver(1, 2, 3)
    bench.step()
    bench.step()
    bench.ready(worker(0, 2), worker(1, 2))
    bench.say(worker(0), Started(1))
    bench.run(worker(1), 2)
    bench.step()

    assert (bench.tickets(worker(0, 2)), bench.tickets(worker(1, 2))) == ([], [3])
