"""Holds `AsyncTask`, that is `Async`: its attributes, and that a change of any makes the result void."""

from __future__ import annotations

import copy

import pytest

from djq.core.call import load_call
from djq.exceptions import TaskRefused
from djq.tasks import Async, AsyncTask, async_task, fetch
from djq.tasks.snapshot import Snapshot
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]
each_place = pytest.mark.parametrize("cached", [False, True])

OPTIONS = {
    "sync": False,
    "save": True,
    "hook": "a.b",
    "group": "g",
    "cached": False,
    "timeout": 3,
    "task_name": "mine",
    "on_commit": False,
    "max_attempts": 2,
}


class Odd:
    """Answers a comparison as an array does: with no truth."""

    def __init__(self, size=2):
        self.size = size

    def __eq__(self, other):
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None


class Spy(CountingBroker):
    """Takes tasks that say nothing of their sending."""


@pytest.fixture
def broker():
    return Spy()


def ran(func=samples.give, *args, **kwargs):
    task = AsyncTask(func, *args or (1,), **{"sync": True, **kwargs})
    task.run()
    return task


def test_both_names_are_the_same_class():
    assert Async is AsyncTask


def test_before_it_has_run_there_is_nothing():
    task = AsyncTask(samples.give, 1, group="g")

    assert (task.id, task.started, task.result(), task.fetch()) == (None, False, None, None)


@each_place
def test_it_runs_and_has_its_result(cached):
    task = AsyncTask(samples.give, 7, sync=True, cached=cached)
    task_id = task.run()

    assert (task.id, task.started) == (task_id, True)
    assert (task.result(), task.result(wait=-1), task.fetch().id) == (7, 7, task_id)
    assert (fetch(task_id, cached=True) is not None) is cached


def test_the_documented_example_gives_what_it_says():
    task = Async("math.floor", 1.5, group="math", sync=True)
    task.cached = True
    task.run()
    first = task.result(wait=-1)
    task.args = (2.5,)
    between = task.result(wait=-1)
    task.run()

    assert (first, between, task.result(wait=10)) == (1, None, 2)
    assert task.result_group(count=2) == [1, 2]


def test_each_run_is_another_task():
    task = AsyncTask(samples.give, 1, sync=True)

    assert task.run() != task.run()


# Options.


@pytest.mark.parametrize(("name", "value"), OPTIONS.items())
def test_an_option_is_an_attribute_wherever_it_was_given(name, value):
    assert getattr(AsyncTask("m.f", **{name: value}), name) == value
    assert getattr(AsyncTask("m.f", q_options={name: value}), name) == value
    assert getattr(AsyncTask("m.f"), name) is None


@pytest.mark.parametrize("q_options", [None, {}, {"save": False}])
@pytest.mark.parametrize(("name", "value"), OPTIONS.items())
def test_an_option_that_is_set_is_an_option_of_the_task(broker, name, value, q_options):
    given = {} if q_options is None else {"q_options": q_options}
    task = AsyncTask("builtins.dict", **given)
    task.broker = broker
    setattr(task, name, value)
    task.run()
    (message,) = broker.sent()

    assert getattr(task, name) == value
    assert load_call(message.body) == ("builtins.dict", (), {})
    assert q_options in (None, {}, {"save": False})
    if name in {"hook", "group", "timeout", "max_attempts", "save", "cached"}:
        assert getattr(message, name) == value


@pytest.mark.parametrize("q_options", [{}, {"save": True}])
def test_with_q_options_a_keyword_that_is_called_like_an_option_is_the_function_s(
    broker, q_options
):
    task = AsyncTask("builtins.dict", group=7, q_options={**q_options, "broker": broker})
    before = task.group
    task.group = "g"
    task.run()
    (message,) = broker.sent()

    assert (before, task.group, message.group) == (None, "g", "g")
    assert load_call(message.body)[2] == {"group": 7}


def test_empty_q_options_leave_every_keyword_to_the_function():
    task = AsyncTask("builtins.dict", group=7, q_options={})

    assert task.group is None
    assert task.result_group() == []


