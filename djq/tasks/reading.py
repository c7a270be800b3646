"""The documented functions that read: what came of tasks and of groups, and how many wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload
from uuid import UUID

from djq import assembly
from djq.brokers import get_broker
from djq.ports import Broker
from djq.tasks.waiting import FOREVER, Waiter

if TYPE_CHECKING:
    # Models can only be imported once the apps are loaded; these functions anywhere.
    from django.db.models import QuerySet

    from djq.models import Task

Cached = bool | float | None
"""Where to look: True, or a number as when the task was sent, in the cache; False in the database;
None where the setting `cached` says."""


def result(task_id: str | UUID, wait: float = 0, cached: Cached = None) -> Any | None:
    """Give what a task returned; of a failed one the line that says why.

    Args:
        task_id: The id or the name of the task; of several with one name, the newest counts.
        wait: Most milliseconds to wait for its outcome; -1 for as long as it takes.
        cached: Whether to look in the cache instead of the database. None: as the setting says.

    Returns:
        None also when there is no outcome by the end of the wait; `fetch` tells the two apart.
    """
    task = fetch(task_id, wait, cached)
    return None if task is None else task.result


def fetch(task_id: str | UUID, wait: float = 0, cached: Cached = None) -> Task | None:
    """Give a task with its outcome.

    Args:
        task_id: The id or the name of the task; of several with one name, the newest counts.
        wait: Most milliseconds to wait for its outcome; -1 for as long as it takes.
        cached: Whether to look in the cache instead of the database. None: as the setting says.

    Returns:
        None when there is no outcome by the end of the wait. A task from the cache is unsaved; its
        `save()` puts it into the database.
    """
    shelf = assembly.get_shelf(cached)
    return make_waiter().wait(lambda: shelf.find(task_id), wait)


def result_group(
    group_id: str,
    failures: bool = False,
    wait: float = 0,
    count: int | None = None,
    cached: Cached = None,
) -> list[Any]:
    """Give the results of a group, in the order in which its tasks were asked for.

    Args:
        group_id: The group's label.
        failures: True gives the lines of failed tasks too.
        wait: Most milliseconds to wait, for the first result or for `count`; -1 for as long as it
            takes.
        count: Wait until there are at least so many outcomes, failures included: without `wait` for
            as long as it takes. At the end of a wait the answer is what there is.
        cached: Whether to look in the cache instead of the database. None: as the setting says.
    """
    shelf = assembly.get_shelf(cached)
    wait_for_group(shelf, group_id, wait, count, failures=failures)
    return shelf.group_results(group_id, failures=failures)


@overload
def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: float = 0,
    count: int | None = None,
    *,
    cached: Literal[False],
) -> QuerySet[Task]: ...


@overload
def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: float = 0,
    count: int | None = None,
    *,
    cached: Literal[True],
) -> list[Task]: ...


@overload
def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: float = 0,
    count: int | None = None,
    cached: Cached = None,
) -> QuerySet[Task] | list[Task]: ...


def fetch_group(
    group_id: str,
    failures: bool = True,
    wait: float = 0,
    count: int | None = None,
    cached: Cached = None,
) -> QuerySet[Task] | list[Task]:
    """Give the tasks of a group, in the order in which they were asked for.

    Args:
        group_id: The group's label.
        failures: False leaves out failed tasks.
        wait: As by `result_group`.
        count: As by `result_group`.
        cached: Whether to look in the cache instead of the database. None: as the setting says.

    Returns:
        A queryset; from the cache a list of unsaved tasks.
    """
    shelf = assembly.get_shelf(cached)
    wait_for_group(shelf, group_id, wait, count, failures=failures)
    return shelf.group_tasks(group_id, failures=failures)


def count_group(group_id: str, failures: bool = False, cached: Cached = None) -> int:
    """Count the outcomes of a group, failures included; with `failures` count the failures alone."""
    return assembly.get_shelf(cached).group_count(group_id, failures=failures)


def delete_group(group_id: str, tasks: bool = False, cached: Cached = None) -> int:
    """Take the label off the tasks of a group; with `tasks` delete them. Gives how many there were."""
    return assembly.get_shelf(cached).group_delete(group_id, rows=tasks)


def delete_cached(task_id: str | UUID, broker: Broker | None = None) -> bool:  # noqa: ARG001 - as documented
    """Delete a task, by its id or name, from the cache; says whether it was there.

    `broker` is taken as documented and makes no difference: results are found without one.
    """
    return assembly.get_cache_store().delete(task_id)


def queue_size(broker: Broker | None = None) -> int:
    """Say how many tasks wait in the broker's queue, those being worked on left out."""
    return (get_broker() if broker is None else broker).queue_size()


def make_waiter() -> Waiter:
    """A waiter on the clock of callers."""
    clock = assembly.callers_clock()
    return Waiter(clock, clock.pause)


def wait_for_group(
    shelf: assembly.Shelf, label: str, wait: float, count: int | None, *, failures: bool
) -> None:
    """Wait as `result_group` says."""
    look = group_look(shelf, label, wait, count, failures=failures)
    if look is not None:
        make_waiter().wait(look, group_wait(wait, count))


def group_wait(wait: float, count: int | None) -> float:
    """How many milliseconds to wait: with a count and no limit for ever."""
    return FOREVER if count is not None and wait == 0 else wait


def group_look(
    shelf: assembly.Shelf, label: str, wait: float, count: int | None, *, failures: bool
) -> Callable[[], bool | None] | None:
    """What is to be waited for: a function that gives True when it is there. None: for nothing."""
    if count is None and wait == 0:
        return None
    outcomes = shelf.group_counter(label)
    if count is not None:
        wanted = count
        return lambda: outcomes() >= wanted or None
    if failures:
        return lambda: outcomes() > 0 or None
    failed = shelf.group_counter(label, failures=True)
    return lambda: outcomes() > failed() or None
