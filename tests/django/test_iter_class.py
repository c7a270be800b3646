"""Holds `Iter`: arguments that are collected, run together, and give one list."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime

import pytest
from django.db import connection

from djq.core.call import load_call
from djq.core.joined import ElementFailed
from djq.exceptions import TaskRefused
from djq.models import Task
from djq.tasks import Iter, fetch
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker, CountingCache

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
each_place = pytest.mark.parametrize("cached", [False, True])


def test_the_documented_example_gives_what_it_says():
    numbers = Iter("math.copysign", sync=True)
    counts = [numbers.append(1, -1), numbers.append(2, -1), numbers.append(3, -1)]
    iter_id = numbers.run()

    assert counts == [1, 2, 3]
    assert numbers.length() == 3
    assert numbers.result() == [-1.0, -2.0, -3.0]
    assert numbers.id == iter_id


@each_place
def test_its_arguments_may_be_given_at_once(cached):
    numbers = Iter(math.floor, (n + 0.5 for n in range(3)), cached=cached, sync=True)
    numbers.run()

    assert numbers.result() == [0, 1, 2]
    assert (fetch(numbers.id, cached=True) is not None) is cached
    assert (fetch(numbers.id, cached=False) is None) is cached


def test_elements_that_run_here_have_one_store(settings):
    """A store of its own for each would read all that the others have kept once more."""
    path = f"{CountingCache.__module__}.{CountingCache.__qualname__}"
    options = {"MAX_ENTRIES": 10_000}
    settings.CACHES = {"default": {"BACKEND": path, "LOCATION": "counted", "OPTIONS": options}}

    few, many = (reads_of_an_iter(count) for count in (50, 200))

    assert many <= 5 * few


def reads_of_an_iter(count):
    before = CountingCache.reads
    numbers = Iter(math.floor, range(count), cached=True, sync=True)
    numbers.run()
    assert numbers.result() == list(range(count))
    return CountingCache.reads - before


@each_place
def test_it_gives_a_task_for_each_element_and_stores_one(cached):
    own = {"group": "g", "task_name": "mine", "step": 10}
    numbers = Iter(samples.grow, [1, (2,), "x"], own, cached, sync=True)
    numbers.run()
    tasks = numbers.fetch()

    assert [task.args for task in tasks] == [(1,), (2,), ("x",)]
    assert {task.func for task in tasks} == {"tests.django.task_samples.grow"}
    assert [task.kwargs for task in tasks] == [{"step": 10}] * 3
    assert [task.success for task in tasks] == [True, True, False]
    assert [task.result for task in tasks][:2] == [11, 12]
    assert (type(tasks[2].result), tasks[2].result.split(":")[0]) == (str, "TypeError")
    assert {(task.name, task.group) for task in tasks} == {("mine", "g")}
    assert len({task.id for task in tasks} | {numbers.id}) == 4
    assert Task.objects.count() == (0 if cached else 1)


def test_a_failed_element_has_its_line_in_the_list():
    roots = Iter("math.sqrt", [4, -1], sync=True)
    roots.run()
    four, line = roots.result()

    assert four == 2.0
    assert isinstance(line, ElementFailed)
    assert line.startswith("ValueError")


def test_results_that_cannot_be_kept_together_are_each_the_line_that_says_so():
    numbers = Iter(samples.give, [1, 2], sync=True)
    numbers.run()
    Task.objects.update(value=pickle.dumps("StoreRefused: no"), success=False)

    assert numbers.result() == ["StoreRefused: no"] * 2
    assert [task.success for task in numbers.fetch()] == [False, False]


@each_place
def test_an_iter_without_elements_has_an_empty_list(cached):
    nothing = Iter(samples.give, cached=cached, sync=True)
    nothing.run()

    assert (nothing.length(), nothing.result(), nothing.fetch()) == (0, [], [])
    assert fetch(nothing.id, cached=cached).result == []


def test_without_a_function_it_does_not_run():
    with pytest.raises(TaskRefused, match="no function"):
        Iter(args=[1]).run()


def test_a_function_may_be_given_later():
    late = Iter(sync=True)
    late.func = samples.give
    late.append("a")
    late.run()

    assert late.result() == ["a"]


# Options.


def test_its_options_and_those_among_the_keywords_are_used():
    broker = CountingBroker()
    own = {"timeout": 3, "hook": "a.b", "key": 1, "broker": CountingBroker()}
    Iter("builtins.dict", [()], own, broker=broker).run()
    (message,) = broker.sent()

    assert (message.timeout, message.hook) == (3, None)
    assert load_call(message.body)[2] == {"key": 1}
    assert own["broker"].calls == []


def test_what_is_not_set_leaves_the_options_among_the_keywords():
    broker = CountingBroker()
    Iter("builtins.dict", [()], {"q_options": {"broker": broker}, "group": 1}).run()

    assert [load_call(message.body)[2] for message in broker.sent()] == [{"group": 1}]


def test_the_cache_among_the_keywords_is_where_the_result_is_found():
    numbers = Iter(samples.give, [1], {"q_options": {"cached": True, "sync": True}})
    numbers.run()

    assert numbers.result() == [1]
    assert not Task.objects.exists()


def test_the_caller_s_objects_are_not_changed():
    elements, own = [1], {"q_options": {"sync": True}}
    numbers = Iter(samples.give, elements, own, cached=False)
    numbers.append(2)
    numbers.run()

    assert (elements, own) == ([1], {"q_options": {"sync": True}})


@pytest.mark.parametrize("option", [{"cached": "yes"}, {"sync": 1}, {"broker": "default"}])
def test_a_wrong_option_is_refused_by_name(option):
    with pytest.raises(TaskRefused, match=f"option {next(iter(option))}"):
        Iter(samples.give, [1], **option).run()


# What makes the result void.


CHANGES = {
    "append": lambda one: one.append(3),
    "args": lambda one: setattr(one, "args", [object()]),
    "an element": lambda one: one.args.__setitem__(0, object()),
    "kwargs": lambda one: setattr(one, "kwargs", {"key": 1}),
    "a keyword": lambda one: one.kwargs.update(key=1),
    "func": lambda one: setattr(one, "func", samples.pair),
    "cached": lambda one: setattr(one, "cached", True),
    "sync": lambda one: setattr(one, "sync", False),
    "broker": lambda one: setattr(one, "broker", CountingBroker()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_makes_the_result_void(change):
    numbers = Iter(samples.give, [1, 2], sync=True)
    before = numbers.started, numbers.result(), numbers.fetch(), numbers.id
    numbers.run()
    between = numbers.started, numbers.result()
    change(numbers)

    assert before == (False, [], [], None)
    assert between == (True, [1, 2])
    assert (numbers.started, numbers.result(), numbers.fetch()) == (False, [], [])


def test_a_second_run_has_results_of_its_own():
    numbers = Iter(samples.give, [1], sync=True)
    first = numbers.run()
    numbers.append(2)
    second = numbers.run()

    assert first != second
    assert numbers.result() == [1, 2]
    assert fetch(first).result == [1]


def test_a_wait_that_ends_has_no_results():
    numbers = Iter(samples.give, [1], broker=CountingBroker())
    numbers.run()

    assert (numbers.started, numbers.result(wait=3), numbers.fetch(wait=3)) == (True, [], [])


@pytest.mark.parametrize("wait", [0, -1, 60_000])
def test_without_an_end_it_waits_until_the_results_are_there(wait):
    numbers = Iter(samples.give, [1], broker=CountingBroker())
    numbers.run()
    looks = []

    def store_before_the_third_look(execute, sql, *rest):
        if sql.startswith("SELECT"):
            looks.append(sql)
            if len(looks) == 3:
                Task.objects.create(id=numbers.id, started=NOON, stopped=NOON, result=["late"])
        return execute(sql, *rest)

    with connection.execute_wrapper(store_before_the_third_look):
        assert numbers.result(wait) == ["late"]
