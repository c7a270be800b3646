"""What a simulated cluster is made of: the real classes, unless a mutant puts another in their place."""

from __future__ import annotations

import attrs

from djq.components.command import Command
from djq.components.monitor import Monitor
from djq.components.pusher import Pusher
from djq.components.scheduler import Scheduler
from djq.components.sentinel import Sentinel
from djq.components.worker import Worker
from djq_testing.memory import MemoryBroker, MemoryStore
from djq_testing.schedules import MemoryScheduleStore


@attrs.frozen(kw_only=True)
class Parts:
    """The classes that the world makes its boxes from."""

    command: type[Command] = Command
    """Runs in the process that was asked to run a cluster."""

    sentinel: type[Sentinel] = Sentinel
    """Stands in the middle."""

    worker: type[Worker] = Worker
    """Runs the tasks."""

    monitor: type[Monitor] = Monitor
    """Keeps the outcomes."""

    pusher: type[Pusher] = Pusher
    """Fetches the packages."""

    broker: type[MemoryBroker] = MemoryBroker
    """The queue's server."""

    store: type[MemoryStore] = MemoryStore
    """The result store's server."""

    scheduler: type[Scheduler] = Scheduler
    """Makes the tasks of schedules."""

    schedule_store: type[MemoryScheduleStore] = MemoryScheduleStore
    """The schedules' server."""
