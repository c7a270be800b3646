"""The three machines of a cluster: what states there are, what can happen, what must not.

A *child* is a role in a seat with a generation. It is STARTING from the moment it is asked for until
it says that it is ready; RUNNING then; RETIRING once its replacement has been asked for (it finishes
what it holds and gets nothing more); STOPPING once it was told to leave; GONE when the kernel says
that it has ended. A child may end at any moment, so EXITED is allowed everywhere but in GONE.

A *task* in the sentinel's book is QUEUED until it is given to a worker, HELD while it lies there
unstarted (it can be taken back from there), RUNNING from the worker's word to its return, SETTLED
when it is known what becomes of it, and GONE when the monitor has said that this is done. What does
not show here: whether the broker would deliver it again. That is the lease's business, and
`settlement` decides with it in mind.

The *cluster* is STARTING until every child was ready once, WORKING then. A stop goes through the
documented procedure (the manual, 1.12.9): HALTING while the pusher ends, DRAINING while the workers
work off the queue, SAVING while the monitor keeps what is left, STOPPED.

A move that a table does not list raises `IllegalTransition`: it would be a fault of djq, and an
early end is easier to mend than a cluster that goes on with a wrong book.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from djq.exceptions import IllegalTransition


class Role(enum.Enum):
    SENTINEL = "sentinel"
    WORKER = "worker"
    MONITOR = "monitor"
    PUSHER = "pusher"
    SCHEDULER = "scheduler"


BRINGERS = (Role.PUSHER, Role.SCHEDULER)
"""Roles that bring new work; they stop first."""


@attrs.frozen
class ChildId:
    """One life of one seat: a late word of an earlier generation is never taken for the present one's."""

    role: Role
    slot: int
    generation: int

    def __str__(self) -> str:
        return f"{self.role.value} {self.slot}, generation {self.generation}"


class ChildState(enum.Enum):
    STARTING = "starting"
    RUNNING = "running"
    RETIRING = "retiring"
    STOPPING = "stopping"
    GONE = "gone"


class ChildEvent(enum.Enum):
    READY = "ready"
    RETIRE = "retire"
    STOP = "stop"
    OVERDUE = "overdue"
    EXITED = "exited"


class Cause(enum.Enum):
    """Why a child is followed by another in its seat."""

    RECYCLE = "recycle"
    """It had been given as many tasks as `recycle` says."""
    MAX_RSS = "max_rss"
    """Its memory had passed `max_rss`."""
    TIMEOUT = "timeout"
    """It was killed, since a task had overrun its time."""
    DEATH = "death"
    """It ended by itself, or somebody else ended it."""
    START = "start"
    """It could not be started, or ended or was given up before it was ready."""
    STOP = "stop"
    """It had left in a stop, and then work came back."""


class Order(enum.Enum):
    """What the sentinel has to do about a child."""

    SPAWN_NEXT = "spawn the next generation in its seat"
    ASK_STOP = "ask it to stop"
    KILL = "kill it"


class TaskState(enum.Enum):
    QUEUED = "queued"
    HELD = "held"
    RUNNING = "running"
    SETTLED = "settled"
    GONE = "gone"


class TaskEvent(enum.Enum):
    ASSIGNED = "assigned"
    STARTED = "started"
    RETURNED = "returned"
    OVERDUE = "overdue"
    WORKER_DIED = "worker died"
    REFUSED = "refused"
    TAKEN_BACK = "taken back"
    SPARED = "its worker was killed for another task"
    RECALLED = "recalled"
    KEPT = "kept"


class ClusterState(enum.Enum):
    STARTING = "starting"
    WORKING = "working"
    HALTING = "halting"
    DRAINING = "draining"
    SAVING = "saving"
    STOPPED = "stopped"


class ClusterEvent(enum.Enum):
    ALL_READY = "all ready"
    STOP = "stop"
    PUSHER_GONE = "pusher gone"
    WORKERS_GONE = "workers gone"
    MONITOR_GONE = "monitor gone"
    END = "end"


