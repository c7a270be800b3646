"""Every port of the engine on one page: what it talks through, and what an author of a part implements.

What only djq implements is a Protocol; that of a `Board` is with its only user, the publisher, that of a
`Reporter` in `core.report`. `Broker` is a class, since users subclass it (the manual, 1.3.7): it has the
documented verbs, and the engine's own beside them, each with a default in terms of the documented ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, ClassVar, Protocol

import attrs

from djq.core.events import Event
from djq.core.gathering import Gathered
from djq.core.leases import extended_one_by_one
from djq.core.lifecycle import ChildId
from djq.core.message import Finished, TaskMessage
from djq.core.received import Waiting
from djq.core.report import Reporter
from djq.core.schedules import Change, ScheduleEnd, ScheduleRow
from djq.exceptions import BrokerUnavailable, TaskRefused


class Clock(Protocol):
    """Two clocks: `now` for keeping, `monotonic` for measuring."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        ...


class Ids(Protocol):
    """Where identity and chance come from."""

    def task_id(self) -> str:
        """32 hex digits, never given twice."""
        ...

    def jitter(self) -> float:
        """A number from 0 up to 1, for pauses that must not fall together."""
        ...


class Observer(Protocol):
    """Hears what happened. Never answers, never raises."""

    def notify(self, event: Event) -> None: ...


@attrs.frozen
class Surroundings:
    """What every component needs of the world: they travel together."""

    clock: Clock
    ids: Ids
    observer: Observer
    reporter: Reporter | None = None
    """Is told of errors of tasks; this one never blocks and never raises. None: nobody is told."""


class Link(Protocol):
    """One end of a pipe to one other box: one writer, one reader, whole messages only."""

    def send(self, *messages: object) -> None:
        """Put messages on their way, in order. Blocks only at a child's end, never at the sentinel's.

        To a box that is gone: nothing happens, its death is learnt otherwise.
        """
        ...

    def receive(self) -> Sequence[Any]:
        """All whole messages that are here, oldest first; an empty list when there are none."""
        ...

    def offer(self, *messages: object) -> int:
        """Lay messages out for the child to take one at a time; never blocks.

        Gives how many there was room for, from the first one on: none is larger than a packet, and
        on some systems there is no room at all. What was not laid out is not kept.
        """
        ...

    def recall(self) -> Sequence[Any]:
        """Take back what was offered and the child has not taken; oldest first."""
        ...

    def take(self) -> Any | None:
        """At the child's end: the oldest message on offer. None: there is none."""
        ...

    @property
    def ended(self) -> bool:
        """The other box is gone, and all that it had sent has been received."""
        ...

    @property
    def clogged(self) -> bool:
        """The other box has not taken yet what was sent before."""
        ...


@attrs.frozen
class Wait:
    """What a component waits for: `seconds` to pass, or anything new on its links."""

    seconds: float | None
    """0: step again at once. None: wait until something comes."""


class Component(Protocol):
    """One unit of work a step; whoever drives it honours the wait."""

    def step(self) -> Wait | None:
        """Work, and say what to wait for. None: the component is done."""
        ...


@attrs.frozen
class Exit:
    """A child has ended: the kernel says so."""

    child: ChildId
    code: int
    """The exit code; a signal's number as a negative one."""


class Spawner(Protocol):
    """Starts and ends children; learns of their deaths."""

    def spawn(self, child: ChildId, label: str) -> Link:
        """Start the child; give the sentinel's end of its link. Raises OSError when it cannot.

        `label` is the name that its log lines carry.
        """
        ...

    def kill(self, child: ChildId) -> None:
        """End the child now. One that has ended already is no error."""
        ...

    def exits(self) -> Sequence[Exit]:
        """The children that have ended since the last call; what they had sent can still be received."""
        ...

    def forget(self, child: ChildId) -> None:
        """Close what is left of an ended child."""
        ...


