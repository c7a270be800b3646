"""The same for coroutines: each of these awaits where its twin without the `a` blocks.

Django's databases and caches are asked in the thread that Django keeps for that (`sync_to_async`), and
the pauses of a wait are the event loop's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import sync_to_async

from djq import assembly
from djq.ports import Broker
from djq.tasks import chaining, iterating, reading, sending
from djq.tasks.reading import Cached
from djq.tasks.sending import Call, Func
from djq.tasks.waiting import AsyncWaiter

if TYPE_CHECKING:
    from djq.models import Task


async def aenqueue(func: Func, /, *args: Any, **kwargs: Any) -> str:
    """As `async_task`."""
    return await sync_to_async(sending.async_task)(func, *args, **kwargs)


async def aenqueue_many(calls: Iterable[Call], /, **options: Any) -> list[str]:
    """As `async_tasks`."""
    return await sync_to_async(sending.async_tasks)(calls, **options)


async def aenqueue_iter(func: Func, args_iter: Iterable[Any], /, **kwargs: Any) -> str:
    """As `async_iter`."""
    return await sync_to_async(iterating.async_iter)(func, args_iter, **kwargs)


async def aenqueue_chain(chain: Iterable[Call], /, **options: Any) -> str:
    """As `async_chain`, its options as keywords."""
    return await sync_to_async(chaining.async_chain)(chain, **options)


async def aresult(task_id: str | UUID, wait: float = 0, cached: Cached = None) -> Any | None:
    """As `result`."""
    task = await afetch(task_id, wait, cached)
    # It is unpickled where a value may ask the database, and a large one stops no loop.
    return None if task is None else await sync_to_async(lambda: task.result)()


async def afetch(task_id: str | UUID, wait: float = 0, cached: Cached = None) -> Task | None:
    """As `fetch`."""
    shelf = await sync_to_async(assembly.get_shelf)(cached)
    return await _waiter().wait(sync_to_async(lambda: shelf.find(task_id)), wait)


async def aresult_group(
    group_id: str,
    failures: bool = False,
    wait: float = 0,
    count: int | None = None,
    cached: Cached = None,
) -> list[Any]:
    """As `result_group`."""
    shelf = await _wait_for_group(group_id, wait, count, cached, failures=failures)
    return await sync_to_async(shelf.group_results)(group_id, failures=failures)


async def afetch_group(
    group_id: str,
    failures: bool = True,
    wait: float = 0,
    count: int | None = None,
    cached: Cached = None,
) -> list[Task]:
    """As `fetch_group`; a list in any case, since a queryset would ask the database later."""
    shelf = await _wait_for_group(group_id, wait, count, cached, failures=failures)
    return await sync_to_async(lambda: list(shelf.group_tasks(group_id, failures=failures)))()


async def acount_group(group_id: str, failures: bool = False, cached: Cached = None) -> int:
    """As `count_group`."""
    return await sync_to_async(reading.count_group)(group_id, failures, cached)


async def adelete_group(group_id: str, tasks: bool = False, cached: Cached = None) -> int:
    """As `delete_group`."""
    return await sync_to_async(reading.delete_group)(group_id, tasks, cached)


async def adelete_cached(task_id: str | UUID) -> bool:
    """As `delete_cached`."""
    return await sync_to_async(reading.delete_cached)(task_id)


async def aqueue_size(broker: Broker | None = None) -> int:
    """As `queue_size`."""
    return await sync_to_async(reading.queue_size)(broker)


async def _wait_for_group(
    label: str, wait: float, count: int | None, cached: Cached, *, failures: bool
) -> assembly.Shelf:
    shelf = await sync_to_async(assembly.get_shelf)(cached)
    look = reading.group_look(shelf, label, wait, count, failures=failures)
    if look is not None:
        await _waiter().wait(sync_to_async(look), reading.group_wait(wait, count))
    return shelf


def _waiter() -> AsyncWaiter:
    clock = assembly.callers_clock()
    return AsyncWaiter(clock, clock.apause)
