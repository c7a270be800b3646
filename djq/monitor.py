"""The picture of a running cluster (the manual, 1.10.3), and the text that it travels as."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Self

import attrs

from djq import assembly
from djq.components.command import Command
from djq.core.lifecycle import ClusterState, Role
from djq.core.protocol import NO_RESTARTS, FuncTotal, Report, Restarts, Running
from djq.core.tally import NONE, Count
from djq.core.totals import DURATION_BOUNDS
from djq.ports import Broker
from djq.queue_age import OldestWaiting, oldest_waiting, oldest_waiting_seconds

__all__ = [
    "Count",
    "FuncTotal",
    "OldestWaiting",
    "Restarts",
    "Running",
    "Stat",
    "oldest_waiting",
    "oldest_waiting_seconds",
]


@attrs.frozen(kw_only=True)
class Stat:
    """The status of one cluster, as its sentinel last told it."""

    cluster_id: int
    """The pid of the cluster's command process."""
    host: str
    tob: datetime | None
    """Time of birth; None: not started."""
    now: datetime
    """When this picture was made."""
    status: str = "Stopped"
    """Starting, Idle, Working, Stopping or Stopped."""
    sentinel: int | None = None
    """Process id, None while there is none; `monitor` and `pusher` likewise."""
    monitor: int | None = None
    pusher: int | None = None
    workers: tuple[int, ...] = ()
    task_q_size: int = 0
    """Tasks in memory that do not run yet."""
    done_q_size: int = 0
    """Results in memory that are not saved yet."""
    reincarnations: int = 0
    """Processes replaced after a recycle, a sudden death or a timeout."""
    running: tuple[Running, ...] = ()
    """What runs now, the oldest first: `id`, `name`, `func`, `worker` (its pid), `since`, `attempt`."""
    last_minute: Count = NONE
    """Outcomes kept in the last minute: how many `succeeded`, how many `failed`, and the `total`."""
    last_hour: Count = NONE
    last_day: Count = NONE
    minutes: tuple[Count, ...] = ()
    """The last hour minute by minute, the oldest first: 60 counts, or none where nobody counts."""
    broker_away_since: datetime | None = None
    """When the broker did not answer this cluster for the first time; aware. None: it answers."""
    store_away_since: datetime | None = None
    """The same of where results are kept, and schedules."""
    by_func: tuple[FuncTotal, ...] = ()
    """Outcomes kept since the cluster began, by function: `func`, `succeeded`, `failed`, `seconds` and
    `durations`, which are told in `FuncTotal`."""
    restarts: Restarts = NO_RESTARTS
    """Processes replaced since then, the sentinel too, by reason: `recycle`, `max_rss`, `timeout`, `death`,
    `start`, `stop`, and the `total`."""

    @classmethod
    def get(cls, cluster_id: int, broker: Broker | None = None) -> Stat:
        """The status of a cluster; `Stopped` when nothing is known of it.

        Clusters on several hosts may have one id: this host's comes first, then the youngest.

        Args:
            cluster_id: The pid of the cluster's command process.
            broker: As in `get_all`.

        Raises:
            BoardUnavailable: The statistics cannot be read now.
        """
        here = socket.gethostname()
        found = [stat for stat in cls.get_all(broker) if stat.cluster_id == cluster_id]
        if not found:
            now = assembly.surroundings().clock.now()
            return Stat(cluster_id=cluster_id, host="", tob=None, now=now)
        return max(found, key=lambda stat: (stat.host == here, stat.tob or stat.now))

    @classmethod
    def get_all(cls, broker: Broker | None = None) -> list[Stat]:
        """The status of every cluster that `qcluster` runs for a queue, on whatever host; one read.

        Empty where the processes share no cache, unless the broker is Redis or a Django database.

        Args:
            broker: Whose queue it is; the settings' own when None.

        Raises:
            BoardUnavailable: The statistics cannot be read now.
        """
        board = assembly.board_of_this_thread(None if broker is None else broker.list_key)
        found = [] if board is None else [read(text) for text in board.read()]
        stats = [stat for stat in found if stat is not None]
        return sorted(stats, key=lambda stat: (stat.host, stat.cluster_id, stat.tob or stat.now))

    def uptime(self) -> float:
        """Seconds from the cluster's start to this picture; 0 when it was not started."""
        return 0.0 if self.tob is None else (self.now - self.tob).total_seconds()

    def empty_queues(self) -> bool:
        """Whether nothing is in memory, neither tasks nor results."""
        return not self.task_q_size and not self.done_q_size

    def __call__(self) -> Self:
        """The manual writes `cluster.stat()`; its property works too."""
        return self


