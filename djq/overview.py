"""All that can be seen from outside, at one moment: the queue, its clusters, what was kept, what comes.

Whoever shows something to people or machines takes it from here: `qinfo`, `qmonitor`, the admin's page
of clusters, metrics. Each part is read by itself, and one that cannot be read now is named in `errors`
and leaves the others as they are. Arguments and results are in none of them, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

import attrs
from django.apps import apps
from django.db import Error, connections
from django.db.models import Avg, Count, F, QuerySet
from django.db.models.functions import Right

from djq import assembly
from djq.exceptions import DjqError
from djq.monitor import Stat
from djq.ports import Broker
from djq.results.moments import as_kept, as_meant

PARTS = frozenset({"queue", "clusters", "results", "day", "failures", "schedules"})
"""What there is to see. `results` counts every row that is kept, and is the one that may take long."""

DAY = timedelta(days=1)
TRACEBACK_CHARACTERS_SHOWN = 4_000

Part = TypeVar("Part")


@attrs.frozen(kw_only=True)
class QueueNow:
    """The queue at its broker."""

    name: str
    broker: str
    """What serves it, as the broker's `info()` says."""
    size: int
    """Packages that wait."""
    locked: int | None
    """Packages that were taken and are not acknowledged. None: this broker does not tell."""


@attrs.frozen(kw_only=True)
class Results:
    """The outcomes that the database keeps."""

    successes: int
    failures: int


@attrs.frozen(kw_only=True)
class Day:
    """The outcomes of the last 24 hours that the database keeps."""

    count: int
    average_seconds: float | None
    """From the call of `async_task` to the outcome, as `Task.time_taken()`. None: there is no outcome."""


@attrs.frozen(kw_only=True)
class Failed:
    """A task that failed."""

    id: str
    name: str
    func: str
    stopped: datetime
    attempts: int
    traceback: str
    """Its end, 4,000 characters at most; '' when the task had no exception of its own."""


@attrs.frozen(kw_only=True)
class Coming:
    """The next run of a schedule."""

    id: int
    name: str
    """'' when it has none."""
    func: str
    at: datetime


@attrs.frozen(kw_only=True)
class Schedules:
    """What the scheduler has to do."""

    count: int
    """All that there are, paused ones too."""
    coming: tuple[Coming, ...]
    """The next ones, the earliest first."""


@attrs.frozen(kw_only=True)
class Overview:
    """One look at everything; a part is None where it was not asked for, or could not be read."""

    at: datetime
    queue: QueueNow | None = None
    clusters: tuple[Stat, ...] | None = None
    results: Results | None = None
    day: Day | None = None
    failures: tuple[Failed, ...] | None = None
    """The last failures, the newest first."""
    schedules: Schedules | None = None
    errors: Mapping[str, str] = attrs.field(factory=dict)
    """Why a part could not be read, by its name."""


def take(
    broker: Broker | None = None, *, parts: Collection[str] = PARTS, limit: int = 10
) -> Overview:
    """Look at everything, or at some parts of it.

    Args:
        broker: Whose queue it is; the settings' own when None.
        parts: Names out of `PARTS`.
        limit: Most failures, and most runs of schedules.

    Raises:
        ConfigError: Q_CLUSTER or the broker's options have errors.
        ValueError: There is no such part.
    """
    unknown = sorted(set(parts) - PARTS)
    if unknown:
        raise ValueError(f"{unknown} are no parts of an overview; there are {sorted(PARTS)}")
    queue = assembly.broker_of_this_thread() if broker is None else assembly.seen(broker)
    now = assembly.surroundings().clock.now()
    readers: Mapping[str, Callable[[], object]] = {
        "queue": lambda: queue_now(queue),
        "clusters": lambda: tuple(Stat.get_all(queue)),
        "results": results_now,
        "day": lambda: last_day(now),
        "failures": lambda: last_failures(limit),
        "schedules": lambda: schedules_now(limit),
    }
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name in readers:
        if name in parts:
            try:
                found[name] = readers[name]()
            except (DjqError, Error) as error:
                errors[name] = f"{type(error).__name__}: {error}".strip()
    return Overview(at=now, errors=errors, **found)


def queue_now(broker: Broker) -> QueueNow:
    """How many packages wait.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    return QueueNow(
        name=broker.list_key,
        broker=broker.info(),
        size=broker.queue_size(),
        locked=broker.lock_size(),
    )


def results_now() -> Results:
    """Count what is kept: two counts by an index, each as long as the table has such rows."""
    alias = assembly.result_alias()
    by_outcome = dict(
        _read(
            alias,
            lambda: list(
                _tasks(alias).order_by().values_list("success").annotate(count=Count("id"))
            ),
        )
    )
    return Results(successes=by_outcome.get(True, 0), failures=by_outcome.get(False, 0))


def last_day(now: datetime) -> Day:
    """Count what ended in the last 24 hours."""
    alias = assembly.result_alias()
    since = as_kept(connections[alias], now - DAY)
    # Both outcomes by name: the index begins with them.
    rows = _tasks(alias).filter(success__in=[True, False], stopped__gte=since).order_by()
    values = _read(
        alias,
        lambda: rows.aggregate(count=Count("id"), average=Avg(F("stopped") - F("started"))),
    )
    average = values["average"]
    return Day(
        count=values["count"],
        average_seconds=None if average is None else average.total_seconds(),
    )


def last_failures(limit: int) -> tuple[Failed, ...]:
    """The failures that ended last, the newest first; one query by an index."""
    alias = assembly.result_alias()
    rows = _tasks(alias).filter(success=False).order_by("-stopped", "-id")
    columns = ("id", "name", "func", "stopped", "attempts")
    end = Right("traceback", TRACEBACK_CHARACTERS_SHOWN)
    found = _read(alias, lambda: list(rows.values(*columns, end=end)[:limit]))
    return tuple(
        Failed(
            traceback=row.pop("end"),
            stopped=as_meant(row.pop("stopped")),
            **row,
        )
        for row in found
    )


def schedules_now(limit: int) -> Schedules:
    """How many schedules there are, and which run next."""
    alias = assembly.schedule_alias()
    rows = apps.get_model("djq", "Schedule")._default_manager.using(alias)  # noqa: SLF001 - documented all the same
    due = rows.filter(due_at__isnull=False).order_by("due_at", "id")
    columns = ("id", "name", "func", "due_at")
    count, coming = _read(alias, lambda: (rows.count(), list(due.values(*columns)[:limit])))
    return Schedules(
        count=count,
        coming=tuple(
            Coming(
                id=row["id"], name=row["name"] or "", func=row["func"], at=as_meant(row["due_at"])
            )
            for row in coming
        ),
    )


def _tasks(alias: str) -> QuerySet[Any]:
    rows: QuerySet[Any] = apps.get_model("djq", "Task")._default_manager.using(alias)  # noqa: SLF001 - documented all the same
    return rows


def _read(alias: str, query: Callable[[], Part]) -> Part:
    """Ask the database; after an error the next question has a connection of its own."""
    try:
        return query()
    except Error:
        connection = connections[alias]
        if not connection.in_atomic_block:
            with suppress(Error):
                connection.close()
        raise
