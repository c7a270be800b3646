"""Holds the group functions, and the cache as a place of results: order, numbers, waiting, refusals."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from djq.exceptions import TaskRefused
from djq.models import Failure, Success, Task
from djq.runtime.clock import SystemClock
from djq.tasks import (
    AsyncTask,
    Chain,
    Iter,
    async_chain,
    async_iter,
    async_task,
    async_tasks,
    count_group,
    delete_cached,
    delete_group,
    fetch,
    fetch_group,
    queue_size,
    result,
    result_group,
)
from tests.django import task_samples as samples

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]
each_place = pytest.mark.parametrize("cached", [False, True])
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def run(*values, cached=False, group="g", **options):
    """Run a task for each value here and now; None fails."""
    return [
        async_task(
            samples.fail if value is None else samples.give,
            value,
            group=group,
            sync=True,
            cached=cached,
            **options,
        )
        for value in values
    ]


def keep(*numbers, group="g", success=True):
    Task.objects.bulk_create(
        Task(id=f"{n:032x}", name=f"n{n}", func="f.g", group=group, started=NOON, stopped=NOON)
        for n in numbers
    )
    if not success:
        Task.objects.filter(id__in=[f"{n:032x}" for n in numbers]).update(success=False)


class Growing:
    """Lets a group grow while its outcomes are counted."""

    def __init__(self, grow):
        self.grow, self.counts = grow, 0

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith("SELECT COUNT"):
            self.counts += 1
            self.grow(self.counts)
        return execute(sql, params, many, context)


# Order and numbers.


@each_place
def test_a_group_is_in_the_order_of_the_calls(cached):
    run(5, 1, 4, 2, 3, cached=cached)

    assert result_group("g", cached=cached) == [5, 1, 4, 2, 3]
    assert [task.result for task in fetch_group("g", cached=cached)] == [5, 1, 4, 2, 3]


@each_place
def test_calls_of_one_moment_are_in_their_order_too(cached):
    with freeze_time(NOON):
        run(*range(30), cached=cached)
        tasks = fetch_group("g", cached=cached)

        assert {task.started for task in tasks} == {NOON}
        assert [task.result for task in tasks] == list(range(30))
        assert result_group("g", cached=cached) == list(range(30))


@each_place
def test_a_wait_ends_although_the_clock_stands_still(cached):
    with freeze_time(NOON):
        run(1, cached=cached)

        assert result_group("g", wait=20, count=2, cached=cached) == [1]


@each_place
def test_failures_are_counted_and_left_out_as_documented(cached):
    run(1, None, 2, cached=cached)
    line = "ValueError: told to"

    assert result_group("g", cached=cached) == [1, 2]
    assert result_group("g", failures=True, cached=cached) == [1, line, 2]
    assert [task.result for task in fetch_group("g", cached=cached)] == [1, line, 2]
    assert [task.result for task in fetch_group("g", False, cached=cached)] == [1, 2]
    assert (count_group("g", cached=cached), count_group("g", True, cached=cached)) == (3, 1)


@each_place
def test_what_is_not_there_is_empty(cached):
    assert result_group("none", cached=cached) == []
    assert list(fetch_group("none", cached=cached)) == []
    assert (count_group("none", cached=cached), delete_group("none", cached=cached)) == (0, 0)
    assert delete_group("none", tasks=True, cached=cached) == 0


def test_the_database_gives_a_queryset_and_the_cache_a_list():
    run(1, None)
    successes = fetch_group("g").exclude(success=False)

    assert isinstance(successes, QuerySet)
    assert [task.result for task in successes] == [1]
    assert isinstance(fetch_group("g", cached=True), list)


@each_place
def test_a_label_may_be_taken_off_or_the_tasks_deleted(cached):
    first, second = run(1, 2, cached=cached)
    taken_off = delete_group("g", cached=cached)
    left = fetch(first, cached=cached), count_group("g", cached=cached)
    third, fourth = run(3, 4, cached=cached)
    deleted = delete_group("g", tasks=True, cached=cached)

    assert (taken_off, left[0].result, left[0].group, left[1]) == (2, 1, None, 0)
    assert (deleted, fetch(third, cached=cached), fetch(fourth, cached=cached)) == (2, None, None)
    assert fetch(second, cached=cached) is not None


# Waiting.


@each_place
@pytest.mark.parametrize("wait", [0, -1, 60_000])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_count_that_is_met_costs_no_wait(cached, wait, count):
    run(1, None, 2, cached=cached)

    assert result_group("g", wait=wait, count=count, cached=cached) == [1, 2]
    assert len(fetch_group("g", wait=wait, count=count, cached=cached)) == 3


@each_place
def test_a_count_that_is_not_met_gives_what_there_is_at_the_end(cached):
    run(1, None, cached=cached)

    assert result_group("g", wait=5, count=3, cached=cached) == [1]
    assert len(fetch_group("g", wait=5, count=3, cached=cached)) == 2
    assert result_group("none", wait=5, count=1, cached=cached) == []


@pytest.mark.parametrize("wait", [0, -1, 60_000])
@pytest.mark.parametrize("step", [1, 5])
def test_a_count_waits_until_there_are_at_least_so_many(wait, step):
    growing = Growing(lambda n: keep(*range(n * step, (n + 1) * step), success=n % 2))
    with connection.execute_wrapper(growing):
        result_group("g", wait=wait, count=4)

    assert growing.counts == (4 if step == 1 else 1)


def test_without_a_count_a_wait_is_for_the_first_result():
    # Each look counts all, and then the failures.
    growing = Growing(lambda n: keep(*[n] * (n % 2), success=n == 7))
    with connection.execute_wrapper(growing):
        first = result_group("g", wait=-1)

    assert (first, growing.counts) == ([None], 8)


def test_where_failures_are_wanted_a_failure_is_the_first():
    growing = Growing(lambda n: keep(n, success=False))
    with connection.execute_wrapper(growing):
        tasks = list(fetch_group("g", wait=-1))

    assert (len(tasks), growing.counts) == (1, 1)


@each_place
def test_where_only_failures_are_there_a_wait_for_results_ends_without(cached):
    run(None, cached=cached)

    assert result_group("g", wait=5, cached=cached) == []
    assert result_group("g", failures=True, wait=-1, cached=cached) == ["ValueError: told to"]


@each_place
def test_without_wait_and_count_nothing_is_waited_for(cached, django_assert_num_queries):
    with django_assert_num_queries(0 if cached else 1):
        assert result_group("none", cached=cached) == []


def test_waiting_for_a_thousand_costs_fewer_than_a_hundred_queries():
    clock = SystemClock()
    began, there = clock.monotonic(), [0]

    def grow(_number):
        due = min(int((clock.monotonic() - began) * 1_000) + 1, 1_000)
        keep(*range(there[0], due))
        there[0] = due

    growing = Growing(grow)
    with connection.execute_wrapper(growing), CaptureQueriesContext(connection) as asked:
        values = result_group("g", wait=60_000, count=1_000)
    ours = [query for query in asked.captured_queries if query["sql"].startswith("SELECT")]

    assert len(values) == 1_000
    # A busy machine looks less often.
    assert 3 < growing.counts <= len(ours) < 100


# The methods of Task.


def test_a_task_knows_its_group():
    first, _, third = run(1, None, 3)
    task = Task.get_task(first)

    assert (task.group_count(), task.group_count(failures=True)) == (3, 1)
    assert task.group_result() == [1, 3]
    assert task.group_result(failures=True) == [1, "ValueError: told to", 3]
    assert (task.group_delete(), task.group, count_group("g")) == (3, "g", 0)
    assert (task.group_delete(), Task.get_task(third).group) == (0, None)


def test_a_task_can_delete_its_group_and_itself():
    (first, _) = run(1, 2)
    run(3, group="other")
    task = Task.get_task(first)

    assert (task.group_delete(tasks=True), Task.objects.count()) == (2, 1)


@each_place
def test_a_task_without_a_group_has_none(cached):
    (task_id,) = run(1, cached=cached, group=None)
    task = fetch(task_id, cached=cached)

    assert (task.group_result(), task.group_count(), task.group_delete()) == ([], 0, 0)


def test_the_class_methods_find_tasks_and_groups():
    first, second = run(1, None, task_name="same")

    assert (Task.get_result(first), Task.get_result("nobody")) == (1, None)
    assert Task.get_task("same").id == second
    assert Task.get_task("nobody") is None
    assert Task.get_result_group("g") == [1]
    assert len(Task.get_result_group("g", failures=True)) == 2
    assert [task.id for task in Task.get_task_group("g")] == [first, second]
    assert [task.id for task in Task.get_task_group("g", failures=False)] == [first]
    assert (Task.get_group_count("g"), Task.get_group_count("g", failures=True)) == (2, 1)
    assert (Success.objects.get().id, Failure.objects.get().id) == (first, second)
    assert (Task.delete_group("g"), Task.get_group_count("g")) == (2, 0)
    assert (Task.delete_group("g", objects=True), Task.objects.count()) == (0, 2)


def test_a_task_from_the_cache_finds_its_group_there():
    run(9, cached=False)
    first, *_ = run(1, None, 3, cached=True)
    task = fetch(first, cached=True)

    assert (task.group_count(), task.group_count(failures=True)) == (3, 1)
    assert task.group_result() == [1, 3]
    assert (task.group_delete(tasks=True), task.group) == (3, "g")
    assert (fetch(first, cached=True), count_group("g")) == (None, 1)


def test_a_task_from_the_cache_that_was_saved_has_its_group_in_the_database():
    run(9, cached=False)
    first, _ = run(1, 2, cached=True)
    task = fetch(first, cached=True)
    task.save()

    assert task.group_result() == [9, 1]
    assert result(first, cached=False) == 1


# The cache.


@pytest.mark.parametrize("cached", [True, 60, 0.5])
def test_a_cached_result_is_found_by_id_and_by_name_and_nowhere_else(cached):
    (task_id,) = run("value", cached=cached, task_name="mine")

    assert result(task_id, cached=cached) == result("mine", wait=-1, cached=True) == "value"
    assert (fetch("mine", cached=True).group, result(task_id)) == ("g", None)
    assert not Task.objects.exists()


@pytest.mark.parametrize("value", [None, 0, False, "", []])
def test_a_cached_value_that_is_false_is_given_at_once(value):
    task_id = async_task(samples.give, value, sync=True, cached=True)

    assert result(task_id, wait=-1, cached=True) == value
    assert fetch(task_id, wait=-1, cached=True).success


def test_a_cached_task_can_be_stored():
    (task_id,) = run(1, cached=True)
    fetch(task_id, cached=True).save()
    task = Task.objects.get(id=task_id)

    assert (task.result, task.success, task.func) == (1, True, "tests.django.task_samples.give")


def test_a_cached_task_can_be_deleted_by_id_or_name():
    first, second = run(1, 2, cached=True)
    name = fetch(second, cached=True).name

    assert (delete_cached(first), delete_cached(first), delete_cached(name)) == (True, False, True)
    assert (count_group("g", cached=True), result_group("g", cached=True)) == (0, [])


def test_the_setting_sends_results_to_the_cache_unless_the_call_says_no(settings):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", "cached": True, "sync": True}
    cached, stored = async_task(samples.give, 1), async_task(samples.give, 2, cached=False)
    numbers, chain = async_iter(samples.give, [3]), async_chain([(samples.give, (4,))])

    assert (result(cached), result(numbers), result_group(chain)) == (1, [3], [4])
    assert (result(stored), result(stored, cached=False)) == (None, 2)
    assert Task.objects.count() == 1


SENDS = {
    "async_task": lambda cached: async_task("m.f", cached=cached),
    "q_options": lambda cached: async_task("m.f", q_options={"cached": cached}),
    "async_tasks": lambda cached: async_tasks(["m.f"], cached=cached),
    "a call of async_tasks": lambda cached: async_tasks([("m.f", (), {"cached": cached})]),
    "async_iter": lambda cached: async_iter("m.f", [1], cached=cached),
    "async_iter of nothing": lambda cached: async_iter("m.f", [], cached=cached),
    "async_chain": lambda cached: async_chain(["m.f"], cached=cached),
    "AsyncTask": lambda cached: AsyncTask("m.f", cached=cached).run(),
    "Iter": lambda cached: Iter("m.f", [1], cached=cached).run(),
    "Chain": lambda cached: Chain(["m.f"], cached=cached).run(),
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
@pytest.mark.parametrize("cached", [True, 60])
def test_a_cache_that_workers_do_not_share_is_refused_with_a_sentence(send, cached):
    with pytest.raises(TaskRefused, match=r"LocMemCache, which processes do not share"):
        send(cached)

    assert queue_size() == 0
    assert not Task.objects.exists()


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
@pytest.mark.parametrize("sync", [False, True])
def test_a_cache_that_keeps_nothing_is_refused_in_sync_mode_too(send, sync, settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"sync": sync}

    with pytest.raises(TaskRefused, match=r"DummyCache, which keeps nothing"):
        send(True)

    assert queue_size() == 0
    assert not Task.objects.exists()


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
def test_what_is_not_cached_needs_no_shared_cache(send):
    assert send(False)
