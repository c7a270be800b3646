"""Holds the worker: what it says, in which order, and that whatever a task does is an outcome."""

from __future__ import annotations

import pickle
from contextlib import contextmanager

import attrs
import pytest

from djq.components.worker import Worker
from djq.core.events import ChildStopped
from djq.core.lifecycle import Role
from djq.core.message import ERROR_CHARACTERS_MAX, TRACEBACK_CHARACTERS_MAX, Finished, Kind
from djq.core.protocol import Assign, Credit, Ready, Retire, Returned, Started, Stop, StopLevel
from djq.ports import Wait
from tests.components import parts, task_samples


class Bench(parts.Scene):
    """A worker, and the sentinel's end of its link."""

    def __init__(self, **options):
        super().__init__()
        self.scopes = []
        self.worker = Worker(
            link=self.link,
            around=self.around,
            scope=self.scope,
            present=lambda finished: ("presented", finished),
            label="Process-1:1",
            pid=7,
            **{"max_payload": 1_000, **options},
        )

    @contextmanager
    def scope(self):
        self.scopes.append("opened")
        try:
            yield
        finally:
            self.scopes.append("closed")

    def assign(self, *numbers, **changes):
        items = tuple((number, parts.delivery(number, **changes)) for number in numbers)
        self.sentinel.send(Assign(items))

    def outcome_of(self, func, *args):
        return self.worker.run(parts.delivery(func=func, args=args))

    def line_of(self, func, *args):
        outcome = self.outcome_of(func, *args)
        assert not outcome.success
        assert outcome.traceback
        return pickle.loads(outcome.value)


@pytest.fixture
def bench():
    bench = Bench()
    bench.worker.step()
    assert bench.heard() == [Ready(7)]
    return bench


# What it says.


def test_a_worker_says_once_that_it_is_ready_and_waits(bench):
    assert bench.worker.step() == Wait(None)
    assert bench.heard() == []


def test_a_task_begins_in_one_step_and_runs_in_the_next(bench):
    task_samples.seen.clear()
    bench.assign(1, func=task_samples.remember)
    first = (bench.worker.step(), bench.heard(), list(task_samples.seen))
    bench.worker.step()

    assert first == (Wait(0.0), [Started(1)], [])
    assert task_samples.seen == [(2, -2)]


def test_an_outcome_and_the_next_beginning_go_out_in_one_write(bench):
    bench.assign(1, 2)
    for _ in range(3):
        bench.worker.step()
    writes = [[type(message) for message in write] for write in bench.link.sends]

    assert writes == [[Ready], [Started], [Returned, Started], [Returned]]


def test_an_outcome_is_sent_before_the_worker_waits(bench):
    bench.assign(1)
    bench.worker.step()
    wait = bench.worker.step()

    assert wait == Wait(None)
    assert [type(message) for message in bench.heard()] == [Started, Returned]


def test_tasks_run_in_the_order_in_which_they_were_assigned(bench):
    bench.assign(3, 1)
    bench.assign(2)
    for _ in range(4):
        bench.worker.step()

    assert [message.ticket for message in bench.heard(Started)] == [3, 1, 2]


def test_an_outcome_tells_the_value_and_how_long_it_took():
    bench = Bench()

    class Later(type(bench.clock)):
        """Moves on by a second each time it is asked."""

        def monotonic(self):
            self.advance(1)
            return super().monotonic()

    bench.worker._around = attrs.evolve(bench.around, clock=Later(parts.NOON))
    outcome = bench.outcome_of("math.copysign", 2, -2)

    assert (outcome.success, pickle.loads(outcome.value), outcome.traceback) == (True, -2.0, "")
    assert outcome.seconds == 1.0
    assert outcome.stopped_at > parts.NOON


def test_each_task_has_its_surroundings(bench):
    bench.outcome_of("math.copysign", 2, -2)
    bench.outcome_of("math.copysign")

    assert bench.scopes == ["opened", "closed"] * 2


# Leaving.


def test_a_gentle_stop_finishes_what_was_assigned(bench):
    bench.assign(1, 2)
    bench.sentinel.send(Stop(StopLevel.GENTLE))
    steps = [bench.worker.step() for _ in range(3)]

    assert steps[-1] is None
    assert [message.ticket for message in bench.heard(Returned)] == [1, 2]
    assert bench.observer.events == [ChildStopped(Role.WORKER, "Process-1:1", 7)]


@pytest.mark.parametrize("level", [StopLevel.HASTY, StopLevel.AT_ONCE])
def test_a_hasty_stop_finishes_what_runs_and_leaves_the_rest_unstarted(bench, level):
    bench.assign(1, 2)
    bench.worker.step()
    bench.sentinel.send(Stop(level))
    end = bench.worker.step()

    assert end is None
    assert [type(message) for message in bench.heard()] == [Started, Returned]


def test_a_worker_whose_sentinel_is_gone_finishes_its_task_and_leaves(bench):
    task_samples.seen.clear()
    bench.assign(1, 2, func=task_samples.remember)
    bench.worker.step()
    bench.sentinel.close()

    assert bench.worker.step() is None
    assert task_samples.seen == [(2, -2)]


# Memory.


def test_a_worker_that_grew_too_large_asks_once_to_be_replaced():
    bench = Bench(memory=lambda: 200.4, memory_max=200.0)
    bench.assign(1, 2)
    for _ in range(3):
        bench.worker.step()

    assert bench.heard(Retire) == [Retire("200 MiB of memory in use")]


