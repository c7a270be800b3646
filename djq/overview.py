"""All that can be seen from outside, at one moment: the queue, its clusters, what was kept, what comes.

Whoever shows something to people or machines takes it from here: `qinfo`, `qmonitor`, the admin's page
of clusters, metrics. Each part is read by itself, and one that cannot be read now is named in `errors`
and leaves the others as they are. Arguments and results are in none of them, but for the line that says why
a task failed, and that is read without running anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import attrs
from django.apps import apps
from django.db import Error, connections
from django.db.models import Avg, Count, F, QuerySet
from django.db.models.functions import Right

from djq import assembly
from djq.core.call import load_text
from djq.core.disclosure import without_logins
from djq.exceptions import BoardUnavailable, BrokerUnavailable
from djq.monitor import Stat, oldest_waiting_seconds
from djq.ports import Broker
from djq.results.moments import as_kept, as_meant
from djq.results.texts import LINE_BYTES_MAX, up_to
from djq.runtime.beside import side_by_side
from djq.wiring import wiring

PARTS = frozenset({"queue", "clusters", "results", "day", "failures", "schedules"})
"""What there is to see. `results` counts every row that is kept, and is the one that may take long."""

LANES = (("queue",), ("clusters",), ("schedules", "day", "failures", "results"))
"""Parts by who has to answer for them: the broker, the board, the database. The quick ones come first."""

UNSEEN = (
    "clusters cannot be seen from here: the cache that Q_CLUSTER['cache'] names is not there, or each "
    "process has it for itself, or it keeps nothing; choose one on a server, in the database or in files"
)

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
    oldest_seconds: float | None = None
    """How long the package waits that has waited longest; 0 when none waits. None: it does not tell."""


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
    reason: str = ""
    """The line that says why; '' where it is kept as something else."""


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
    broker: Broker | None = None,
    *,
    parts: Collection[str] = PARTS,
    limit: int = 10,
    seconds: float | None = None,
) -> Overview:
    """Look at everything, or at some parts of it.

    Args:
        broker: Whose queue it is; the settings' own when None.
        parts: Names out of `PARTS`.
        limit: Most failures, and most runs of schedules.
        seconds: How long it may take: the broker, the board and the database are asked at the same time,
            each in a thread with connections of its own, and a part that is late is an error. None:
            one after the other, here, for as long as their drivers wait.

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
        "clusters": lambda: clusters_now(queue),
        "results": results_now,
        "day": lambda: last_day(now),
        "failures": lambda: last_failures(limit),
        "schedules": lambda: schedules_now(limit),
    }
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    lanes = [[name for name in lane if name in parts] for lane in LANES]
    looks = [
        partial(_look, {name: readers[name] for name in lane}, found, errors) for lane in lanes
    ]
    if seconds is None:
        for look in looks:
            look()
        return Overview(at=now, errors=errors, **found)
    side_by_side(looks, seconds)
    # Whoever is late may still come while this is put together.
    found, errors = dict(found), dict(errors)
    late = [name for name in parts if name not in found and name not in errors]
    errors |= dict.fromkeys(late, f"no answer within {seconds:g} s")
    return Overview(at=now, errors=errors, **found)


def _look(
    readers: Mapping[str, Callable[[], object]], found: dict[str, Any], errors: dict[str, str]
) -> None:
    for name, read in readers.items():
        try:
            found[name] = read()
        except Exception as error:  # noqa: BLE001 - a broker of the user's own may raise anything; the rest is to be seen
            errors[name] = without_logins(f"{type(error).__name__}: {error}".strip())


def queue_now(broker: Broker) -> QueueNow:
    """How many packages wait, and for how long.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    if type(broker).queue_size is Broker.queue_size and not broker.ping():
        # It cannot count, so nothing else here would ask its server.
        raise BrokerUnavailable(f"{broker.info()} did not answer")
    return QueueNow(
        name=broker.list_key,
        broker=broker.info(),
        size=broker.queue_size(),
        locked=broker.lock_size(),
        oldest_seconds=oldest_waiting_seconds(broker),
    )


def clusters_now(broker: Broker) -> tuple[Stat, ...]:
    """The clusters of this queue, on whatever host.

    Raises:
        BoardUnavailable: The statistics cannot be read now, or are where nobody else can see them.
    """
    if assembly.board_of_this_thread(broker.list_key) is None and wiring().broker is None:
        raise BoardUnavailable(UNSEEN)
    return tuple(Stat.get_all(broker))


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
    looked_for = rows.annotate(line=up_to(LINE_BYTES_MAX, "value"))
    found = _read(alias, lambda: list(looked_for.values(*columns, "line", end=end)[:limit]))
    return tuple(
        Failed(
            traceback=row.pop("end"),
            reason=_reason(row.pop("line")),
            stopped=as_meant(row.pop("stopped")),
            **row,
        )
        for row in found
    )


def _reason(value: bytes | None) -> str:
    """The line of a failure, read without running anything."""
    return (None if value is None else load_text(bytes(value))) or ""


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
