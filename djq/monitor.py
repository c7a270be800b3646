"""The picture of a running cluster (the manual, 1.10.3)."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import attrs

from djq.core.lifecycle import ClusterState, Role
from djq.core.protocol import Report


@attrs.frozen(kw_only=True)
class Stat:
    """The status of one cluster, as its sentinel last told it."""

    cluster_id: int
    """The pid of the cluster's command process."""
    host: str
    tob: datetime | None
    """Time of birth; None: not started."""
    now: datetime
    """When this picture was asked for."""
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

    def uptime(self) -> float:
        """Seconds since the cluster was started; 0 when it was not."""
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
    )


def _pids_of(report: Report, role: Role) -> tuple[int, ...]:
    return tuple(pid for name, pid in report.pids if name == role.value)
