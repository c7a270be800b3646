"""Holds the functions for coroutines: they await where the others block, and the loop goes on."""

from __future__ import annotations

import asyncio
import inspect
from itertools import pairwise

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from djq import tasks
from djq.exceptions import TaskRefused
from djq.models import Task
from djq.runtime.clock import SystemClock
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]
each_place = pytest.mark.parametrize("cached", [False, True])


def awaited(function):
    """Let a test be a coroutine: Django's part of it runs in the test's own thread."""

    def test(*args, **kwargs):
        return async_to_sync(function)(*args, **kwargs)

    test.__name__ = function.__name__
    test.__signature__ = inspect.signature(function)
    test.pytestmark = getattr(function, "pytestmark", [])
    return test


TWINS = {
    "aresult": "result",
    "afetch": "fetch",
    "aresult_group": "result_group",
    "afetch_group": "fetch_group",
    "acount_group": "count_group",
    "adelete_group": "delete_group",
    "aqueue_size": "queue_size",
}


@pytest.mark.parametrize(("twin", "name"), TWINS.items())
def test_a_twin_takes_what_its_function_takes(twin, name):
    one, other = (
        [(p.name, p.default) for p in inspect.signature(getattr(tasks, each)).parameters.values()]
        for each in (twin, name)
    )

    assert one == other
    assert inspect.iscoroutinefunction(getattr(tasks, twin))


def test_inside_a_loop_django_refuses_what_the_plain_functions_do():
    async def blocking():
        tasks.fetch("nobody")

    with pytest.raises(SynchronousOnlyOperation):
        async_to_sync(blocking)()


@awaited
async def test_a_task_is_sent_and_its_result_found():
    task_id = await tasks.aenqueue(samples.give, 7, sync=True)

    assert await tasks.aresult(task_id) == 7
    assert (await tasks.afetch(task_id, wait=-1)).id == task_id
    assert (await tasks.aresult("nobody"), await tasks.afetch("nobody", wait=3)) == (None, None)


@each_place
@awaited
async def test_many_are_sent_and_their_group_found(cached):
    options = {"group": "g", "sync": True, "cached": cached}
    ids = await tasks.aenqueue_many([(samples.give, (1,)), samples.fail], **options)

    assert len(ids) == await tasks.acount_group("g", cached=cached) == 2
    assert await tasks.acount_group("g", failures=True, cached=cached) == 1
    assert await tasks.aresult_group("g", count=2, cached=cached) == [1]
    assert [task.id for task in await tasks.afetch_group("g", cached=cached)] == ids
    assert isinstance(await tasks.afetch_group("g", wait=-1, cached=cached), list)
    assert await tasks.aresult_group("none", wait=3, cached=cached) == []
    assert await tasks.adelete_cached(ids[0]) is cached
    assert await tasks.adelete_group("g", tasks=True, cached=cached) == (1 if cached else 2)


@awaited
async def test_iters_and_chains_are_sent():
    broker = CountingBroker()
    iter_id = await tasks.aenqueue_iter(samples.give, iter([1, 2]), sync=True)
    label = await tasks.aenqueue_chain([(samples.give, (3,))], sync=True, on_failure="continue")
    await tasks.aenqueue("m.f", broker=broker)

    assert (await tasks.aresult(iter_id), await tasks.aresult_group(label)) == ([1, 2], [3])
    assert await tasks.aqueue_size(broker) == 1


@awaited
async def test_a_refusal_is_the_caller_s_own():
    with pytest.raises(TaskRefused):
        await tasks.aenqueue(lambda: 1)


@awaited
async def test_the_loop_goes_on_while_a_result_is_waited_for():
    clock, ticks = SystemClock(), []

    async def tick():
        while len(ticks) < 30:
            ticks.append(clock.monotonic())
            await clock.apause(0.001)
        return await tasks.aenqueue(samples.give, "late", sync=True, task_name="mine", group="g")

    answers = await asyncio.gather(
        tasks.aresult("mine", wait=-1),
        tasks.afetch("mine", wait=60_000),
        tasks.aresult_group("g", count=1),
        tick(),
    )

    assert (answers[0], answers[1].result, answers[2]) == ("late", "late", ["late"])
    assert len(ticks) == 30
    # The longest pause of a wait is 50 ms; a wait that blocked would show it here.
    assert sorted(after - before for before, after in pairwise(ticks))[15] < 0.02


@awaited
async def test_a_result_is_opened_where_it_may_ask_the_database():
    task_id = await tasks.aenqueue(samples.CountsTasks, sync=True, group="g")

    assert await tasks.aresult(task_id) == 1
    assert await tasks.aresult_group("g") == [1]


def test_it_works_under_asyncio_alone():
    async def send():
        broker = CountingBroker()
        await tasks.aenqueue("m.f", broker=broker)
        return await tasks.aqueue_size(broker)

    assert asyncio.run(send()) == 1


@awaited
async def test_a_wait_that_is_cancelled_ends():
    waiting = asyncio.ensure_future(tasks.aresult("nobody", wait=-1))
    await SystemClock().apause(0.003)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await sync_to_async(Task.objects.count)() == 0
