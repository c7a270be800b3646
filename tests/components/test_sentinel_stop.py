"""Holds the sentinel's stops: each kind goes its way, and each comes to its end."""

from __future__ import annotations

import pytest

from djq.core.events import (
    ProcessesStopping,
    StopCutShort,
)
from djq.core.lifecycle import ChildId, Role
from djq.core.protocol import (
    Empty,
    Keep,
    Kept,
    Probe,
    Returned,
    Started,
    Stop,
    StopLevel,
    Verdict,
)
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


# Stopping.


def test_a_first_signal_goes_through_the_documented_procedure(bench):
    bench.deliver(1, 2)
    bench.say(worker(), Started(1))
    bench.stop()
    told = [bench.asked(PUSHER, Stop), bench.asked(worker(), Stop), bench.asked(MONITOR, Stop)]
    bench.spawner.end(PUSHER)
    bench.say(worker(), Returned(1, LONG))
    bench.step()
    worked_off = bench.box.book.holds(worker())
    bench.run(worker(), 2)
    bench.step()
    worker_told = bench.asked(worker(), Stop)
    bench.spawner.end(worker())
    bench.step()
    monitor_told = bench.asked(MONITOR, Stop)
    bench.say(MONITOR, Kept((1, 2)))
    bench.step()
    monitor_told_then = bench.asked(MONITOR, Stop)
    bench.spawner.end(MONITOR)
    end = bench.step()

    assert told == [[Stop(StopLevel.GENTLE)], [], []]
    assert (worked_off, worker_told) == (1, [Stop(StopLevel.GENTLE)])
    assert (monitor_told, monitor_told_then) == ([], [Stop(StopLevel.GENTLE)])
    assert end is None
    assert bench.observer.of(ProcessesStopping) == [ProcessesStopping("Process-1")]
    assert bench.observer.of(StopCutShort) == []
    assert (bench.reports[-1].state, bench.spawner.killed) == ("STOPPED", [])


def test_a_second_signal_hands_back_what_has_not_started(bench):
    bench.deliver(1, 2, 3)
    bench.say(worker(), Started(1))
    bench.stop()
    bench.stop(StopLevel.HASTY)
    handed_back = {ticket: item.verdict for ticket, item in bench.keeps().items()}
    bench.say(worker(), Returned(1, LONG))
    bench.spawner.end(worker())
    bench.spawner.end(PUSHER)
    bench.step()

    assert handed_back == {2: Verdict.HAND_BACK_UNBEGUN, 3: Verdict.HAND_BACK_UNBEGUN}
    assert Stop(StopLevel.HASTY) in bench.asked(worker(), Stop)
    assert bench.keeps()[1].outcome == LONG


def test_what_lay_ahead_at_a_worker_is_handed_back_when_it_left_in_haste(bench):
    bench.deliver(1)
    bench.run(worker(), 1, SHORT)
    bench.step()
    bench.deliver(2, 3)
    bench.say(worker(), Started(2))
    bench.stop(StopLevel.HASTY)
    keeps = bench.keeps()
    bench.say(MONITOR, Kept((1,)))
    bench.say(worker(), Returned(2, LONG))
    bench.spawner.end(worker())
    bench.step()
    keeps |= bench.keeps()

    assert (keeps[2].verdict, keeps[3].verdict) == (Verdict.SAVE, Verdict.HAND_BACK_UNBEGUN)


def test_a_third_signal_ends_everything_at_once(bench):
    bench.deliver(1)
    bench.say(worker(), Started(1))
    bench.step()
    bench.command.send(Stop(StopLevel.AT_ONCE))

    assert bench.step() is None
    assert set(bench.spawner.killed) == {worker(), MONITOR, PUSHER}
    assert bench.reports[-1].cut_short
    assert len(bench.observer.of(StopCutShort)) == 1


def test_the_stop_timeout_ends_what_runs_and_says_so():
    bench = started(stop_timeout=10.0, policy={"receipts": False})
    bench.deliver(1)
    bench.say(worker(), Started(1))
    bench.stop()
    bench.spawner.end(PUSHER)
    bench.step(9.9)
    before = list(bench.spawner.killed)
    bench.step(0.1)
    bench.step()
    bench.spawner.end(worker(), -9)
    bench.step()

    assert (before, bench.spawner.killed) == ([], [worker()])
    assert "stop_timeout" in line(bench.keeps()[1])
    assert bench.box.closing.cut_short == "1 running tasks were ended by stop_timeout"
    assert worker(0, 2) not in bench.living


def test_a_stop_timeout_that_meets_nobody_at_work_cuts_nothing_short():
    bench = started(stop_timeout=1.0)
    bench.stop()
    bench.spawner.end(PUSHER)
    bench.step(1.0)
    bench.spawner.end(worker(), -9)
    bench.step()
    bench.spawner.end(MONITOR)

    assert bench.step() is None
    assert not bench.reports[-1].cut_short


