"""Holds the sentinel: leases are renewed, reports are true, and nothing lies behind a long task."""

from __future__ import annotations

import pytest

from djq.core.dispatch import LONG_SECONDS
from djq.core.lifecycle import ChildId, Role
from djq.core.protocol import (
    Credit,
    Renew,
    Renewed,
    Report,
    Started,
    Stop,
    StopLevel,
)
from tests.components.sentinel_bench import (
    MONITOR,
    SHORT,
    started,
    worker,
)


@pytest.fixture
def bench():
    return started()


# Leases.


def test_leases_are_renewed_three_times_before_they_end(bench):
    bench.deliver(1)
    renewals = []
    for second in range(1, 61):
        bench.step(1)
        if bench.asked(MONITOR, Renew):
            renewals.append(second)

    assert renewals == [20, 40, 60]


def test_every_receipt_in_hand_is_renewed_under_its_present_name(bench):
    bench.deliver(1, 2)
    bench.run(worker(), 1)
    bench.say(MONITOR, Renewed((("r1", "s1"),)))
    bench.step(20)

    assert bench.asked(MONITOR, Renew) == [Renew(("s1", "r2"))]


def test_a_sentinel_that_holds_nothing_wakes_for_no_lease():
    bench = started(guard_cycle=10_000.0)

    assert bench.step(3_600).seconds == 10_000 - 3_600


def test_what_comes_after_a_long_rest_is_renewed_before_its_lease_ends():
    bench = started(guard_cycle=10_000.0)
    bench.step(3_600)
    bench.deliver(1)

    assert bench.box.step().seconds == 20
    bench.step(19)
    assert bench.asked(MONITOR, Renew) == []
    bench.step(1)
    assert bench.asked(MONITOR, Renew) == [Renew(("r1",))]


def test_leases_that_no_monitor_could_renew_are_renewed_by_the_next_at_once(bench):
    bench.deliver(1)
    bench.spawner.end(MONITOR, -9)
    bench.step(25)
    new = ChildId(Role.MONITOR, 0, 2)
    early = bench.asked(new, Renew)

    bench.ready(new)
    bench.step()

    assert early == []
    assert bench.asked(new, Renew) == [Renew(("r1",))]


@pytest.mark.parametrize("options", [{"policy": {"receipts": False}}, {}], ids=["none", "empty"])
def test_without_receipts_nothing_is_renewed(options):
    bench = started(**options)
    if options:
        bench.deliver(1)
    bench.step(60)

    assert bench.asked(MONITOR, Renew) == []


# Reports.


def test_a_report_tells_what_there_is(bench):
    bench.deliver(1, 2)
    bench.run(worker(), 1)
    bench.step(0.5)

    last = bench.reports[-1]
    assert last.at == bench.clock.monotonic()
    assert last == Report(
        "WORKING", False, (("worker", 101), ("monitor", 102), ("pusher", 103)), 0, 1, 0, False
    )


def test_reports_come_each_guard_cycle_and_at_each_change(bench):
    bench.step()
    bench.command.receive()
    silent = [bool(bench.step(0.2) and bench.reports) for _ in range(2)]
    due = bool(bench.step(0.2) and bench.reports)
    bench.spawner.end(worker(), -9)
    bench.step()

    assert (silent, due) == ([False, False], True)
    assert bench.reports[-1].reincarnations == 1


def test_a_new_child_is_reported_as_soon_as_it_is_ready(bench):
    bench.spawner.end(worker(), -9)
    bench.step()
    bench.command.receive()
    bench.ready(worker(generation=2))
    bench.step()

    assert ("worker", 104) in bench.reports[-1].pids


def test_a_command_that_does_not_look_gets_its_picture_later(bench):
    bench.link.clogged = True
    bench.command.receive()
    bench.step(0.6)
    during = bench.reports
    bench.link.clogged = False
    bench.step(0.6)

    assert during == []
    assert len(bench.reports) == 1


def test_the_last_report_is_sent_to_a_command_that_does_not_look(bench):
    bench.link.clogged = True
    bench.command.receive()
    bench.command.send(Stop(StopLevel.AT_ONCE))
    bench.step()

    assert [report.state for report in bench.reports] == ["STOPPED"]


def test_a_sentinel_waits_for_the_first_thing_that_time_brings(bench):
    waits = [bench.step().seconds]
    bench.deliver(1, timeout=0.1)
    bench.say(worker(), Started(1))
    waits.append(bench.step().seconds)

    assert waits == pytest.approx([0.5, 0.1])


# What lies ahead of a busy worker.


def busy_bench():
    """A worker that runs ticket 2, with 3 and 4 on offer."""
    bench = started()
    bench.deliver(1)
    bench.run(worker(), 1, SHORT)
    bench.step()
    bench.deliver(2, 3, 4)
    bench.say(worker(), Started(2))
    bench.step()
    return bench


def offered(bench, child):
    return [ticket for ticket, _ in bench.box._links[child].offers]


def test_what_lies_behind_a_task_that_becomes_long_is_taken_back():
    bench = busy_bench()
    before = offered(bench, worker())
    wait = bench.step()
    bench.step(LONG_SECONDS + 0.001)

    assert before == [3, 4]
    assert wait.seconds <= LONG_SECONDS
    assert offered(bench, worker()) == []
    assert [entry.ticket for entry in bench.box.book.queue] == [3, 4]


def test_what_there_is_no_room_for_stays_in_the_queue():
    bench = started()
    bench.deliver(1)
    bench.run(worker(), 1, SHORT)
    bench.box._links[worker()].room = 1
    bench.step()
    bench.deliver(2, 3, 4)
    bench.say(worker(), Started(2))
    bench.step()

    assert offered(bench, worker()) == [3]
    assert [entry.ticket for entry in bench.box.book.queue] == [4]


def test_messages_that_are_for_another_box_are_passed_over(bench):
    before = bench.box.book.entries

    bench.say(worker(), Credit(5))
    bench.command.send(Credit(5))
    bench.step()

    assert bench.box.book.entries == before
    assert bench.box.closing.level is None


def test_a_scheduler_that_dies_has_a_successor_and_takes_nothing_with_it():
    bench = started(workers=1, seats={role: 1 for role in Role if role is not Role.SENTINEL})
    bench.deliver(1)
    bench.spawner.end(ChildId(Role.SCHEDULER, 0, 1), 1)
    bench.step()

    assert ChildId(Role.SCHEDULER, 0, 2) in bench.living
    assert bench.tickets(worker()) == [1]
