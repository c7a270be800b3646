"""What runs in each box of a cluster, from its first line to its last: in a process, or in a thread."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable

import attrs

from djq import assembly, reporting
from djq.components.monitor import Monitor
from djq.components.pusher import Pusher
from djq.components.scheduler import Scheduler
from djq.components.sentinel import Sentinel
from djq.components.worker import Worker
from djq.conf import get_zone, schedule_defaults
from djq.core.config import Config
from djq.core.lifecycle import ChildId, Role
from djq.ports import Broker, Component, Link, Spawner
from djq.runtime import interrupts, limits, scope, title
from djq.runtime.link import SocketLink
from djq.runtime.loop import drive
from djq.runtime.poller import Poller
from djq.runtime.spawn import ForkSpawner
from djq.runtime.threads import Bell, ThreadLink, ThreadSpawner

LOCK_SECONDS_MAX = 5.0
"""How long a scheduler waits for another's lock."""


@attrs.frozen(kw_only=True)
class Seat:
    """Where a component sits: what it is called, how it is reached, what it runs in."""

    label: str
    link: Link
    pid: int
    """Of its process, or of its thread."""
    broker: Broker


@attrs.frozen(kw_only=True)
class Boxes:
    """Makes the components of one cluster, wherever they run."""

    config: Config
    broker: Broker
    """The cluster's own; its flags are for the sentinel, which does not use it."""
    cluster_id: str
    run_once: bool

    def sentinel(self, seat: Seat, spawner: Spawner) -> Sentinel:
        return Sentinel(
            plan=assembly.make_plan(self.config, self.broker, run_once=self.run_once),
            spawner=spawner,
            command=seat.link,
            around=assembly.surroundings(),
            cluster_id=self.cluster_id,
            label=seat.label,
            pid=seat.pid,
        )

    def leaf(
        self, role: Role, seat: Seat, *, memory: Callable[[], float] | None = None
    ) -> Component:
        """A worker, a monitor, a pusher or a scheduler; `memory` gives the MiB of a worker."""
        if role is Role.WORKER:
            return self._worker(seat, memory)
        makers: dict[Role, Callable[[Seat], Component]] = {
            Role.MONITOR: self._monitor,
            Role.PUSHER: self._pusher,
            Role.SCHEDULER: self._scheduler,
        }
        return makers[role](seat)

    def _worker(self, seat: Seat, memory: Callable[[], float] | None) -> Worker:
        return Worker(
            link=seat.link,
            around=assembly.surroundings(),
            scope=scope.fresh_connections,
            present=assembly.make_store(self.config).present,
            label=seat.label,
            pid=seat.pid,
            max_payload=self.config.max_payload,
            memory=memory if self.config.max_rss is not None else None,
            memory_max=self.config.max_rss,
        )

    def _monitor(self, seat: Seat) -> Monitor:
        scope.bound_lock_waits(self.config.retry / 3)
        return Monitor(
            link=seat.link,
            broker=seat.broker,
            store=assembly.make_store(self.config, seat.broker.list_key),
            codec=assembly.make_codec(self.config, seat.broker.list_key),
            around=assembly.surroundings(),
            label=seat.label,
            pid=seat.pid,
            schedules=assembly.make_schedule_store(),
        )

    def _scheduler(self, seat: Seat) -> Scheduler:
        # A row that somebody keeps locked must not keep it from its other rows, nor from a stop.
        scope.bound_lock_waits(LOCK_SECONDS_MAX)
        return Scheduler(
            link=seat.link,
            store=assembly.make_schedule_store(),
            queue_of=assembly.queue_finder(self.config, seat.broker),
            custom=schedule_defaults(),
            zone_of=get_zone,
            around=assembly.surroundings(),
            label=seat.label,
            pid=seat.pid,
            greets_late=self.run_once,
        )

    def _pusher(self, seat: Seat) -> Pusher:
        return Pusher(
            link=seat.link,
            broker=seat.broker,
            codec=assembly.make_codec(self.config, seat.broker.list_key),
            around=assembly.surroundings(),
            label=seat.label,
            pid=seat.pid,
            poll_seconds=self.config.poll,
            bulk=self.config.bulk,
        )


@attrs.frozen(kw_only=True)
class Processes:
    """The lives of children that are forked processes."""

    boxes: Boxes

    def sentinel(self, _child: ChildId, label: str, link: SocketLink, poller: Poller) -> None:
        """The life of a sentinel: the only process that forks, and single-threaded."""
        interrupts.take_no_notice()
        title.set_title("sentinel", self.boxes.config.name)
        link.never_wait()
        # What is alive now is shared by all children, and a collection in one would copy its pages.
        gc.collect()
        gc.freeze()
        spawner = ForkSpawner(poller=poller, main=self.leaf, close_in_child=[link.close])
        drive(self.boxes.sentinel(self._seat(label, link), spawner), poller)
        spawner.reap()

    def leaf(self, child: ChildId, label: str, link: SocketLink, poller: Poller) -> None:
        """The life of a worker, a monitor, a pusher or a scheduler."""
        config = self.boxes.config
        interrupts.take_no_notice()
        title.set_title(child.role.value, config.name)
        scope.tune_sqlite()
        self.boxes.broker.close()
        if child.role is Role.WORKER:
            interrupts.defaults_for_grandchildren()
            limits.pin(child.slot, config.cpu_affinity)
        seat = self._seat(label, link)
        try:
            drive(self.boxes.leaf(child.role, seat, memory=limits.memory_mib), poller)
        finally:
            reporting.close()
            scope.close_all()

    def _seat(self, label: str, link: SocketLink) -> Seat:
        return Seat(label=label, link=link, pid=os.getpid(), broker=self.boxes.broker)


@attrs.frozen(kw_only=True)
class Threads:
    """The lives of children that are threads of this process."""

    boxes: Boxes
    make_broker: Callable[[], Broker] | None
    """Makes a broker that is used in one thread only. None: all use the cluster's own."""

    def sentinel(self, _child: ChildId, label: str, link: ThreadLink, bell: Bell) -> None:
        """The life of a sentinel; should it end before its time, its children leave as well."""
        spawner = ThreadSpawner(bell=bell, main=self.leaf)
        seat = self._seat(label, link, self.boxes.broker)
        try:
            drive(self.boxes.sentinel(seat, spawner), bell, lambda: link.is_cut)
        finally:
            spawner.close()

    def leaf(self, child: ChildId, label: str, link: ThreadLink, bell: Bell) -> None:
        """The life of a worker, a monitor, a pusher or a scheduler."""
        scope.tune_sqlite_here()
        own = None
        if child.role is Role.WORKER:
            interrupts.defaults_for_grandchildren()
        elif self.make_broker is not None:
            own = self.make_broker()
        seat = self._seat(label, link, self.boxes.broker if own is None else own)
        try:
            # Whoever was given up begins nothing more.
            drive(self.boxes.leaf(child.role, seat), bell, lambda: link.is_cut)
        finally:
            if own is not None:
                own.close()
            scope.close_own()

    def _seat(self, label: str, link: ThreadLink, broker: Broker) -> Seat:
        return Seat(label=label, link=link, pid=threading.get_native_id(), broker=broker)
