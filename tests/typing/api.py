"""What a type checker knows of the task API: mypy reads this file, and nobody runs it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, assert_type
from uuid import UUID

from django.db.models import QuerySet

from djq.models import Task
from djq.tasks import (
    Async,
    AsyncTask,
    Chain,
    ElementFailed,
    Iter,
    acount_group,
    adelete_cached,
    adelete_group,
    aenqueue,
    aenqueue_chain,
    aenqueue_iter,
    aenqueue_many,
    afetch,
    afetch_group,
    aqueue_size,
    aresult,
    aresult_group,
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


def name(number: int) -> str:
    return str(number)


def sending() -> None:
    assert_type(async_task(name, 1, group="g", key=1), str)
    assert_type(async_task("math.floor", 1.5, q_options={"timeout": 3}), str)
    assert_type(async_tasks([name, "math.floor", (name, (1,)), [name, (1,), {}]]), list[str])
    assert_type(async_iter(name, (n for n in range(3))), str)
    assert_type(async_chain([name, ("m.f", (1,), {})], on_failure="continue"), str)
    async_chain([name], on_failure="retry")  # type: ignore[arg-type]  # one of two words
    async_task(7)  # type: ignore[arg-type]  # no function


def reading(label: str, uuid: UUID, cached: bool | float | None) -> None:
    assert_type(result(label), Any | None)
    assert_type(fetch(uuid, wait=200), Task | None)
    assert_type(result_group(label, count=3), list[Any])
    assert_type(fetch_group(label, cached=True), list[Task])
    assert_type(fetch_group(label, cached=False), QuerySet[Task, Task])
    assert_type(fetch_group(label), QuerySet[Task, Task] | list[Task])
    assert_type(fetch_group(label, cached=cached), QuerySet[Task, Task] | list[Task])
    assert_type(count_group(label), int)
    assert_type(delete_group(label), int)
    assert_type(delete_cached(label), bool)
    assert_type(queue_size(), int)
    assert fetch(label).success  # type: ignore[union-attr]  # it may be None


def objects(task: AsyncTask[str]) -> None:
    assert_type(AsyncTask(name, 1), AsyncTask[str])
    assert_type(Async(name, 1).result(), str | None)
    assert_type(AsyncTask("math.floor", 1.5).result(), Any | None)
    assert_type(task.run(), str)
    assert_type(task.id, str | None)
    assert_type(task.started, bool)
    assert_type(task.result(wait=-1), str | None)
    assert_type(task.fetch(), Task | None)
    assert_type(task.group, str | None)
    assert_type(task.timeout, float | None)
    assert_type(task.cached, bool | float | None)
    assert_type(task.result_group(), list[Any])
    assert_type(task.fetch_group(), QuerySet[Task, Task] | list[Task])
    task.cached = 60
    task.hook = name
    task.group = None
    task.group = 7  # type: ignore[assignment]  # a label is a text


def collected(numbers: Iter[int]) -> None:
    assert_type(Iter(name, [1, 2]), Iter[str])
    assert_type(Iter("math.floor").result(), list[Any | ElementFailed])
    assert_type(numbers.append(1, 2), int)
    assert_type(numbers.run(), str)
    assert_type(numbers.result(), list[int | ElementFailed])
    assert_type(numbers.fetch(), list[Task])
    assert_type(numbers.length(), int)


def chained(chain: Chain) -> None:
    assert_type(chain.append(name, 1, group="g"), int)
    assert_type(chain.run(), str)
    assert_type(chain.result(), list[Any])
    assert_type(chain.fetch(), QuerySet[Task, Task] | list[Task])
    assert_type(chain.current(), int | None)
    assert_type(chain.length(), int)


def stored(task: Task) -> None:
    assert_type(task.started, datetime)
    assert_type(task.args, tuple[Any, ...])
    assert_type(task.kwargs, dict[str, Any])
    assert_type(task.time_taken(), float)
    assert_type(task.group_result(), list[Any])
    assert_type(task.group_count(failures=True), int)
    assert_type(task.group_delete(tasks=True), int)
    assert_type(Task.get_result("id"), Any | None)
    assert_type(Task.get_task("id"), Task | None)
    assert_type(Task.get_task_group("g"), QuerySet[Task, Task])
    assert_type(Task.get_group_count("g"), int)


async def awaited(label: str) -> None:
    assert_type(await aenqueue(name, 1), str)
    assert_type(await aenqueue_many([name]), list[str])
    assert_type(await aenqueue_iter(name, [1]), str)
    assert_type(await aenqueue_chain([name]), str)
    assert_type(await aresult(label), Any | None)
    assert_type(await afetch(label), Task | None)
    assert_type(await aresult_group(label), list[Any])
    assert_type(await afetch_group(label), list[Task])
    assert_type(await acount_group(label), int)
    assert_type(await adelete_group(label), int)
    assert_type(await adelete_cached(label), bool)
    assert_type(await aqueue_size(), int)
