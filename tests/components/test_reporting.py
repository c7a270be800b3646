"""Holds who reports what went wrong: the worker its exceptions, the monitor what had none."""

from __future__ import annotations

import attrs
import pytest

from djq.core.message import Kind
from djq.core.protocol import Returned, Verdict
from djq.core.settlement import death_line, failure, timeout_line
from djq.exceptions import TaskLost, TaskTimedOut, TooManyAttempts, WorkerDied
from tests.components import parts, task_samples
from tests.components.chain_bench import ChainBench, succeeded
from tests.components.test_monitor import Bench as MonitorBench
from tests.components.test_worker import Bench as WorkerBench
from tests.core.chain_samples import chain

FACTS = {
    "task_id": f"{1:032x}",
    "task_name": "task-1",
    "func": "math.copysign",
    "group": None,
    "attempt": 1,
}


def reported_by(bench):
    return [(type(error), str(error), facts) for error, facts in bench.reporter.given]


# The worker.


def run_one(bench, **changes):
    bench.assign(1, **changes)
    bench.worker.step()
    bench.worker.step()


def test_the_exception_of_a_task_is_reported_with_its_own_traceback_and_the_tasks_facts():
    bench = WorkerBench()
    run_one(bench, func=task_samples.recurse, args=(), group="letters")
    ((error, facts),) = bench.reporter.given

    assert isinstance(error, RecursionError)
    assert error.__traceback__.tb_next.tb_next.tb_frame.f_code is task_samples.recurse.__code__
    assert facts == {**FACTS, "func": "recurse", "group": "letters"}


def test_a_report_comes_after_its_outcome_was_sent_and_before_the_next_task_runs():
    bench = WorkerBench()
    task_samples.seen.clear()
    order = []

    class Reporter:
        def report(self, error, about):
            order.append((about["task_id"], len(bench.heard(Returned)), list(task_samples.seen)))

    bench.worker._around = attrs.evolve(bench.around, reporter=Reporter())
    bench.assign(1, args=())
    bench.assign(2, func=task_samples.remember)
    for _ in range(3):
        bench.worker.step()

    assert order == [(f"{1:032x}", 1, [])]
    assert task_samples.seen == [(2, -2)]


def test_the_exception_of_a_hook_is_reported():
    bench = WorkerBench()
    run_one(bench, kind=Kind.HOOK, func="djq.no_such_hook")

    assert [(kind, facts["func"]) for kind, _, facts in reported_by(bench)] == [
        (AttributeError, "djq.no_such_hook")
    ]


def test_a_success_is_not_reported_and_a_failure_only_once():
    bench = WorkerBench()
    bench.assign(1, 2, 3)
    bench.assign(4, args=())
    bench.assign(5)
    for _ in range(8):
        bench.worker.step()

    assert [facts["task_name"] for _, _, facts in reported_by(bench)] == ["task-4"]


# The monitor.


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (timeout_line(60), TaskTimedOut, "timed out after 60 s"),
        (
            death_line(parts.delivery(attempt=3), -9),
            WorkerDied,
            "worker died: signal 9 (SIGKILL), 3 attempts",
        ),
        ("TooManyAttempts: no outcome", TooManyAttempts, "no outcome"),
        ("StoreRefused: too large", TaskLost, "StoreRefused: too large"),
    ],
)
def test_a_failure_without_an_exception_is_an_error_of_its_own_kind(line, kind, words):
    bench = MonitorBench()
    bench.keep(parts.settled(1, outcome=failure(line, parts.NOON)))

    assert reported_by(bench) == [(kind, words, FACTS)]


def test_what_the_worker_has_reported_is_not_reported_again():
    bench = MonitorBench()
    bench.keep(parts.settled(1, outcome=parts.FAILURE), parts.settled(2))

    assert bench.reporter.given == []


def test_a_death_under_a_task_that_runs_again_is_reported_too():
    bench = MonitorBench()
    bench.keep(
        parts.settled(1, verdict=Verdict.HAND_BACK, death="WorkerDied: worker died: exit code 5"),
        parts.settled(2, verdict=Verdict.HAND_BACK),
        parts.settled(3, verdict=Verdict.HAND_BACK_UNBEGUN),
    )

    assert reported_by(bench) == [(WorkerDied, "worker died: exit code 5", FACTS)]


def test_an_outcome_that_the_store_refuses_is_reported_once_it_is_kept_in_another_form():
    bench = MonitorBench()
    bench.store.refuses = lambda one: one.outcome.success and one.message.name == "task-1"
    bench.keep(parts.settled(1), parts.settled(2))
    bench.settle()

    assert [(kind, facts["task_name"]) for kind, _, facts in reported_by(bench)] == [
        (TaskLost, "task-1")
    ]


def test_of_a_chain_the_link_that_cannot_be_sent_is_reported_and_not_those_behind_it():
    bench = ChainBench()
    bench.broker.refuses = {"link-1"}
    bench.end(succeeded(chain(3)))

    assert [facts["task_name"] for _, _, facts in reported_by(bench)] == ["link-1"]


def test_a_batch_that_is_saved_at_the_second_try_is_reported_once():
    bench = MonitorBench()
    bench.store.away = True
    bench.keep(parts.settled(1, outcome=failure(timeout_line(1), parts.NOON)))
    before = reported_by(bench)
    bench.store.away = False
    bench.settle()

    assert (before, [kind for kind, _, _ in reported_by(bench)]) == ([], [TaskTimedOut])


# Nobody.


def alone(bench):
    return parts.Surroundings(bench.clock, parts.FullJitter(), bench.observer)


def test_a_worker_without_a_reporter_lets_go_of_the_exception():
    bench = WorkerBench()
    bench.worker._around = alone(bench)
    run_one(bench, args=())

    assert [message.outcome.success for message in bench.heard(Returned)] == [False]
    assert bench.worker._raised is None


def test_a_monitor_without_a_reporter_keeps_what_it_is_given():
    bench = MonitorBench()
    bench.monitor._around = alone(bench)
    bench.keep(parts.settled(1, outcome=failure(timeout_line(1), parts.NOON)))

    assert bench.kept_tickets == [1]
