"""Holds what a monitor makes of an iter's elements: one outcome, once, when all are there."""

from __future__ import annotations

import pytest

from djq.core.call import dump_call
from djq.core.events import TaskSaved
from djq.core.protocol import Verdict
from tests.components.chain_bench import HOOK, ChainBench, failed, succeeded
from tests.core.chain_samples import link

each_database = pytest.mark.parametrize("one_database", [False, True])


def element(place, total=3):
    return link(
        place,
        name="the-iter",
        body=dump_call("m.f", (place,), {}),
        iter="a" * 32,
        total=total,
        group=None,
    )


def elements(total=3):
    return [succeeded(element(place, total), place) for place in range(total)]


@each_database
def test_elements_become_one_outcome_when_the_last_is_there(one_database):
    bench = ChainBench(one_database=one_database)
    first, second, third = elements()
    bench.end(third)
    bench.end(first)
    between = bench.store.tasks
    bench.end(second)
    (task,) = bench.store.tasks

    assert between == []
    assert (task.id, task.result, task.success) == ("a" * 32, [0, 1, 2], True)
    assert bench.sent == []


def test_a_complete_iter_is_told_after_its_elements():
    bench = ChainBench()
    bench.end(*elements(2))
    told = [(event.task_id, event.success) for event in bench.observer.of(TaskSaved)]

    assert told == [(f"{0:032x}", True), (f"{1:032x}", True), ("a" * 32, True)]


@each_database
def test_an_element_that_comes_twice_counts_once(one_database):
    bench = ChainBench(one_database=one_database)
    first, second, third = elements()
    bench.end(first, first)
    bench.end(first, second)
    between = bench.store.tasks
    bench.end(third)
    bench.end(third)

    assert between == []
    assert [task.result for task in bench.store.tasks] == [[0, 1, 2]]


def test_a_failure_that_is_left_to_the_broker_is_no_element():
    bench = ChainBench()
    first, second = elements(2)
    bench.end(failed(first.message), verdict=Verdict.SAVE_AND_LEAVE)
    bench.end(second)
    between = bench.store.tasks
    bench.end(first)

    assert between == []
    assert [task.result for task in bench.store.tasks] == [[0, 1]]


def test_one_element_that_fails_for_good_makes_a_failure_with_all_outcomes():
    bench = ChainBench()
    first, second = elements(2)
    bench.end(first, failed(second.message, "E: no"))
    (task,) = bench.store.tasks
    whole = bench.observer.of(TaskSaved)[-1]

    assert (task.success, task.result) == (False, [0, "E: no"])
    assert whole.error == "1 of 2 elements failed; element 1: E: no"


def test_an_element_calls_no_hook():
    bench = ChainBench()
    bench.end(*[succeeded(element(place, 2), place) for place in range(2)])

    assert bench.hooks == []
    assert HOOK not in [message.func for message in bench.sent]


@each_database
@pytest.mark.parametrize("point", ["save", "acknowledge"])
def test_a_monitor_that_dies_over_the_last_element_leaves_the_iter_complete(one_database, point):
    bench = ChainBench(one_database=one_database)
    first, second = elements(2)
    bench.end(first)
    bench.store.away = bench.broker.away = {point}
    bench.give(second)
    bench.store.away = bench.broker.away = set()
    bench.replace()
    bench.end(second)

    assert [task.result for task in bench.store.tasks] == [[0, 1]]
