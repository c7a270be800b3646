"""The words for what happened: turns events into log lines, on the logger `djq`.

The lines of start and stop are the manual's (1.9). Arguments and results never appear; a failure's
line does. Each record carries its facts as attributes too, under the names in `FIELDS`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from djq.core import events
from djq.core.lifecycle import Role

logger = logging.getLogger("djq")

Line = tuple[int, str]
"""Level and words."""

NAMES = ("role", "pid", "cluster_id", "success", "service", "schedule", "reporter")
FIELDS = {name: name for name in NAMES} | {"seconds": "duration"}
"""Attributes of events, and how a log record names them; those of a task are in `events.FACTS`."""

READY = {
    Role.WORKER: "{label} ready for work at {pid}",
    Role.MONITOR: "{label} monitoring at {pid}",
    Role.PUSHER: "{label} pushing tasks at {pid}",
    Role.SCHEDULER: "{label} scheduling at {pid}",
    Role.SENTINEL: "{label} guarding cluster at {pid}",
}
STOPPED = {
    Role.WORKER: "{label} stopped doing work",
    Role.MONITOR: "{label} stopped monitoring results",
    Role.PUSHER: "{label} stopped pushing tasks",
    Role.SCHEDULER: "{label} stopped scheduling",
    Role.SENTINEL: "{label} stopped guarding cluster",
}


class LoggingObserver:
    """Writes each event to the log; never raises."""

    def __init__(self, cluster: str | None = None) -> None:
        """`cluster` is the name in the settings, for the records. None: they cannot be read."""
        self._cluster = cluster

    def notify(self, event: events.Event) -> None:
        level, words = line_of(event)
        if logger.isEnabledFor(level):
            logger.log(level, words, extra={"cluster": self._cluster, **fields_of(event)})


def fields_of(event: events.Event) -> dict[str, Any]:
    """The facts of an event, as its log record names them."""
    fields = {name: getattr(event, key) for key, name in FIELDS.items() if hasattr(event, key)}
    if "role" in fields:
        fields["role"] = fields["role"].value
    if isinstance(event, events.TaskEvent):
        facts = (event.task_id, event.name, event.func, event.group, event.attempt)
        fields |= zip(events.FACTS, facts, strict=True)
    if isinstance(event, events.ScheduleSent):
        fields |= {"task_id": event.task_id, "func": event.func}
    return fields


@singledispatch
def line_of(event: events.Event) -> Line:
    """Level and words of an event's log line."""
    return logging.INFO, repr(event)


def _says(kind: type[events.Event], level: int) -> Callable[[Callable[[Any], str]], None]:
    """Register the words for one kind of event, whose level is always the same."""

    def register(words: Callable[[Any], str]) -> None:
        line_of.register(kind, lambda event: (level, words(event)))

    return register


_says(events.ClusterStarting, logging.INFO)(lambda e: f"Q Cluster-{e.cluster_id} starting.")
_says(events.ClusterRunning, logging.INFO)(lambda e: f"Q Cluster-{e.cluster_id} running.")
_says(events.ClusterStopping, logging.INFO)(lambda e: f"Q Cluster-{e.cluster_id} stopping.")
_says(events.ClusterStopped, logging.INFO)(lambda e: f"Q Cluster-{e.cluster_id} has stopped.")
_says(events.ChildReady, logging.INFO)(lambda e: READY[e.role].format(label=e.label, pid=e.pid))
_says(events.ChildStopped, logging.INFO)(lambda e: STOPPED[e.role].format(label=e.label))
_says(events.ProcessesStopping, logging.INFO)(lambda e: f"{e.label} stopping cluster processes")
_says(events.SettingsIgnored, logging.WARNING)(
    lambda e: f"not applied, since the workers are threads of one process: {', '.join(e.names)}"
)
_says(events.SpawnFailed, logging.ERROR)(
    lambda e: f"a {e.role.value} could not be started: {e.reason}"
)
_says(events.BatchSaved, logging.INFO)(lambda e: f"Processed {e.count} tasks")
_says(events.PackageRefused, logging.ERROR)(
    lambda e: f"a package was refused and failed with the broker (receipt {e.receipt}): {e.reason}"
)
_says(events.PackageLeft, logging.ERROR)(
    lambda e: f"a package was left in the queue for another cluster: {e.reason}"
)
_says(events.PackagesAdrift, logging.ERROR)(
    lambda e: (
        f"up to {e.count_max} packages may be lost: the broker's answer did not come, "
        "and it keeps no receipts"
    )
)
_says(events.ServiceAway, logging.ERROR)(
    lambda e: f"the {e.service} does not answer, trying again: {e.reason}"
)
_says(events.ServiceBack, logging.INFO)(lambda e: f"the {e.service} answers again")
_says(events.TaskHandedBack, logging.INFO)(
    lambda e: f"Handed back to the broker [{e.name}] {e.func}"
)
_says(events.TaskUnsaved, logging.ERROR)(
    lambda e: f"The store refused the outcome of [{e.name}]: {e.reason}"
)
_says(events.ScheduleSent, logging.INFO)(
    lambda e: f"Created a task from the schedule [{e.name}] {e.func}"
)
_says(events.SchedulesSent, logging.INFO)(lambda e: f"Created {e.count} tasks from schedules")
_says(events.ScheduleFailed, logging.ERROR)(
    lambda e: f"The schedule [{e.name}] ({e.schedule}) can make no task: {e.reason}"
)
_says(events.ScheduleSkipped, logging.INFO)(
    lambda e: f"The schedule [{e.name}] ({e.schedule}) waits: its last run is unfinished"
)
_says(events.ReportLost, logging.ERROR)(
    lambda e: (
        f"an error could not be reported{' to ' if e.reporter else ''}{e.reporter}: {e.reason}"
    )
)
_says(events.StopCutShort, logging.WARNING)(lambda e: f"the stop was cut short: {e.reason}")


@line_of.register
def _(event: events.ChildReplaced) -> Line:
    if event.recycled:
        return logging.INFO, f"{event.label} recycles a {event.role.value}: {event.reason}"
    words = (
        f"{event.label} reincarnates a {event.role.value}: the last one ended with {event.reason}"
    )
    return logging.WARNING, words


@line_of.register
def _(event: events.TaskSaved) -> Line:
    if event.success:
        return logging.INFO, f"Processed [{event.name}] {event.func}"
    return logging.ERROR, f"Failed [{event.name}] {event.func} - {event.error}"


@line_of.register
def _(event: events.HookFailed) -> Line:
    words = f"The hook {event.func} [{event.name}] failed - {event.error}"
    return logging.ERROR, f"{words}\n{event.traceback}" if event.traceback else words


def log_to_stderr(level: str) -> None:
    """Show djq's log lines as the manual does, unless the project has configured the logger itself."""
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s [Q] %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
