"""The composition root: what runs in each process of a cluster, and the documented `Cluster` class."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from datetime import datetime

import attrs
import psutil

from djq import assembly
from djq.components.command import Command
from djq.components.monitor import Monitor
from djq.components.pusher import Pusher
from djq.components.scheduler import Scheduler
from djq.components.sentinel import Sentinel
from djq.components.worker import Worker
from djq.conf import get_config, get_zone, schedule_defaults
from djq.core.config import Config
from djq.core.lifecycle import ChildId, Role
from djq.monitor import Stat, pids_of, status_of
from djq.ports import Broker, Component
from djq.runtime import interrupts, limits, scope, title
from djq.runtime.link import SocketLink
from djq.runtime.loop import drive
from djq.runtime.orphans import ProcessOrphans
from djq.runtime.poller import Poller
from djq.runtime.spawn import ForkSpawner

LOCK_SECONDS_MAX = 5.0
"""How long a scheduler waits for another's lock."""


@attrs.frozen(kw_only=True)
class Processes:
    """What each process of a forked cluster does, from its first line to its last."""

    config: Config
    broker: Broker
    cluster_id: str
    run_once: bool

    def sentinel(self, _child: ChildId, label: str, link: SocketLink, poller: Poller) -> None:
        """The life of a sentinel: the only process that forks, and single-threaded."""
        interrupts.take_no_notice()
        title.set_title("sentinel", self.config.name)
        link.never_wait()
        # What is alive now is shared by all children, and a collection in one would copy its pages.
        gc.collect()
        gc.freeze()
        spawner = ForkSpawner(poller=poller, main=self.leaf, close_in_child=[link.close])
        sentinel = Sentinel(
            plan=assembly.make_plan(self.config, self.broker, run_once=self.run_once),
            spawner=spawner,
            command=link,
            around=assembly.surroundings(),
            cluster_id=self.cluster_id,
            label=label,
            pid=os.getpid(),
        )
        drive(sentinel, poller)
        spawner.reap()

    def leaf(self, child: ChildId, label: str, link: SocketLink, poller: Poller) -> None:
        """The life of a worker, a monitor, a pusher or a scheduler."""
        interrupts.take_no_notice()
        title.set_title(child.role.value, self.config.name)
        scope.tune_sqlite()
        self.broker.close()
        makers: dict[Role, Callable[[ChildId, str, SocketLink], Component]] = {
            Role.WORKER: self._worker,
            Role.MONITOR: self._monitor,
            Role.PUSHER: self._pusher,
            Role.SCHEDULER: self._scheduler,
        }
        try:
            drive(makers[child.role](child, label, link), poller)
        finally:
            scope.close_all()

    def _worker(self, child: ChildId, label: str, link: SocketLink) -> Worker:
        interrupts.defaults_for_grandchildren()
        limits.pin(child.slot, self.config.cpu_affinity)
        return Worker(
            link=link,
            around=assembly.surroundings(),
            scope=scope.fresh_connections,
            present=assembly.make_store(self.config).present,
            label=label,
            pid=os.getpid(),
            max_payload=self.config.max_payload,
            memory=limits.memory_mib if self.config.max_rss is not None else None,
            memory_max=self.config.max_rss,
        )

    def _monitor(self, _child: ChildId, label: str, link: SocketLink) -> Monitor:
        scope.bound_lock_waits(self.config.retry / 3)
        return Monitor(
            link=link,
            broker=self.broker,
            store=assembly.make_store(self.config),
            codec=assembly.make_codec(self.config, self.broker.list_key),
            around=assembly.surroundings(),
            label=label,
            pid=os.getpid(),
            schedules=assembly.make_schedule_store(),
        )

    def _scheduler(self, _child: ChildId, label: str, link: SocketLink) -> Scheduler:
        # A row that somebody keeps locked must not keep it from its other rows, nor from a stop.
        scope.bound_lock_waits(LOCK_SECONDS_MAX)
        return Scheduler(
            link=link,
            store=assembly.make_schedule_store(),
            queue_of=assembly.queue_finder(self.config, self.broker),
            custom=schedule_defaults(),
            zone_of=get_zone,
            around=assembly.surroundings(),
            label=label,
            pid=os.getpid(),
            greets_late=self.run_once,
        )

    def _pusher(self, _child: ChildId, label: str, link: SocketLink) -> Pusher:
        return Pusher(
            link=link,
            broker=self.broker,
            codec=assembly.make_codec(self.config, self.broker.list_key),
            around=assembly.surroundings(),
            label=label,
            pid=os.getpid(),
            poll_seconds=self.config.poll,
            bulk=self.config.bulk,
        )


class Flag:
    """Has the verbs of a `multiprocessing.Event`, and no lock that a dying process could keep."""

    def __init__(self, read: Callable[[], bool], order: Callable[[], None] | None = None) -> None:
        self._read = read
        self._order = order

    def is_set(self) -> bool:
        return self._read()

    def set(self) -> None:
        """Give the order that the flag stands for; one that only tells cannot be set."""
        if self._order is None:
            raise TypeError("this event only tells; it is set by the sentinel")
        self._order()


