"""The rows of the page of clusters: what an overview has, in the words and the order in which it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import attrs
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from djq.admin.chart import Chart, chart_of
from djq.admin.words import ago, coming, lasting
from djq.core.message import first_line
from djq.core.tally import NONE, Count
from djq.models import Failure, Schedule
from djq.monitor import Running, Stat
from djq.overview import Failed, Overview, QueueNow

WORKERS_MAX = 100
LINE_CHARACTERS_MAX = 200

RowUrl = Callable[[type[Model], str | int], str]

PARTS = {
    "settings": gettext_lazy("Q_CLUSTER has errors"),
    "queue": gettext_lazy("The queue is away"),
    "clusters": gettext_lazy("The statistics of clusters are away"),
    "failures": gettext_lazy("Failed tasks are away"),
    "schedules": gettext_lazy("Schedules are away"),
}
STATUSES = {
    "Starting": gettext_lazy("Starting"),
    "Idle": gettext_lazy("Idle"),
    "Working": gettext_lazy("Working"),
    "Stopping": gettext_lazy("Stopping"),
    "Stopped": gettext_lazy("Stopped"),
}


@attrs.frozen(kw_only=True)
class Notice:
    """Something is not as it should be."""

    level: str
    """`error` or `warning`, as the admin's messages have it."""
    words: str


@attrs.frozen(kw_only=True)
class ClusterRow:
    """A cluster."""

    key: str
    """What no other row of the page has, as the id of its element."""
    name: str
    status: str
    up: str
    busy: int
    workers: int
    stat: Stat


@attrs.frozen(kw_only=True)
class WorkerRow:
    """A worker, with the task that it runs. None: it is idle."""

    key: str
    pid: int
    cluster: str
    running: Running | None
    lasting: str


@attrs.frozen(kw_only=True)
class ClustersShown:
    """All clusters together."""

    rows: tuple[ClusterRow, ...]
    workers: tuple[WorkerRow, ...]
    """The busy ones first, and of these those that have been so for longest."""
    hidden_workers: int
    """Idle ones, or short runs, that are one too many for a page."""
    busy: int
    seats: int
    ended: tuple[tuple[str, str, Count], ...]
    """A key, the words for a length of time, and how many ended in it."""
    chart: Chart


@attrs.frozen(kw_only=True)
class QueueShown:
    """The queue."""

    now: QueueNow
    oldest: str
    """How long the oldest package waits; '' where the broker does not tell."""
    url: str | None


@attrs.frozen(kw_only=True)
class FailureRow:
    """A task that failed."""

    failed: Failed
    line: str
    when: str
    url: str


@attrs.frozen(kw_only=True)
class ComingRow:
    """The next run of a schedule."""

    id: int
    name: str
    func: str
    when: str
    at: datetime
    url: str


def notices(seen: Overview) -> list[Notice]:
    """What somebody should know, the worst first."""
    found = [
        Notice(level="error", words=f"{PARTS[part]}: {reason}")
        for part, reason in sorted(seen.errors.items())
    ]
    if seen.clusters is not None:
        found += [notice for stat in seen.clusters for notice in _notices_of(stat, seen)]
        if not seen.clusters:
            words = _("No cluster is known: what is queued waits until one is started.")
            found.append(Notice(level="warning", words=words))
    return sorted(found, key=lambda notice: notice.level)


def _notices_of(stat: Stat, seen: Overview) -> Iterator[Notice]:
    name = _name(stat)
    away = {
        _("%(cluster)s has had no answer from the broker for %(time)s."): stat.broker_away_since,
        _("%(cluster)s cannot save results for %(time)s now."): stat.store_away_since,
    }
    for words, since in away.items():
        if since is not None:
            time = lasting((seen.at - since).total_seconds())
            yield Notice(level="error", words=words % {"cluster": name, "time": time})


def queue_shown(seen: Overview, url: str | None) -> QueueShown | None:
    """The queue. None: it is away."""
    if seen.queue is None:
        return None
    seconds = seen.queue.oldest_seconds
    return QueueShown(now=seen.queue, oldest="" if seconds is None else lasting(seconds), url=url)


def clusters_shown(seen: Overview) -> ClustersShown | None:
    """The clusters. None: they are away."""
    stats = seen.clusters
    if stats is None:
        return None
    workers = sorted(
        (row for stat in stats for row in _workers_of(stat, seen)),
        key=lambda row: (row.running is None, row.running and row.running.since, row.key),
    )
    return ClustersShown(
        rows=tuple(_cluster_row(stat) for stat in stats),
        workers=tuple(workers[:WORKERS_MAX]),
        hidden_workers=max(len(workers) - WORKERS_MAX, 0),
        busy=sum(row.running is not None for row in workers),
        seats=len(workers),
        ended=_ended(stats),
        chart=chart_of(stats),
    )


def _ended(stats: Iterable[Stat]) -> tuple[tuple[str, str, Count], ...]:
    known = list(stats)
    return (
        ("minute", _("Last minute"), sum((stat.last_minute for stat in known), NONE)),
        ("hour", _("Last hour"), sum((stat.last_hour for stat in known), NONE)),
        ("day", _("Last day"), sum((stat.last_day for stat in known), NONE)),
    )


def _name(stat: Stat) -> str:
    return f"{stat.host}:{stat.cluster_id}"


def _key(stat: Stat) -> str:
    # Hosts of two clusters may have one name, and one number for them.
    born = 0 if stat.tob is None else int(stat.tob.timestamp() * 1_000)
    return f"{_name(stat)}:{born}"


def _cluster_row(stat: Stat) -> ClusterRow:
    return ClusterRow(
        key=_key(stat),
        name=_name(stat),
        status=str(STATUSES.get(stat.status, stat.status)),
        up=lasting(stat.uptime()),
        busy=len({running.worker for running in stat.running}),
        workers=len(stat.workers),
        stat=stat,
    )


def _workers_of(stat: Stat, seen: Overview) -> Iterator[WorkerRow]:
    """A row for each task that runs, and one for each worker that runs none."""
    for running in stat.running:
        yield WorkerRow(
            key=f"{_key(stat)}:{running.worker}:{running.id}",
            pid=running.worker,
            cluster=_name(stat),
            running=running,
            lasting=lasting((seen.at - running.since).total_seconds()),
        )
    busy = {running.worker for running in stat.running}
    for pid in stat.workers:
        if pid not in busy:
            yield WorkerRow(
                key=f"{_key(stat)}:{pid}", pid=pid, cluster=_name(stat), running=None, lasting=""
            )


def failures(seen: Overview, url: RowUrl) -> list[FailureRow] | None:
    """The last failures. None: they are away, or not for everybody to see."""
    if seen.failures is None:
        return None
    return [
        FailureRow(
            failed=failed,
            line=first_line(failed.reason.strip(), LINE_CHARACTERS_MAX),
            when=ago(failed.stopped, seen.at),
            url=url(Failure, failed.id),
        )
        for failed in seen.failures
    ]


def comings(seen: Overview, url: RowUrl) -> list[ComingRow] | None:
    """The next runs of schedules. None as in `failures`."""
    if seen.schedules is None:
        return None
    return [
        ComingRow(
            id=run.id,
            name=run.name or run.func,
            func=run.func,
            when=coming(run.at, seen.at),
            at=run.at.astimezone(timezone.get_current_timezone()),
            url=url(Schedule, run.id),
        )
        for run in seen.schedules.coming
    ]