def test_a_pusher_that_does_not_come_back_from_its_broker_is_killed(bench):
    bench.stop()
    bench.step(4.9)
    before = list(bench.spawner.killed)
    bench.step(0.1)

    assert (before, bench.spawner.killed) == ([], [PUSHER])


def test_a_monitor_that_saves_nothing_does_not_hold_the_stop_for_ever(bench):
    bench.deliver(1)
    bench.run(worker(), 1)
    bench.stop()
    bench.spawner.end(PUSHER)
    bench.step()
    bench.spawner.end(worker())
    bench.step()
    before = bench.step(29.9)
    end = bench.step(0.1)

    assert (before is None, end is None) == (False, True)
    assert bench.observer.of(StopCutShort) == [StopCutShort("1 results could not be saved in time")]


def test_a_worker_that_dies_while_the_queue_is_worked_off_is_replaced(bench):
    bench.deliver(1, 2)
    bench.say(worker(), Started(1))
    bench.stop()
    bench.spawner.end(PUSHER)
    bench.spawner.end(worker(), -9)
    bench.step()
    bench.ready(worker(0, 2))
    bench.step()

    assert bench.tickets(worker(0, 2)) == [2]


def test_work_that_comes_back_when_every_worker_has_left_reopens_the_seats():
    bench = started(workers=2)
    bench.deliver(1)
    bench.run(worker(0), 1, SHORT)
    bench.step()
    bench.deliver(2, 3, 4)
    held = [child for child in (worker(0), worker(1)) if bench.tickets(child)]
    bench.stop()
    bench.spawner.end(PUSHER)
    bench.step()
    for child in held:
        bench.spawner.end(child, -9)
    bench.step()
    bench.step()
    hired = [child for child in bench.living if child.role is Role.WORKER and child not in held]
    bench.ready(*hired)
    bench.step()

    assert sorted(ticket for child in hired for ticket in bench.tickets(child)) != []


def test_a_monitor_that_dies_while_it_saves_the_rest_is_replaced(bench):
    bench.deliver(1)
    bench.run(worker(), 1)
    bench.stop()
    bench.spawner.end(PUSHER)
    bench.step()
    bench.spawner.end(worker())
    bench.step()
    bench.spawner.end(MONITOR, -9)
    bench.step()
    new = ChildId(Role.MONITOR, 0, 2)
    bench.ready(new)
    bench.step()

    assert [item.ticket for keep in bench.asked(new, Keep) for item in keep.items] == [1]


def test_a_stop_while_children_start_is_a_clean_stop():
    bench = Bench()
    bench.step()
    bench.stop()
    for child in (PUSHER, worker(), MONITOR):
        bench.ready(child)
    bench.step()
    for child in (PUSHER, worker(), MONITOR):
        bench.spawner.end(child)
        end = bench.step()

    assert end is None
    assert bench.box.closing.cut_short is None


def test_a_sentinel_without_a_command_stops(bench):
    bench.command.close()
    bench.step()
    bench.step()

    assert bench.asked(PUSHER, Stop) == [Stop(StopLevel.GENTLE)]


# Stopping when the queue is empty.


def test_run_once_probes_when_there_is_nothing_to_do_and_stops_at_the_answer():
    bench = started(run_once=True)
    (probe,) = bench.asked(PUSHER, Probe)
    bench.step(10)
    again = bench.asked(PUSHER, Probe)
    bench.say(PUSHER, Empty(probe.serial))
    bench.step()

    assert again == []
    assert bench.asked(PUSHER, Stop) == [Stop(StopLevel.GENTLE)]


def test_run_once_takes_no_answer_from_before_the_last_delivery():
    bench = started(run_once=True)
    (probe,) = bench.asked(PUSHER, Probe)
    bench.deliver(1)
    while_busy = bench.asked(PUSHER, Probe)
    bench.run(worker(), 1)
    bench.step()
    bench.say(MONITOR, Kept((1,)))
    bench.step()
    (second,) = bench.asked(PUSHER, Probe)
    bench.say(PUSHER, Empty(probe.serial))
    bench.step()
    after_old = bench.asked(PUSHER, Stop)
    bench.say(PUSHER, Empty(second.serial))
    bench.step()

    assert (while_busy, after_old) == ([], [])
    assert bench.asked(PUSHER, Stop) == [Stop(StopLevel.GENTLE)]


def test_run_once_asks_a_new_pusher_again():
    bench = started(run_once=True)
    bench.spawner.end(PUSHER, -9)
    bench.step()
    new = ChildId(Role.PUSHER, 0, 2)
    bench.ready(new)
    bench.step()

    assert bench.asked(new, Probe) == [Probe(2)]


def test_a_cluster_that_runs_for_good_never_probes(bench):
    bench.step(10)

    assert bench.asked(PUSHER, Probe) == []