class Orphans(Protocol):
    """Looks after the children of a sentinel that died."""

    fate: str
    """What is told of those that `end` counts, behind their number."""

    def adopt(self, pids: Sequence[int]) -> None:
        """Remember them: they are finishing what they hold."""
        ...

    def end(self) -> int:
        """End those that still live; gives how many that were."""
        ...


TaskScope = Callable[[], AbstractContextManager[None]]
"""Makes the surroundings of one task: database connections fresh before it, and in order after it."""


class ResultStore(Protocol):
    """Keeps outcomes. The first success of a task is final; a failure may be replaced."""

    alias: str | None
    """The Django database that it writes to, for brokers in the same one. None: no database."""

    def save(self, batch: Sequence[Finished]) -> Sequence[Gathered]:
        """Keep the outcomes, all or none; then see to `save_limit`.

        The outcome of an iter's element is kept aside, the first one of each place, until all are there.
        They then make one outcome, which is kept instead of them, once. Gives the iters that have become
        complete in this way; of one whose outcome can never be kept as it is, the failure kept in its place.

        Raises:
            StoreUnavailable: Nothing was kept; try again later.
            StoreRefused: Nothing was kept, and one of these can never be kept as it is.
        """
        ...

    def unit(self) -> AbstractContextManager[None]:
        """A transaction for saving and acknowledging together, where a broker shares the database."""
        ...

    def kept(self, tasks: Iterable[TaskMessage]) -> Mapping[str, Finished]:
        """What is kept of these tasks, by id: a success is final, whatever came after it.

        What a store does not keep of a task is not in it either: `seconds` is 0 then.

        Raises:
            StoreUnavailable: Try again later.
        """
        ...

    def sent(self, links: Iterable[TaskMessage]) -> Mapping[str, int]:
        """How many links of the chains of these have been sent, by the chain's id; as far as is known.

        Raises:
            StoreUnavailable: Try again later.
        """
        ...

    def mark_sent(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent, and with them all before them.

        Raises:
            StoreUnavailable: Try again later.
        """
        ...

    def present(self, finished: Finished) -> object:
        """The task object that a hook is called with; it may be unsaved."""
        ...


class ScheduleStore(Protocol):
    """Keeps schedules, and sees that one slot is one scheduler's. What it raises is `StoreUnavailable`."""

    alias: str | None
    """The Django database that it lives in, for brokers in the same one. None: no database."""

    def now(self) -> datetime:
        """The time that schedules go by, aware, UTC: one for all schedulers, where that can be had."""
        ...

    def next_due(self) -> datetime | None:
        """When the next row comes due; in the past when it is late. None: no row ever does."""
        ...

    def unit(self) -> AbstractContextManager[None]:
        """A transaction: what was taken and put in it stands when it ends, all or none."""
        ...

    def take(self, now: datetime, limit: int) -> Sequence[ScheduleRow]:
        """Rows that are due and that no other unit holds, oldest first; held until this unit ends."""
        ...

    def put(self, changes: Sequence[Change]) -> None:
        """Write what became of rows that were taken in this unit."""
        ...

    def sent(self, token: str, ids: Sequence[int]) -> None:
        """All that these rows were sending by this token was sent; other tokens stay as they are."""
        ...

    def ended(self, ends: Sequence[ScheduleEnd]) -> None:
        """Tell schedules how their tasks ended."""
        ...

    def unhold(self, now: datetime, latest: datetime) -> None:
        """Rows that are held beyond `latest` come due now: somebody's clock was wrong."""
        ...


class Broker:
    """Moves packages and holds leases; knows nothing of retries, chains or results (the manual, 1.3.8).

    Subclass it, define `enqueue` and `dequeue`, and with receipts `acknowledge`. A driver's exception
    never leaves a broker: it raises `BrokerUnavailable`, and then nothing was done or it is safe to
    do again; or, where a package can never be sent, for its size say, `TaskRefused`.
    """

    receipts: ClassVar[bool] = False
    """It keeps a package until it is acknowledged, and delivers it again after `retry` seconds."""

    blocks: ClassVar[bool] = False
    """An empty `dequeue` has waited, about a second at most; if not, the pusher waits `poll` seconds."""

    delays: ClassVar[bool] = False
    """It can hold packages back: `enqueue_later`."""

    bulk_limit: ClassVar[int | None] = None
    """Most packages in one `dequeue`. None: any number."""

    max_payload: ClassVar[int | None] = None
    """Most characters of one package. None: no limit of its own."""

    database: str | None = None
    """The Django database that it lives in. None: elsewhere."""

    def __init__(self, list_key: str = "default") -> None:
        self.list_key = list_key

    def enqueue(self, task: str) -> str | None:
        """Send a package to the queue; give a tracking id where there is one."""
        raise NotImplementedError(f"{type(self).__name__} must define enqueue(task)")

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, in few round trips.

        After a `TaskRefused`, raised before anything is sent if that can be, they are sent one by one, and
        after a `BrokerUnavailable` all of them again, but for those that either says were sent.
        """
        ids: list[str | None] = []
        try:
            for task in tasks:
                ids.append(self.enqueue(task))  # noqa: PERF401 - the error has to know how many there are
        except TaskRefused as error:
            raise TaskRefused(*error.args, sent=range(len(ids))) from error
        except BrokerUnavailable as error:
            error.sent = range(len(ids))
            raise
        return ids

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """Send packages to be delivered in so many seconds; until then they neither wait nor are out."""
        raise TaskRefused(f"{self.info()} cannot hold {len(tasks)} packages back for {seconds} s")

    def dequeue(self, limit: int = 1) -> Sequence[tuple[str | None, str | bytes]]:
        """Take up to `limit` packages off the queue, oldest first: pairs of receipt and package.

        With receipts they are hidden from others for `retry` seconds. `limit` may be left out.
        """
        raise NotImplementedError(f"{type(self).__name__} must define dequeue()")

    def acknowledge(self, id: str) -> None:
        """Say that the task has been processed. A receipt whose lease is lost is no error."""

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        for id in ids:
            self.acknowledge(id)

    def extend(self, id: str) -> str:
        """Lease the package for another `retry` seconds from now; give its receipt from now on."""
        return id

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Extend many leases: the receipts that changed, old to new; an error has them as `changed`."""
        return extended_one_by_one(ids, self.extend)

    def release(self, id: str, *, begun: bool = True) -> None:
        """Give the package back: it is delivered again at once, before the rest of the queue.

        `begun` says that its task has run, at least in part: this delivery counts. If not, the next
        one has the same `attempt`; a broker that cannot take a count back may ignore that, and a
        task can then use up its attempts without ever having run. The receipt is void either way.
        """

    def release_many(self, ids: Iterable[str], *, begun: bool = True) -> None:
        for id in ids:
            self.release(id, begun=begun)

    def fail(self, id: str) -> None:
        """Say that the package could not be opened: it is not delivered again."""

    def delete(self, id: str) -> None:
        """Delete the message with this tracking id from the queue."""

    def purge_queue(self) -> None:
        """Empty the queue."""

    def delete_queue(self) -> None:
        """Delete the queue from the broker."""

    def queue_size(self) -> int:
        """How many packages wait, those being worked on left out."""
        return 0

    def peek(self) -> Sequence[Waiting] | None:
        """What `dequeue` would give next, left where it is; of a queue with several lines the first of each.

        So the package that has waited longest is among these. None: the broker cannot tell.
        """
        return None

    def lock_size(self) -> int | None:
        """How many packages are out and not acknowledged. None: the broker cannot tell."""
        return None

    def ping(self) -> bool:
        """Whether the broker can be reached."""
        return True

    def info(self) -> str:
        """Name and version of the broker."""
        return type(self).__name__

    def close(self) -> None:
        """Let go of connections; the next verb connects anew. Called in a child after a fork."""