@pytest.mark.parametrize(
    "options",
    [
        {"memory": lambda: 200.0, "memory_max": 200.0},
        {"memory": lambda: 900.0, "memory_max": None},
        {"memory": None, "memory_max": 1.0},
    ],
    ids=["at the limit", "no limit", "cannot tell"],
)
def test_a_worker_within_its_memory_stays(options):
    bench = Bench(**options)
    bench.assign(1)
    bench.worker.step()
    bench.worker.step()

    assert bench.heard(Retire) == []


# Hooks.


def test_a_hook_is_called_with_the_task_object(bench):
    task_samples.seen.clear()
    finished = Finished(parts.message(), parts.SUCCESS, 1)
    path = f"{task_samples.__name__}.remember"
    outcome = bench.worker.run(
        parts.delivery(func=path, kind=Kind.HOOK, body=pickle.dumps(finished))
    )

    assert task_samples.seen == [(("presented", finished),)]
    assert (outcome.success, pickle.loads(outcome.value)) == (True, None)


# Whatever a task does is an outcome with a sentence of its own.


@pytest.mark.parametrize(
    ("func", "args", "line"),
    [
        (task_samples.leave, (3,), "SystemExit: 3 (the function asked its process to exit)"),
        (task_samples.leave, (), "SystemExit: (the function asked its process to exit)"),
        (task_samples.interrupt, (), "KeyboardInterrupt: the function was interrupted"),
        (task_samples.interrupt_with_words, (), "KeyboardInterrupt: by hand"),
        (task_samples.eat_memory, (), "MemoryError: the worker's process got no more memory"),
        (
            task_samples.give_lock,
            (),
            (
                "PicklingError: the function returned an object of type 'lock', which cannot be pickled "
                "(cannot pickle '_thread.lock' object); return plain values such as numbers, texts, "
                "lists and dicts"
            ),
        ),
        (
            task_samples.give_text,
            (2_000,),
            (
                "ResultTooLarge: the result has 2,018 bytes, more than the 1,000 that max_payload in "
                "Q_CLUSTER allows; return a reference to the data instead (a primary key, a file name)"
            ),
        ),
        (task_samples.raise_mute, (), "Mute: (its message cannot be had: RuntimeError)"),
        (task_samples.raise_lines, (), "ValueError: first second third fourth"),
        (task_samples.raise_nothing, (), "ValueError"),
        (
            "no.such.thing",
            (),
            "ImportError: 'no.such.thing' cannot be found: No module named 'no'",
        ),
        (
            "math.nothing",
            (),
            (
                "AttributeError: 'math.nothing' cannot be found: "
                "module 'math' has no attribute 'nothing'"
            ),
        ),
        (
            "math.pi",
            (),
            "TypeError: 'math.pi' is an object of type 'float', which cannot be called",
        ),
        (
            task_samples.remember,
            (task_samples.Unreadable(),),
            (
                "CallUnreadable: the call cannot be unpickled (LookupError: no such thing here); the "
                "worker must have the same code as the caller, with every class and function that was "
                "passed"
            ),
        ),
    ],
)
def test_a_failure_is_told_in_one_clear_line(bench, func, args, line):
    assert bench.line_of(func, *args) == line


def test_endless_recursion_is_a_failure(bench):
    assert bench.line_of(task_samples.recurse).startswith("RecursionError: maximum recursion depth")


def test_a_body_that_is_no_pickle_is_a_failure(bench):
    outcome = bench.worker.run(parts.delivery(body=b"\x80\x05cut"))

    assert not outcome.success
    assert pickle.loads(outcome.value).startswith("CallUnreadable: the call cannot be unpickled (")


def test_a_result_of_exactly_max_payload_is_kept(bench):
    assert bench.outcome_of(task_samples.give_text, 982).success


def test_a_failing_scope_is_a_failure_and_the_worker_goes_on(bench):
    @contextmanager
    def broken():
        yield
        raise ConnectionError("the database is gone")

    bench.worker._scope = broken

    assert bench.line_of("math.copysign", 2, -2) == "ConnectionError: the database is gone"


def test_a_line_and_a_traceback_have_bounds(bench):
    outcome = bench.outcome_of(task_samples.raise_long)

    assert len(pickle.loads(outcome.value)) <= ERROR_CHARACTERS_MAX
    assert len(outcome.traceback) <= TRACEBACK_CHARACTERS_MAX
    assert "raise_long" in outcome.traceback


def test_a_traceback_that_cannot_be_had_is_said_to_be_so(bench):
    class Hostile(Exception):
        @property
        def __notes__(self):
            raise SystemExit

    def fail():
        raise Hostile("no")

    bench.worker._scope = contextmanager(lambda: (fail(), (yield)))
    outcome = bench.outcome_of("math.copysign", 2, -2)

    assert pickle.loads(outcome.value) == "Hostile: no"
    assert outcome.traceback == "(the traceback cannot be had: SystemExit)"


def test_a_worker_with_nothing_to_do_takes_what_is_on_offer(bench):
    bench.sentinel.offer((1, parts.delivery(1)), (2, parts.delivery(2)))
    for _ in range(2):
        bench.worker.step()

    assert [type(message) for message in bench.heard()] == [Started, Returned, Started]
    assert bench.sentinel.offers == []


def test_a_message_that_is_for_another_box_is_passed_over(bench):
    bench.sentinel.send(Credit(5))

    assert bench.worker.step() == Wait(None)
    assert bench.heard() == []
