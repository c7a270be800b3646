"""The documented functions and classes (the manual, 1.4 to 1.7): ask for tasks, get what came of them."""

from __future__ import annotations

from djq.core.joined import ElementFailed
from djq.tasks.awaiting import (
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
)
from djq.tasks.chaining import Chain, async_chain
from djq.tasks.iterating import Iter, async_iter
from djq.tasks.objects import Async, AsyncTask
from djq.tasks.reading import (
    count_group,
    delete_cached,
    delete_group,
    fetch,
    fetch_group,
    queue_size,
    result,
    result_group,
)
from djq.tasks.scheduling import schedule
from djq.tasks.sending import async_task, async_tasks

__all__ = [
    "Async",
    "AsyncTask",
    "Chain",
    "ElementFailed",
    "Iter",
    "acount_group",
    "adelete_cached",
    "adelete_group",
    "aenqueue",
    "aenqueue_chain",
    "aenqueue_iter",
    "aenqueue_many",
    "afetch",
    "afetch_group",
    "aqueue_size",
    "aresult",
    "aresult_group",
    "async_chain",
    "async_iter",
    "async_task",
    "async_tasks",
    "count_group",
    "delete_cached",
    "delete_group",
    "fetch",
    "fetch_group",
    "queue_size",
    "result",
    "result_group",
    "schedule",
]
