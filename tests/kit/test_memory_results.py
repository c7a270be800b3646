"""Without a database results are looked at as with one: the same verbs, the same answers."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.core.cache import cache

from djq.models import Task
from djq.tasks import (
    Async,
    Chain,
    Iter,
    async_task,
    count_group,
    delete_cached,
    delete_group,
    fetch,
    fetch_group,
    result,
    result_group,
)
from djq.wiring import wired
from djq_testing.clock import ManualClock
from djq_testing.cluster import LocalCluster
from djq_testing.held import HeldQueue
from djq_testing.sync import SyncTasks
from tests.kit import samples

TOLD = ["func", "hook", "group", "args", "kwargs", "result", "success", "attempts", "from_cache"]


@contextmanager
def held(store):
    with HeldQueue(store=store) as queue:
        yield queue.run_until_idle


@contextmanager
def inline(store):
    with SyncTasks(store=store):
        yield lambda: None


@contextmanager
def cluster(store):
    with LocalCluster(store=store) as local:
        yield local.run_until_idle


def told(task):
    return None if task is None else [getattr(task, name) for name in TOLD]


def of_groups(run):
    first = async_task(samples.add, 1, 2, group="g")
    async_task(samples.fail, group="g")
    run()
    task = fetch(first)
    yield told(task), [told(each) for each in fetch_group("g")], str(task) == task.name
    yield task.group_result(), task.group_count(), task.group_count(failures=True)
    yield Task.get_result(first), Task.get_group_count("g"), Task.get_result_group("g")
    yield task.group_delete(), count_group("g"), result(first)
    yield delete_group("g", tasks=True), result("nobody")


def of_the_cache(run):
    first = async_task(samples.add, 1, 2, cached=True, group="g")
    async_task(samples.add, 3, 4, cached=60, group="g")
    run()
    yield result(first), told(fetch(first, cached=True)), fetch(first, cached=True).group_result()
    yield result_group("g"), result_group("g", cached=True), count_group("g", cached=True)
    yield delete_cached(first), result(first, cached=True), delete_cached(first)


def of_objects(run, *, cached):
    parts = Iter(samples.add, cached=cached)
    parts.append(1, 2)
    parts.append(3, 4)
    chain = Chain([(samples.add, (1, 1)), (samples.add, (2, 2))], cached=cached)
    one = Async(samples.add, 1, 1, cached=cached, hook=samples.hear)
    for each in (parts, chain, one):
        each.run()
        run()
    yield parts.result(), [told(each) for each in parts.fetch()]
    yield chain.result(), [each.result for each in chain.fetch()], chain.current()
    yield one.result(), told(one.fetch())


def of_cached_objects(run):
    return of_objects(run, cached=True)


def of_kept_objects(run):
    return of_objects(run, cached=False)


@pytest.mark.django_db
@pytest.mark.parametrize("kit", [held, inline, cluster])
@pytest.mark.parametrize("answers", [of_groups, of_the_cache, of_kept_objects, of_cached_objects])
def test_answers_are_those_of_a_database(kit, answers):
    cache.clear()
    with kit("database") as run:
        real = list(answers(run))
    with kit("memory") as run:
        assert list(answers(run)) == real


def test_what_a_hook_is_given_knows_its_group(calls):
    with HeldQueue(store="memory") as queue:
        async_task(samples.add, 1, 2, group="g", hook=samples.count_its_group)
        queue.run_until_idle()

    assert calls == [("count", 1, 1)]


def test_cached_results_expire_by_the_clock_and_leave_the_projects_cache_alone():
    cache.clear()
    clock = ManualClock()
    with HeldQueue(store="memory") as queue, wired(clock=clock):
        task_id = async_task(samples.add, 1, 2, cached=60)
        queue.run_until_idle()
        assert result(task_id, cached=True) == 3

        clock.advance(60)

        assert result(task_id, cached=True) is None
    assert not cache._cache


def test_the_limit_of_the_project_holds(settings):
    settings.Q_CLUSTER = {**settings.Q_CLUSTER, "save_limit": -1}
    with HeldQueue(store="memory") as queue:
        kept, failed = async_task(samples.add, 1, 2), async_task(samples.fail)
        queue.run_until_idle()

        assert (fetch(kept), fetch(failed).success) == (None, False)
