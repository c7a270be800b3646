"""Holds what a sentinel tells beside its state: what runs, what has ended, what was replaced, which
services are away."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from djq.core.protocol import Health, Kept, Restarts, Retire, Running, Started, StopLevel
from djq.core.tally import NONE, Count
from tests.components.parts import FAILURE, NOON
from tests.components.sentinel_bench import LONG, MONITOR, PUSHER, SHORT, started, worker

LATER = NOON + timedelta(seconds=5)


@pytest.fixture
def bench():
    return started(workers=2)


def told(bench):
    """The picture that comes when it is time for one."""
    bench.step(0.5)
    return bench.reports[-1]


# What runs.


def test_what_runs_is_told_with_its_worker_and_since_when_the_oldest_first(bench):
    bench.deliver(1, 2, attempt=3)
    first, second = (bench.tickets(worker(slot))[0] for slot in (0, 1))
    bench.say(worker(1), Started(second))
    bench.step()
    bench.say(worker(0), Started(first))
    bench.step(7)

    assert told(bench).running == (
        Running(f"{second:032x}", f"task-{second}", "math.copysign", 102, NOON, 3),
        Running(
            f"{first:032x}", f"task-{first}", "math.copysign", 101, NOON + timedelta(seconds=7), 3
        ),
    )


def test_what_a_worker_has_and_has_not_begun_does_not_run(bench):
    bench.deliver(1)
    before = told(bench)
    (ticket,) = bench.tickets(worker())
    bench.run(worker(), ticket)

    assert (before.idle, before.running) == (False, ())
    assert told(bench).running == ()


def test_of_what_lies_at_a_worker_one_task_runs(bench):
    for number in range(1, 20):
        bench.deliver(number)
        for slot in (0, 1):
            for ticket in bench.tickets(worker(slot)):
                bench.run(worker(slot), ticket, SHORT)
        bench.step()
    bench.deliver(*range(20, 60))
    for slot in (0, 1):
        bench.say(worker(slot), Started(bench.tickets(worker(slot))[0]))
    bench.step()

    assert any(held.held for held in bench.box.book.workers.values() if len(held.held) > 1)
    assert [running.worker for running in told(bench).running] == [101, 102]


def test_a_task_whose_worker_died_runs_no_more(bench):
    bench.deliver(1)
    bench.say(worker(), Started(*bench.tickets(worker())))
    before = told(bench)
    bench.spawner.end(worker(), -9)

    assert len(before.running) == 1
    assert told(bench).running == ()


def test_a_task_that_begins_or_ends_makes_no_picture_of_its_own(bench):
    told(bench)
    bench.deliver(1)
    bench.command.receive()
    bench.say(worker(), Started(*bench.tickets(worker())))
    bench.step()

    assert bench.reports == []


# What has ended.


def test_an_outcome_counts_when_it_is_kept(bench):
    bench.deliver(1, 2, 3)
    for number, outcome in ((1, SHORT), (2, FAILURE), (3, SHORT)):
        slot = (number - 1) % 2
        bench.step()
        bench.run(worker(slot), number, outcome)
    before = told(bench).ended
    bench.say(MONITOR, Kept((1, 2)))
    between = told(bench).ended
    bench.say(MONITOR, Kept((3,)))

    assert (before, between, told(bench).ended) == (NONE, Count(1, 1), Count(2, 1))


def test_what_is_handed_back_has_not_ended(bench):
    bench.deliver(1)
    bench.say(worker(), Started(1))
    bench.step()
    bench.spawner.end(worker(), -9)
    bench.step()
    (ticket,) = bench.keeps()
    bench.say(MONITOR, Kept((ticket,)))

    assert told(bench).ended == NONE


def test_an_outcome_is_told_once_with_its_function_and_how_long_it_ran(bench):
    bench.deliver(1, 2, func="shop.tasks.report")
    bench.run(worker(0), 1, LONG)
    bench.run(worker(1), 2, attrs.evolve(FAILURE, seconds=0.25))
    before = told(bench).counted
    bench.say(MONITOR, Kept((1, 2)))
    (total,) = told(bench).counted

    assert before == ()
    assert attrs.astuple(total)[:4] == ("shop.tasks.report", 1, 1, 1.25)
    assert (total.durations[3:5], sum(total.durations)) == ((1, 1), 2)
    assert told(bench).counted == ()


def test_sums_by_function_are_told_once_a_cycle_however_many_pictures_there_are(bench):
    told(bench)
    for number in (1, 2, 3):
        bench.deliver(number)
        bench.run(worker(), number)
        bench.step(0.1)
        bench.say(MONITOR, Kept((number,)))
        bench.step()
    pictures = bench.reports
    (total,) = told(bench).counted

    assert [report.ended.total for report in pictures if report.idle] == [1, 2, 3]
    assert [report.counted for report in pictures] == [()] * len(pictures)
    assert total.succeeded == 3


def test_sums_by_function_are_no_older_than_a_cycle(bench):
    told(bench)
    bench.deliver(1)
    bench.run(worker(), 1)
    bench.step()
    bench.say(MONITOR, Kept((1,)))
    bench.step(0.3)
    early = bench.reports
    wait = bench.step()
    bench.step(wait.seconds)
    (late,) = bench.reports

    assert [report.counted for report in early] == [()] * len(early)
    assert wait.seconds == pytest.approx(0.2)
    assert [total.succeeded for total in late.counted] == [1]


def test_the_last_picture_has_all_sums(bench):
    told(bench)
    bench.deliver(1)
    bench.run(worker(), 1)
    bench.step()
    bench.say(MONITOR, Kept((1,)))
    bench.stop(StopLevel.AT_ONCE)
    bench.step()
    last = bench.reports[-1]

    assert last.state == "STOPPED"
    assert [total.succeeded for total in last.counted] == [1]


def test_what_nobody_hears_is_told_with_the_next_picture(bench):
    bench.deliver(1)
    bench.run(worker(), 1)
    bench.link.clogged = True
    bench.say(MONITOR, Kept((1,)))
    bench.spawner.end(worker(1), -9)
    silent = bench.step(0.5) and [report for report in bench.reports if report.counted]
    bench.link.clogged = False
    report = told(bench)

    assert silent == []
    assert [total.succeeded for total in report.counted] == [1]
    assert report.restarts == Restarts(death=1)


# What was replaced.


def is_killed(bench):
    bench.spawner.end(worker(), -9)


def overruns(bench):
    bench.deliver(1, timeout=0.3)
    bench.say(worker(), Started(1))
    bench.step()
    bench.step(0.3)
    bench.spawner.end(worker(), -9)


def grows(bench):
    bench.say(worker(), Retire("200 MiB of memory in use"))


def does_its_tasks(bench):
    for number in (1, 2):
        bench.deliver(number)
        bench.run(worker(), number)
        bench.step()


def dies_at_its_start(bench):
    bench.spawner.end(worker(), -9)
    bench.step()
    bench.command.receive()
    bench.spawner.end(worker(generation=2), 70)


@pytest.mark.parametrize(
    ("life", "restarts"),
    [
        (is_killed, Restarts(death=1)),
        (overruns, Restarts(timeout=1)),
        (grows, Restarts(max_rss=1)),
        (does_its_tasks, Restarts(recycle=1)),
        (dies_at_its_start, Restarts(start=1)),
    ],
)
def test_a_child_that_is_replaced_is_told_once_with_the_reason(life, restarts):
    bench = started(recycle=2)
    bench.command.receive()
    life(bench)
    for _ in range(3):
        bench.step(0.5)

    assert [report.restarts for report in bench.reports if report.restarts] == [restarts]
    assert told(bench).restarts is None


# Which services are away.


def test_a_service_that_goes_is_told_at_once_and_so_is_its_return(bench):
    bench.command.receive()
    bench.say(PUSHER, Health(broker=NOON))
    bench.step()
    gone = bench.reports
    bench.say(PUSHER, Health())
    bench.step()

    assert [report.health for report in gone] == [Health(broker=NOON)]
    assert [report.health for report in bench.reports] == [Health()]


def test_of_what_children_say_the_earliest_counts(bench):
    bench.say(PUSHER, Health(broker=LATER))
    bench.say(MONITOR, Health(broker=NOON, store=LATER))
    both = told(bench).health
    bench.say(MONITOR, Health())

    assert both == Health(broker=NOON, store=LATER)
    assert told(bench).health == Health(broker=LATER)


def test_the_word_of_a_child_goes_with_it(bench):
    bench.say(MONITOR, Health(store=NOON))
    before = told(bench).health
    bench.spawner.end(MONITOR, -9)

    assert before == Health(store=NOON)
    assert told(bench).health == Health()