# fmt: off
CHILD_TRANSITIONS: Mapping[tuple[ChildState, ChildEvent], tuple[ChildState, tuple[Order, ...]]] = {
    (ChildState.STARTING, ChildEvent.READY):   (ChildState.RUNNING,  ()),
    (ChildState.STARTING, ChildEvent.EXITED):  (ChildState.GONE,     (Order.SPAWN_NEXT,)),
    (ChildState.STARTING, ChildEvent.OVERDUE): (ChildState.STARTING, (Order.KILL,)),
    (ChildState.STARTING, ChildEvent.STOP):    (ChildState.STOPPING, (Order.ASK_STOP,)),
    (ChildState.RUNNING,  ChildEvent.EXITED):  (ChildState.GONE,     (Order.SPAWN_NEXT,)),
    (ChildState.RUNNING,  ChildEvent.OVERDUE): (ChildState.RUNNING,  (Order.KILL,)),
    (ChildState.RUNNING,  ChildEvent.RETIRE):  (ChildState.RETIRING, (Order.SPAWN_NEXT,)),
    (ChildState.RUNNING,  ChildEvent.STOP):    (ChildState.STOPPING, (Order.ASK_STOP,)),
    (ChildState.RETIRING, ChildEvent.EXITED):  (ChildState.GONE,     ()),
    (ChildState.RETIRING, ChildEvent.OVERDUE): (ChildState.RETIRING, (Order.KILL,)),
    (ChildState.RETIRING, ChildEvent.RETIRE):  (ChildState.RETIRING, ()),
    (ChildState.RETIRING, ChildEvent.STOP):    (ChildState.STOPPING, (Order.ASK_STOP,)),
    (ChildState.STOPPING, ChildEvent.READY):   (ChildState.STOPPING, ()),
    (ChildState.STOPPING, ChildEvent.EXITED):  (ChildState.GONE,     ()),
    (ChildState.STOPPING, ChildEvent.OVERDUE): (ChildState.STOPPING, (Order.KILL,)),
    (ChildState.STOPPING, ChildEvent.RETIRE):  (ChildState.STOPPING, ()),
    (ChildState.STOPPING, ChildEvent.STOP):    (ChildState.STOPPING, (Order.ASK_STOP,)),
}

TASK_TRANSITIONS: Mapping[tuple[TaskState, TaskEvent], TaskState] = {
    (TaskState.QUEUED,  TaskEvent.ASSIGNED):    TaskState.HELD,
    (TaskState.QUEUED,  TaskEvent.REFUSED):     TaskState.SETTLED,
    (TaskState.QUEUED,  TaskEvent.RECALLED):    TaskState.SETTLED,
    (TaskState.HELD,    TaskEvent.STARTED):     TaskState.RUNNING,
    (TaskState.HELD,    TaskEvent.WORKER_DIED): TaskState.QUEUED,
    (TaskState.HELD,    TaskEvent.TAKEN_BACK):  TaskState.QUEUED,
    (TaskState.RUNNING, TaskEvent.RETURNED):    TaskState.SETTLED,
    (TaskState.RUNNING, TaskEvent.OVERDUE):     TaskState.RUNNING,
    (TaskState.RUNNING, TaskEvent.WORKER_DIED): TaskState.SETTLED,
    (TaskState.RUNNING, TaskEvent.SPARED):      TaskState.SETTLED,
    (TaskState.SETTLED, TaskEvent.KEPT):        TaskState.GONE,
}

CLUSTER_TRANSITIONS: Mapping[tuple[ClusterState, ClusterEvent], ClusterState] = {
    (ClusterState.STARTING, ClusterEvent.ALL_READY):    ClusterState.WORKING,
    (ClusterState.STARTING, ClusterEvent.STOP):         ClusterState.HALTING,
    (ClusterState.WORKING,  ClusterEvent.STOP):         ClusterState.HALTING,
    (ClusterState.HALTING,  ClusterEvent.PUSHER_GONE):  ClusterState.DRAINING,
    (ClusterState.DRAINING, ClusterEvent.WORKERS_GONE): ClusterState.SAVING,
    (ClusterState.SAVING,   ClusterEvent.MONITOR_GONE): ClusterState.STOPPED,
    (ClusterState.STARTING, ClusterEvent.END):          ClusterState.STOPPED,
    (ClusterState.WORKING,  ClusterEvent.END):          ClusterState.STOPPED,
    (ClusterState.HALTING,  ClusterEvent.END):          ClusterState.STOPPED,
    (ClusterState.DRAINING, ClusterEvent.END):          ClusterState.STOPPED,
    (ClusterState.SAVING,   ClusterEvent.END):          ClusterState.STOPPED,
}
# fmt: on

State = TypeVar("State", bound=enum.Enum)
Event = TypeVar("Event", bound=enum.Enum)
Answer = TypeVar("Answer")


def move(table: Mapping[Any, Answer], state: State, event: Event) -> Answer:
    """Look up what `event` does in `state`.

    Raises:
        IllegalTransition: The table does not list the pair.
    """
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransition(f"{event!r} cannot happen to {state!r}") from None