def test_the_caller_s_dict_is_not_changed(broker):
    q_options = {"group": "g"}
    before = copy.copy(q_options)
    task = AsyncTask("builtins.dict", q_options=q_options)
    task.broker, task.timeout = broker, 5
    task.run()

    assert q_options == before


def test_an_option_that_is_wrong_is_refused_at_the_run(broker):
    task = AsyncTask("builtins.dict", broker=broker)
    task.timeout = -1

    with pytest.raises(TaskRefused, match="timeout"):
        task.run()
    assert (task.id, task.started, broker.calls) == (None, False, [])


def test_an_option_of_the_class_is_no_value():
    assert isinstance(AsyncTask.group, type(AsyncTask.timeout))


# What makes a result void.


def change_in_place(task):
    task.kwargs["key"] = 2


CHANGES = {
    "func": lambda task: setattr(task, "func", samples.pair),
    "args": lambda task: setattr(task, "args", (Odd(),)),
    "more args": lambda task: setattr(task, "args", (*task.args, 1)),
    "fewer args": lambda task: setattr(task, "args", ()),
    "kwargs": lambda task: setattr(task, "kwargs", {**task.kwargs, "key": 1}),
    "a keyword": change_in_place,
    "a keyword less": lambda task: task.kwargs.pop("sync"),
    "broker": lambda task: setattr(task, "broker", Spy()),
    "no kwargs": lambda task: setattr(task, "kwargs", None),
    "q_options": lambda task: task.kwargs.update(q_options={"sync": True}),
    **{
        name: (lambda task, name=name, value=value: setattr(task, name, value))
        for name, value in OPTIONS.items()
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_any_parameter_makes_the_result_void(change):
    task = ran()
    before = task.result()
    change(task)

    assert before == 1
    assert (task.started, task.result(wait=-1), task.fetch(wait=-1)) == (False, None, None)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "sync"])
def test_a_change_of_an_option_in_q_options_makes_the_result_void(name):
    task = AsyncTask(samples.give, 1, q_options={"sync": True})
    task.run()
    setattr(task, name, OPTIONS[name])

    assert not task.started


def test_a_keyword_that_becomes_an_option_makes_the_result_void():
    five, task = 5.0, AsyncTask("builtins.dict", q_options={"sync": True}, timeout=5.0)
    task.kwargs["timeout"] = five
    task.run()
    task.kwargs = {"q_options": {**task.kwargs["q_options"], "timeout": five}}

    assert not task.started


def test_what_is_changed_back_is_as_it_was():
    task = ran(samples.give, 1, group="g")
    task.group = "other"
    task.group = "g"

    assert task.result() == 1


def test_values_that_cannot_be_compared_are_parameters_like_any_other():
    odd = Odd()
    task = AsyncTask(samples.pair, odd, second=odd, sync=True)
    task.run()
    same = task.started, len(task.result())
    task.args = (Odd(),)

    assert same == (True, 2)
    assert not task.started


def test_a_snapshot_is_equal_to_snapshots_alone():
    assert Snapshot() == Snapshot()
    assert Snapshot() != 0
    assert Snapshot().add([1]) != Snapshot().add([1, 1])


# Groups.


@each_place
def test_its_group_is_had_from_it_without_a_run(cached):
    for value in (1, 2):
        async_task(samples.give, value, group="g", sync=True, cached=cached)
    async_task(samples.fail, group="g", sync=True, cached=cached)
    task = AsyncTask("m.f", group="g", cached=cached)

    assert task.result_group(count=3) == [1, 2]
    assert task.result_group(failures=True, wait=1) == [1, 2, "ValueError: told to"]
    assert [one.success for one in task.fetch_group()] == [True, True, False]
    assert [one.result for one in task.fetch_group(failures=False)] == [1, 2]
    assert isinstance(task.fetch_group(), list) is cached


def test_without_a_group_there_is_none():
    task = ran()

    assert (task.result_group(count=5), task.fetch_group(count=5)) == ([], [])