STATUS = {
    ClusterState.STARTING.name: "Starting",
    ClusterState.WORKING.name: "Working",
    ClusterState.HALTING.name: "Stopping",
    ClusterState.DRAINING.name: "Stopping",
    ClusterState.SAVING.name: "Stopping",
    ClusterState.STOPPED.name: "Stopped",
}


def status_of(report: Report) -> str:
    """The documented word for the state of a cluster."""
    word = STATUS[report.state]
    return "Idle" if word == "Working" and report.idle else word


def told(blank: Stat, report: Report, sentinel: int | None) -> Stat:
    """Fill in what the sentinel, the process of this number, has reported."""
    return attrs.evolve(
        blank,
        status=status_of(report),
        sentinel=sentinel,
        monitor=next(iter(_pids_of(report, Role.MONITOR)), None),
        pusher=next(iter(_pids_of(report, Role.PUSHER)), None),
        workers=_pids_of(report, Role.WORKER),
        task_q_size=report.task_queue,
        done_q_size=report.result_queue,
        reincarnations=report.reincarnations,
        running=report.running,
        broker_away_since=report.health.broker,
        store_away_since=report.health.store,
    )


def place_of(stat: Stat) -> str:
    """Where its picture goes: a name that no other cluster has, on another host or born at another time."""
    return f"{stat.host}:{stat.cluster_id}:{stat.tob}"


def counted(blank: Stat, command: Command, now: float) -> Stat:
    """Fill in what a command has counted up to `now`, monotonic; it outlives the sentinels."""
    throughput = command.tally.throughput(now)
    return attrs.evolve(
        blank,
        **attrs.asdict(throughput, recurse=False),
        by_func=command.totals.all(),
        restarts=command.restarts,
    )


def _pids_of(report: Report, role: Role) -> tuple[int, ...]:
    return tuple(pid for name, pid in report.pids if name == role.value)


def written(stat: Stat) -> str:
    """The text of a picture: JSON, since it is read by processes that are to trust it no further."""
    values = attrs.asdict(stat, recurse=False)
    return json.dumps(values, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Count):
        return value.succeeded, value.failed
    if isinstance(value, FuncTotal):
        # A list, since names would be most of it.
        return (*attrs.astuple(value)[:3], round(value.seconds, 3), value.durations)
    return attrs.asdict(value, recurse=False)


def read(text: str) -> Stat | None:
    """The picture of a text. None: it is not one that this djq understands."""
    try:
        values = json.loads(text)
        known = {name: make(values[name]) for name, make in FIELDS.items() if name in values}
        return Stat(**known)
    except (TypeError, ValueError, LookupError, OverflowError, RecursionError):
        return None


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment


def _count(pair: Any) -> Count:
    return Count(int(pair[0]), int(pair[1]))


def _total(values: Any) -> FuncTotal:
    func, succeeded, failed, seconds, durations = values[:5]
    counts = tuple([int(count) for count in durations])
    known = len(counts) == len(DURATION_BOUNDS) + 1
    return FuncTotal(
        str(func), int(succeeded), int(failed), float(seconds), counts if known else ()
    )


def _restarts(values: Any) -> Restarts:
    known = dict(values)
    return Restarts(**{name: int(known.get(name, 0)) for name in attrs.fields_dict(Restarts)})


def _running(values: Any) -> Running:
    return Running(**{name: make(values[name]) for name, make in RUNNING_FIELDS.items()})


def _each(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda values: tuple([make(value) for value in values])


def _or_none(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else make(value)


FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "cluster_id": int,
    "host": str,
    "tob": _or_none(_moment),
    "now": _moment,
    "status": str,
    "sentinel": _or_none(int),
    "monitor": _or_none(int),
    "pusher": _or_none(int),
    "workers": _each(int),
    "task_q_size": int,
    "done_q_size": int,
    "reincarnations": int,
    "running": _each(_running),
    "last_minute": _count,
    "last_hour": _count,
    "last_day": _count,
    "minutes": _each(_count),
    "broker_away_since": _or_none(_moment),
    "store_away_since": _or_none(_moment),
    "by_func": _each(_total),
    "restarts": _restarts,
}
"""How each field is made from what stands in a text."""

RUNNING_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "id": str,
    "name": str,
    "func": str,
    "worker": int,
    "since": _moment,
    "attempt": int,
}
"""The same, of each task that runs."""
