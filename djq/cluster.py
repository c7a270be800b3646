"""The composition root: the documented `Cluster` class, as processes or as threads."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime
from functools import partial

import attrs
import psutil

from djq import assembly, reporting
from djq.boxes import Boxes, Processes, Threads
from djq.components.command import Command
from djq.components.publisher import Board, Publisher
from djq.conf import get_config
from djq.core.events import SettingsIgnored
from djq.core.protocol import Report
from djq.exceptions import ConfigError
from djq.monitor import Stat, counted, place_of, status_of, told, written
from djq.ports import Broker, Component, Orphans
from djq.runtime import patience, scope
from djq.runtime.interrupts import Interrupts
from djq.runtime.loop import drive
from djq.runtime.orphans import ProcessOrphans
from djq.runtime.poller import Poller
from djq.runtime.spawn import ForkSpawner
from djq.runtime.threads import Bell, ThreadOrphans, ThreadSpawner

NEEDS_FORK = (
    "this system has no fork, so a cluster cannot run as processes here: "
    "run it as threads, with `manage.py qcluster --threads` or Cluster(threads=True)"
)
LATE_SECONDS_MAX = 0.5
"""A report that is so late is none that is still to come."""
BOARD_SECONDS_MAX = 0.5
"""How long the command may be kept from its signals by a board that does not answer."""
LOOK_SECONDS = 0.05
LOOKS_MAX = 20
PROCESS_SETTINGS = ("max_rss", "cpu_affinity")
"""Settings that mean nothing where the workers share a process."""


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
    """A cluster on this machine (the manual, 1.9.4): forked processes, or threads of this process.

    `start` and `stop` are for programs of your own; `manage.py qcluster` uses `run`. The attributes
    follow the sentinel's reports, of which there is one each `guard_cycle` seconds.
    """

    def __init__(
        self, broker: Broker | None = None, *, run_once: bool = False, threads: bool = False
    ) -> None:
        """`run_once` stops when the queue is empty; `threads` starts no process.

        `broker` is the settings' own when None. One that is given has to stand several threads, if
        there are any; of the settings' own each thread has one for itself.

        Raises:
            ConfigError: Q_CLUSTER or the broker's options have errors, an error reporter cannot be had,
                or there is no fork here.
        """
        self.config = get_config()
        if not threads and not hasattr(os, "fork"):
            raise ConfigError(NEEDS_FORK)
        reporting.check(self.config)
        self.broker = assembly.make_broker(self.config) if broker is None else broker
        self._has_own_broker = broker is None
        self.pid = os.getpid()
        self.host = socket.gethostname()
        self.timeout = self.config.timeout
        self.exit_code: int | None = None
        """0 after a clean stop, 1 after one that cut work short. None: it has not stopped."""
        self.start_event = Flag(lambda: self.is_running or self.is_stopping or self.has_stopped)
        self.stop_event = Flag(lambda: self.is_stopping or self.has_stopped, self._order_stop)
        self._born: datetime | None = None
        self._board: Board | None = None
        self._run_once = run_once
        self._waiter: Poller | Bell
        if threads:
            self._waiter = Bell()
            self._interrupts = Interrupts(None, self._waiter.ring)
        else:
            self._waiter = Poller()
            self._interrupts = Interrupts(self._waiter)
        self._spawner: ForkSpawner | ThreadSpawner
        self._command: Command | None = None

    def start(self) -> int:
        """Start the cluster, wait until all of it is ready, give its id (this process' pid).

        Raises:
            RuntimeError: It runs already.
        """
        command = self._make_command()
        drive(command, self._waiter, lambda: self._told not in {None, "Starting"})
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

        Its status is there for other processes meanwhile: `Stat.get_all()`.

        The signals have their former effect after it. With `ends_process` they have none any more,
        so that a late one does not take the place of the exit code.
        """
        command = self._make_command()
        published = self._published(command)
        self._interrupts.install()
        try:
            self._finish(command, published)
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
        return self._picture(runs=self._command is not None and self.exit_code is None)

    def _picture(self, *, runs: bool) -> Stat:
        clock = assembly.surroundings().clock
        blank = Stat(cluster_id=self.pid, host=self.host, tob=self._born, now=clock.now())
        if self._command is None:
            return blank
        blank = counted(blank, self._command, clock.monotonic())
        if not runs:
            return blank
        if self._command.report is None:
            return attrs.evolve(blank, status="Starting")
        return told(blank, self._command.report, self._sentinel_pid())

    @property
    def sentinel(self) -> psutil.Process | None:
        """The process of the sentinel (this one, with threads); None while there is none."""
        pid = self._sentinel_pid()
        if pid is None:
            return None
        return psutil.Process(self.pid if isinstance(self._waiter, Bell) else pid)

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
        if self._command is not None and not self.has_stopped:
            raise RuntimeError("this cluster runs already; stop() ends it")
        boxes = Boxes(
            config=self.config,
            broker=self.broker,
            cluster_id=str(self.pid),
            run_once=self._run_once,
        )
        around = assembly.surroundings()
        orphans: Orphans
        if isinstance(self._waiter, Bell):
            threads = Threads(
                boxes=boxes,
                make_broker=self._make_broker if self._has_own_broker else None,
            )
            self._spawner = ThreadSpawner(bell=self._waiter, main=threads.sentinel)
            orphans = ThreadOrphans()
            ignored = [name for name in PROCESS_SETTINGS if getattr(self.config, name)]
            if ignored:
                around.observer.notify(SettingsIgnored(tuple(ignored)))
        else:
            self._spawner = ForkSpawner(
                poller=self._waiter,
                main=Processes(boxes=boxes).sentinel,
                before=self._let_go,
                close_in_child=[self._interrupts.abandon],
            )
            orphans = ProcessOrphans()
        self._born = around.clock.now()
        self.exit_code = None
        self._command = Command(
            spawner=self._spawner,
            around=around,
            interrupts=self._interrupts.count,
            orphans=orphans,
            cluster_id=str(self.pid),
        )
        return self._command

    def _published(self, command: Command) -> Component:
        """The command, with its picture for other processes, if there is a place for that."""
        try:
            self._board = assembly.make_board(self.config, self.broker.list_key)
        except ConfigError:
            # Of a broker that nobody has chosen: this cluster was given one.
            self._board = None
        if self._board is None:
            return command
        return Publisher(
            command=command,
            board=self._board,
            place=place_of(self._picture(runs=False)),
            picture=lambda stopped: written(self._picture(runs=not stopped)),
            around=assembly.surroundings(),
            guard_cycle=self.config.guard_cycle,
            bounded=partial(patience.at_most, BOARD_SECONDS_MAX),
        )

    def _let_go(self) -> None:
        """Before a fork: what is open here is not for the children."""
        scope.close_all()
        if self._board is not None:
            self._board.close()

    def _make_broker(self) -> Broker:
        return assembly.make_broker(self.config)

    def _order_stop(self) -> None:
        if self._command is not None:
            self._command.ask_stop()
            self._look()

    def _look(self) -> None:
        """Hear what the sentinel has said; waits a moment for news where all that there is is old.

        Nobody may have looked for so long that there was no room for more reports.
        """
        for _ in range(LOOKS_MAX):
            if self._command is None or self.exit_code is not None:
                return
            self._waiter.wait(0)
            if self._command.step() is None:
                self.exit_code = int(self._command.cut_short)
            report = self._command.report
            if report is None or self._age_of(report) <= self.config.guard_cycle + LATE_SECONDS_MAX:
                return
            self._waiter.wait(LOOK_SECONDS)

    def _age_of(self, report: Report) -> float:
        return assembly.surroundings().clock.monotonic() - report.at

    def _finish(self, command: Command, driven: Component | None = None) -> None:
        drive(driven or command, self._waiter)
        # Threads have no end of their own at which it could be done.
        reporting.close()
        self.exit_code = int(command.cut_short)

    def _sentinel_pid(self) -> int | None:
        pids = [] if self._command is None else self._spawner.pids()
        return pids[0] if pids else None
