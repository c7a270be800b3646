"""The words for what happened: turns events into log lines, on the logger `djq`.

The lines of start and stop are the manual's (1.9). Arguments and results never appear; a failure's
line does. Each record carries its facts as attributes too: `task_id`, `task_name`, `func`,
`seconds`, where the event has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import singledispatch
from typing import Any

from djq.core import events
from djq.core.lifecycle import Role

logger = logging.getLogger("djq")

Line = tuple[int, str, dict[str, Any]]
"""Level, words, and the record's extra attributes."""

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

    def notify(self, event: events.Event) -> None:
        level, words, extra = line_of(event)
        if logger.isEnabledFor(level):
            logger.log(level, words, extra=extra)


@singledispatch
def line_of(event: events.Event) -> Line:
    """Level, words and extra attributes of an event's log line."""
    return logging.INFO, repr(event), {}


def _says(kind: type[events.Event], level: int) -> Callable[[Callable[[Any], str]], None]:
    """Register the words for one kind of event without facts of a task."""

    def register(words: Callable[[Any], str]) -> None:
        line_of.register(kind, lambda event: (level, words(event), {}))

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
_says(events.SchedulesSent, logging.INFO)(lambda e: f"Created {e.count} tasks from schedules")
_says(events.ScheduleFailed, logging.ERROR)(
    lambda e: f"The schedule [{e.name}] ({e.schedule}) can make no task: {e.reason}"
)
_says(events.ScheduleSkipped, logging.INFO)(
    lambda e: f"The schedule [{e.name}] ({e.schedule}) waits: its last run is unfinished"
)
_says(events.StopCutShort, logging.WARNING)(lambda e: f"the stop was cut short: {e.reason}")


@line_of.register
def _(event: events.ChildReplaced) -> Line:
    if event.recycled:
        return logging.INFO, f"{event.label} recycles a {event.role.value}: {event.reason}", {}
    words = (
        f"{event.label} reincarnates a {event.role.value}: the last one ended with {event.reason}"
    )
    return logging.WARNING, words, {}


@line_of.register
def _(event: events.TaskSaved) -> Line:
    extra = {
        "task_id": event.task_id,
        "task_name": event.name,
        "func": event.func,
        "seconds": event.seconds,
    }
    if event.success:
        return logging.INFO, f"Processed [{event.name}] {event.func}", extra
    return logging.ERROR, f"Failed [{event.name}] {event.func} - {event.error}", extra


@line_of.register
def _(event: events.TaskHandedBack) -> Line:
    extra = {"task_id": event.task_id, "task_name": event.name, "func": event.func}
    return logging.INFO, f"Handed back to the broker [{event.name}] {event.func}", extra


@line_of.register
def _(event: events.TaskUnsaved) -> Line:
    extra = {"task_id": event.task_id, "task_name": event.name}
    return logging.ERROR, f"The store refused the outcome of [{event.name}]: {event.reason}", extra


@line_of.register
def _(event: events.ScheduleSent) -> Line:
    extra = {"task_id": event.task_id, "func": event.func}
    return logging.INFO, f"Created a task from the schedule [{event.name}] {event.func}", extra


@line_of.register
def _(event: events.HookFailed) -> Line:
    extra = {"task_id": event.task_id, "task_name": event.name, "func": event.hook}
    words = f"The hook {event.hook} [{event.name}] failed - {event.error}"
    if event.traceback:
        words = f"{words}\n{event.traceback}"
    return logging.ERROR, words, extra


def log_to_stderr(level: str) -> None:
    """Show djq's log lines as the manual does, unless the project has configured the logger itself."""
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s [Q] %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
