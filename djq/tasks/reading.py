"""The documented functions that read: what came of a task, and how many wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from djq import assembly
from djq.brokers import get_broker
from djq.ports import Broker
from djq.runtime.clock import SystemClock
from djq.tasks.sending import refuse_cached
from djq.tasks.waiting import Waiter

if TYPE_CHECKING:
    # Models can only be imported once the apps are loaded; these functions anywhere.
    from djq.models import Task


def result(task_id: str | UUID, wait: float = 0, cached: bool = False) -> Any:  # noqa: FBT001, FBT002 - as documented
    """Give what a task returned; of a failed one the line that says why.

    Args:
        task_id: The id or the name of the task; of several with one name, the newest counts.
        wait: Most milliseconds to wait for its outcome; -1 for as long as it takes.
        cached: Not there yet.

    Returns:
        None also when there is no outcome by the end of the wait; `fetch` tells the two apart.
    """
    task = fetch(task_id, wait, cached)
    return None if task is None else task.result


def fetch(task_id: str | UUID, wait: float = 0, cached: bool = False) -> Task | None:  # noqa: FBT001, FBT002 - as documented
    """Give a task with its outcome.

    Args:
        task_id: The id or the name of the task; of several with one name, the newest counts.
        wait: Most milliseconds to wait for its outcome; -1 for as long as it takes.
        cached: Not there yet.

    Returns:
        None when there is no outcome by the end of the wait.
    """
    refuse_cached(cached)
    store = assembly.get_store()
    clock = SystemClock()
    return Waiter(clock, clock.pause).wait(lambda: store.find(task_id), wait)


def queue_size(broker: Broker | None = None) -> int:
    """Say how many tasks wait in the broker's queue, those being worked on left out."""
    return (get_broker() if broker is None else broker).queue_size()