class Cluster:
    """A cluster of forked processes on this machine (the manual, 1.9.4).

    `start` and `stop` are for programs of your own; `manage.py qcluster` uses `run`. The attributes
    follow the sentinel's reports, of which there is one each `guard_cycle` seconds.
    """

    def __init__(self, broker: Broker | None = None, *, run_once: bool = False) -> None:
        """`broker` is the settings' own when None; `run_once` stops when the queue is empty.

        Raises:
            ConfigError: Q_CLUSTER has errors, or chooses no broker.
        """
        self.config = get_config()
        self.broker = assembly.make_broker(self.config) if broker is None else broker
        self.pid = os.getpid()
        self.host = socket.gethostname()
        self.timeout = self.config.timeout
        self.exit_code: int | None = None
        """0 after a clean stop, 1 after one that cut work short. None: it has not stopped."""
        self.start_event = Flag(lambda: self.is_running or self.is_stopping or self.has_stopped)
        self.stop_event = Flag(lambda: self.is_stopping or self.has_stopped, self._order_stop)
        self._born: datetime | None = None
        self._run_once = run_once
        self._poller = Poller()
        self._interrupts = interrupts.Interrupts(self._poller)
        self._command: Command | None = None

    def start(self) -> int:
        """Start the cluster, wait until every process is ready, give its id (this process' pid)."""
        command = self._make_command()
        drive(command, self._poller, lambda: self._told not in {None, "Starting"})
        return self.pid

    def stop(self) -> bool:
        """Initiate the stop procedure and wait for its end; False when the cluster does not run."""
        if self._command is None or self.has_stopped:
            return False
        self._command.ask_stop()
        self._finish(self._command)
        return True

    def run(self, *, ends_process: bool = False) -> int:
        """Run until a signal asks to stop (or the queue is empty, with `run_once`): the exit code.

        The signals have their former effect after it. With `ends_process` they have none any more,
        so that a late one does not take the place of the exit code.
        """
        command = self._make_command()
        self._interrupts.install()
        try:
            self._finish(command)
        finally:
            if ends_process:
                self._interrupts.ignore()
            else:
                self._interrupts.restore()
        return self.exit_code or 0

    @property
    def stat(self) -> Stat:
        """The cluster's present status; it may be called too, as the manual does."""
        self._look()
        clock = assembly.surroundings().clock
        blank = Stat(cluster_id=self.pid, host=self.host, tob=self._born, now=clock.now())
        report = self._command.report if self._command is not None else None
        if report is None or self.exit_code is not None:
            starting = self._command is not None and self.exit_code is None
            return attrs.evolve(blank, status="Starting") if starting else blank
        return attrs.evolve(
            blank,
            status=status_of(report),
            sentinel=self._sentinel_pid(),
            monitor=next(iter(pids_of(report, Role.MONITOR)), None),
            pusher=next(iter(pids_of(report, Role.PUSHER)), None),
            workers=pids_of(report, Role.WORKER),
            task_q_size=report.task_queue,
            done_q_size=report.result_queue,
            reincarnations=report.reincarnations,
        )

    @property
    def sentinel(self) -> psutil.Process | None:
        """The process of the sentinel; None while there is none."""
        pid = self._sentinel_pid()
        return None if pid is None else psutil.Process(pid)

    @property
    def is_starting(self) -> bool:
        """The cluster is busy starting up."""
        return self.stat.status == "Starting"

    @property
    def is_running(self) -> bool:
        """The cluster is up and running."""
        return self.stat.status in {"Idle", "Working"}

    @property
    def is_stopping(self) -> bool:
        """The stop procedure has been started and has not ended."""
        self._look()
        asked = self._command is not None and self._command.is_stopping
        return self.exit_code is None and (asked or self._told == "Stopping")

    @property
    def has_stopped(self) -> bool:
        """The stop procedure has ended."""
        self._look()
        return self.exit_code is not None

    @property
    def _told(self) -> str | None:
        """The state that the sentinel last told. None: nothing yet."""
        report = self._command.report if self._command is not None else None
        return None if report is None else status_of(report)

    def _make_command(self) -> Command:
        processes = Processes(
            config=self.config,
            broker=self.broker,
            cluster_id=str(self.pid),
            run_once=self._run_once,
        )
        self._spawner = ForkSpawner(
            poller=self._poller,
            main=processes.sentinel,
            before=scope.close_all,
            close_in_child=[self._interrupts.abandon],
        )
        self._born = assembly.surroundings().clock.now()
        self.exit_code = None
        self._command = Command(
            spawner=self._spawner,
            around=assembly.surroundings(),
            interrupts=self._interrupts.count,
            orphans=ProcessOrphans(),
            cluster_id=str(self.pid),
        )
        return self._command

    def _order_stop(self) -> None:
        if self._command is not None:
            self._command.ask_stop()
            self._look()

    def _look(self) -> None:
        """Hear what the sentinel has said, without waiting."""
        if self._command is not None and self.exit_code is None:
            self._poller.wait(0)
            if self._command.step() is None:
                self.exit_code = int(self._command.cut_short)

    def _finish(self, command: Command) -> None:
        drive(command, self._poller)
        self.exit_code = int(command.cut_short)

    def _sentinel_pid(self) -> int | None:
        pids = [] if self._command is None else self._spawner.pids()
        return pids[0] if pids else None
