"""What happened, as values: components hand these to the observer, `djq.signals` has the words."""

from __future__ import annotations

import attrs

from djq.core.lifecycle import Role
from djq.core.message import TaskMessage

FACTS = ("task_id", "task_name", "func", "group", "attempt")
"""What log records and error reports say of a task, under these names; never its arguments."""

Facts = tuple[str, str, str, str | None, int]


def about(message: TaskMessage, attempt: int) -> Facts:
    """Give the facts of a task, as they are named in `FACTS`: how every event about it begins."""
    return message.id, message.name, message.func, message.group, attempt


@attrs.frozen
class Event:
    """The root of all events."""


@attrs.frozen
class TaskEvent(Event):
    """The root of what happened to one task."""

    task_id: str
    name: str
    func: str
    """Dotted path of what was called."""
    group: str | None
    attempt: int
    """How often it had been delivered, this time included. 0: it never was."""


@attrs.frozen
class ClusterStarting(Event):
    cluster_id: str


@attrs.frozen
class ClusterRunning(Event):
    cluster_id: str


@attrs.frozen
class ClusterStopping(Event):
    cluster_id: str


@attrs.frozen
class ClusterStopped(Event):
    cluster_id: str


@attrs.frozen
class SettingsIgnored(Event):
    """These settings are about processes, and this cluster's children are threads."""

    names: tuple[str, ...]


@attrs.frozen
class ChildReady(Event):
    """A child (or the sentinel) can work; `label` is its process name as the manual prints it."""

    role: Role
    label: str
    pid: int


@attrs.frozen
class ChildStopped(Event):
    role: Role
    label: str
    pid: int


@attrs.frozen
class ProcessesStopping(Event):
    """The sentinel has begun the stop procedure."""

    label: str


@attrs.frozen
class ChildReplaced(Event):
    """A child is gone or going, and the next generation was started in its seat."""

    role: Role
    label: str
    reason: str
    recycled: bool
    """True: on purpose, after `recycle` tasks or over `max_rss`."""


@attrs.frozen
class SpawnFailed(Event):
    role: Role
    reason: str


@attrs.frozen
class TaskSaved(TaskEvent):
    """An outcome was kept (or needs no keeping), and the task acknowledged."""

    success: bool
    error: str
    """The failure's line; empty for a success."""
    seconds: float


@attrs.frozen
class BatchSaved(Event):
    """Many outcomes were kept at once; failures among them have a `TaskSaved` each."""

    count: int


@attrs.frozen
class TaskHandedBack(TaskEvent):
    """The broker was given a task back: its worker died, or a stop came before it could start."""


@attrs.frozen
class TaskUnsaved(TaskEvent):
    """The store cannot keep this outcome as it is; a failure that says so is kept in its place."""

    reason: str


@attrs.frozen
class HookFailed(TaskEvent):
    """A hook, which is what `func` names, came to no good end, or could not be sent."""

    error: str
    traceback: str


@attrs.frozen
class PackageRefused(Event):
    """What the broker delivered cannot be opened; it was failed with the broker."""

    receipt: str | None
    reason: str


@attrs.frozen
class PackageLeft(Event):
    """What the broker delivered cannot be opened by this cluster, and stays in the queue for another."""

    reason: str
    """And what to do."""


@attrs.frozen
class PackagesAdrift(Event):
    """The broker was asked for packages and its answer did not come; without receipts they are lost."""

    count_max: int
    """As many as were asked for, at most: nobody knows how many there were."""


@attrs.frozen
class ScheduleSent(Event):
    """A schedule was due, and its task was sent (or is about to be, where its row is written first)."""

    schedule: int
    """Primary key."""
    name: str
    """Of the schedule; its function where it has none."""
    task_id: str
    func: str


@attrs.frozen
class SchedulesSent(Event):
    """Many tasks of schedules were sent at once."""

    count: int


@attrs.frozen
class ScheduleFailed(Event):
    """A schedule can make no task as it is; told once, until its error is another one."""

    schedule: int
    name: str
    reason: str


@attrs.frozen
class ScheduleSkipped(Event):
    """A slot made no task, since the last run of the schedule has not ended."""

    schedule: int
    name: str


@attrs.frozen
class ServiceAway(Event):
    """A broker or a store does not answer; told once, until it is back."""

    service: str
    reason: str


@attrs.frozen
class ServiceBack(Event):
    service: str


@attrs.frozen
class ReportLost(Event):
    """An error could not be reported; told once, until one can be again."""

    reporter: str
    """Name or dotted path. Empty: none of them was asked."""
    reason: str


@attrs.frozen
class StopCutShort(Event):
    """A stop ended work before its time, or gave up waiting."""

    reason: str
