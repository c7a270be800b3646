"""Groups of tasks in a database: their rows in the order of the calls, their results, their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from djq.core.call import load_value
from djq.core.message import plain
from djq.results.texts import checked_label

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from djq.models import Task

    AnyTask = TypeVar("AnyTask", bound=Task)

CALL_ORDER = ("started", "place", "id")
"""`started` is when a task was asked for; of those asked for at one moment `place` is the order."""


def group_tasks(
    tasks: QuerySet[AnyTask], label: str, *, failures: bool = True
) -> QuerySet[AnyTask]:
    """The tasks of a group, in the order in which they were asked for; without failures if not wanted."""
    group = _group(tasks, label).order_by(*CALL_ORDER)
    return group if failures else group.filter(success=True)


def group_results(tasks: QuerySet[AnyTask], label: str, *, failures: bool = False) -> list[Any]:
    """Their results alone, in the same order; of a failure the line that says why."""
    values = group_tasks(tasks, label, failures=failures).values_list("value", flat=True)
    return [None if value is None else load_value(bytes(value)) for value in values]


def group_count(tasks: QuerySet[AnyTask], label: str, *, failures: bool = False) -> int:
    """How many outcomes there are in a group; with `failures` how many failures."""
    group = _group(tasks, label)
    return (group.filter(success=False) if failures else group).count()


def group_delete(tasks: QuerySet[AnyTask], label: str, *, rows: bool = False) -> int:
    """Take the label off the tasks of a group, or delete them; gives how many there were."""
    group = _group(tasks, label)
    return group.delete()[0] if rows else group.update(group=None)


def _group(tasks: QuerySet[AnyTask], label: str) -> QuerySet[AnyTask]:
    # To a database no label would mean: every task that has no group.
    if plain(checked_label(label)) != label:
        return tasks.none()
    return tasks.filter(group=label)
