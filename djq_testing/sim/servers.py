"""The simulated servers, and the ends that each process talks to them with.

The servers are the twins in memory; they never fail. What fails is the way to them: every verb may
end in its caller's death, or in an error, before its effect or after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs

from djq.core.frame import delivery_of, unpack
from djq.core.gathering import Gathered
from djq.core.message import Finished, TaskMessage
from djq.core.received import Received
from djq.exceptions import BadPackage, BrokerUnavailable, StoreUnavailable
from djq.ports import Broker
from djq_testing.memory import MemoryBroker, MemoryStore, Row
from djq_testing.sim.composition_checker import Kept
from djq_testing.sim.faults import Violation

if TYPE_CHECKING:
    from djq_testing.sim.spawn import SimProcess
    from djq_testing.sim.world import World


AWAY = {"broker": BrokerUnavailable, "store": StoreUnavailable}
"""What is raised when a service does not answer."""


class Way:
    """One process' way to a service: each time it is taken the process may die, or get no answer."""

    def __init__(self, world: World, process: SimProcess, service: str) -> None:
        self._world = world
        self._process = process
        self._service = service

    def before(self) -> None:
        """Nothing has been done yet."""
        chaos = self._world.chaos
        chaos.crash()
        if self._world.is_away(self._service, self._process.cluster):
            raise AWAY[self._service]("simulated, an outage")
        if chaos.strikes(f"{self._service}_error_before"):
            raise AWAY[self._service]("simulated, before the effect")

    def after(self) -> None:
        """All is done, and there may be no answer."""
        chaos = self._world.chaos
        chaos.crash()
        if chaos.strikes(f"{self._service}_error_after"):
            raise AWAY[self._service]("simulated, after the effect")

    def looked(self) -> None:
        """Nothing was changed, and there is an answer."""
        self._world.aside()


@attrs.define
class Handed:
    """What the server knows of one receipt."""

    message: TaskMessage | None
    """None: it is poison."""
    inner: str
    """The receipt of the twin in memory."""
    attempt: int
    """Which delivery the broker said that it is."""
    cluster: int
    """Whose pusher took it."""


NAMES = [field.name for field in attrs.fields(Row)]
VALUES = attrgetter(*NAMES)


@attrs.frozen
class Snapshot:
    """The queue as it was at one moment."""

    memory: dict[str, Any]
    rows: list[tuple[Row, tuple[Any, ...]]]
    void: set[str]
    unbegun: set[str]


class QueueServer:
    """The queue, with the receipts as its clients know them."""

    def __init__(self, world: World) -> None:
        self._world = world
        scene = world.scene
        self.memory: MemoryBroker = world.parts.broker(
            clock=world.server_clock,
            retry_seconds=scene.lease_seconds,
            receipts=scene.receipts,
            bulk_limit=scene.bulk_limit,
            shuffle=world.case.seed if scene.unordered else None,
        )
        self.handed: dict[str, Handed] = {}
        self.void: set[str] = set()
        """Receipts in whose place there is a new one."""
        self.attempts: Counter[str] = Counter()
        """The highest attempt in which each task was handed out, by its id."""
        self.copies: Counter[str] = Counter()
        """Packages too many, by the id of their task."""
        self.unbegun: set[str] = set()
        """Receipts of the twin whose deliveries were given back before their tasks began."""
        self.sent: list[TaskMessage] = []
        """What monitors have sent since the last transaction began."""
        self._messages: dict[str, TaskMessage | None] = {}

    def read(self, package: str) -> TaskMessage | None:
        """What a package holds; None when it is poison."""
        if package not in self._messages:
            try:
                frame = self._world.codec.open(package)
                delivery_of(frame, None, 1)
                self._messages[package] = unpack(frame)
            except BadPackage:
                self._messages[package] = None
        return self._messages[package]

    def take(self, limit: int, cluster: int) -> list[Received]:
        """Hand packages out."""
        received = self.memory.dequeue(limit)
        for one in received:
            receipt, package = one
            assert one.attempt is not None, "the twin in memory counts"
            message = self.read(str(package))
            if receipt is not None:
                self.handed[receipt] = Handed(message, receipt, one.attempt, cluster)
                self._world.checker.handed_out(self.handed[receipt], self._counted(receipt))
            if message is not None:
                self.attempts[message.id] = max(self.attempts[message.id], one.attempt)
                if self._world.chaos.strikes("duplicate"):
                    self.copies[message.id] += 1
                    self._world.timeline.after(
                        self._world.chaos.copy_seconds(), self.memory.enqueue, str(package)
                    )
        return received

    def inner(self, receipt: str) -> str:
        """The receipt of the twin in memory; a void one fits nothing there."""
        return "void" if receipt in self.void else self.handed[receipt].inner

    def extend(self, receipt: str) -> str:
        """Lease again, under a new receipt where the broker is of that kind."""
        self.memory.extend(self.inner(receipt))
        if not self._world.scene.new_receipts or receipt in self.void:
            return receipt
        self.void.add(receipt)
        new = f"{receipt}+"
        self.handed[new] = attrs.evolve(self.handed[receipt])
        return new

    def release(self, receipt: str, *, begun: bool) -> None:
        """Take a package back."""
        inner = self.inner(receipt)
        if not begun and any(row.taken and row.receipt == inner for row in self._rows):
            self.unbegun.add(inner)
        self.memory.release(inner, begun=begun)

    @property
    def size(self) -> int:
        """Packages in the queue, those handed out included."""
        return self.memory.queue_size() + (self.memory.lock_size() or 0)

    def has(self, task_id: str) -> bool:
        """Whether a task is in the queue, handed out or not."""
        messages = (self.read(row.package) for row in self._rows)
        return any(message is not None and message.id == task_id for message in messages)

    def waiting(self) -> Iterator[str]:
        """What can be taken now, by name."""
        now = self._world.server_clock.now()
        for row in self._rows:
            if row.available_at <= now:
                yield self._name(row)

    def leases(self) -> Iterator[tuple[str, int, float]]:
        """What is out, whose it is, and until when, in seconds since the world began."""
        now = self._world.server_clock.now()
        for row in self._rows:
            if row.taken and row.available_at > now:
                until = self._world.timeline.now + (row.available_at - now).total_seconds()
                yield self._name(row), self.handed[row.receipt].cluster, until

    def _name(self, row: Row) -> str:
        message = self.read(row.package)
        return "poison" if message is None else self._world.checker.name(message.id)

    def leased_to(self, cluster: int) -> list[str]:
        """The ids of the tasks that a cluster took and neither acknowledged nor gave back."""
        now = self._world.server_clock.now()
        rows = [row for row in self._rows if row.taken and row.available_at > now]
        held = [self.handed[row.receipt] for row in rows]
        return [h.message.id for h in held if h.cluster == cluster and h.message is not None]

    def snapshot(self) -> Snapshot:
        """What a transaction that fails goes back to."""
        rows = [(row, VALUES(row)) for row in self._rows]
        return Snapshot(dict(vars(self.memory)), rows, set(self.void), set(self.unbegun))

    def restore(self, snapshot: Snapshot) -> None:
        """Undo a transaction."""
        vars(self.memory).update(snapshot.memory, _rows=[row for row, _ in snapshot.rows])
        for row, values in snapshot.rows:
            for name, value in zip(NAMES, values, strict=True):
                setattr(row, name, value)
        self.void, self.unbegun = snapshot.void, snapshot.unbegun

    @property
    def _rows(self) -> list[Row]:
        rows: list[Row] = vars(self.memory)["_rows"]
        return rows

    def _counted(self, inner: str) -> int:
        """Which attempt this delivery is: all of its row, without those that were not begun."""
        row, _, deliveries = inner.partition(":")
        spared = [one for one in self.unbegun if one.partition(":")[0] == row]
        return int(deliveries) - len(spared)


class SimBroker(Broker):
    """One process' connection to the queue."""

    def __init__(self, world: World, process: SimProcess) -> None:
        super().__init__("simulated")
        self.receipts = world.scene.receipts  # type: ignore[misc]  # a broker of either promise
        self.database = "simulated" if world.scene.one_unit else None
        self._world = world
        self.bulk_limit = world.scene.bulk_limit  # type: ignore[misc]  # as above
        self._server = world.queue
        self._process = process
        self._way = Way(world, process, "broker")

    def enqueue(self, task: str) -> str | None:
        self._before("enqueues", self._server.read(task))
        message = self._server.read(task)
        if message is not None and message.schedule is not None:
            self._world.scheduling.sent(self._process, message)
        self._world.checker.composed.sent(self._process, message)
        answer = self._server.memory.enqueue(task)
        if message is not None:
            self._server.sent.append(message)
        self._way.after()
        return answer

    def dequeue(self, limit: int = 1) -> Sequence[tuple[str | None, str | bytes]]:
        self._way.before()
        if self.bulk_limit is not None and limit > self.bulk_limit:
            raise Violation(f"I12: {limit} packages are fetched of a broker of {self.bulk_limit}")
        received = self._server.take(limit, self._process.cluster)
        if received:
            self._world.note(self._process, "fetches", received)
        self._way.after()
        return received

    def acknowledge(self, id: str) -> None:
        self._before("acknowledges", id)
        self._world.checker.acknowledged(self._server.handed[id])
        self._server.memory.acknowledge(self._server.inner(id))
        self._way.after()

    def extend(self, id: str) -> str:
        self._before("extends", id)
        answer = self._server.extend(id)
        self._way.after()
        return answer

    def release(self, id: str, *, begun: bool = True) -> None:
        self._before("releases" if begun else "releases unbegun", id)
        self._world.checker.released(self._server.handed[id], begun=begun)
        self._server.release(id, begun=begun)
        self._way.after()

    def fail(self, id: str) -> None:
        self._before("fails", id)
        self._world.checker.failed(self._server.handed[id].message)
        self._server.memory.fail(self._server.inner(id))
        self._way.after()

    def _before(self, verb: str, detail: object) -> None:
        self._way.before()
        self._world.note(self._process, verb, detail)


class SimStore:
    """One process' connection to the result store."""

    def __init__(self, world: World, process: SimProcess) -> None:
        self.alias = "simulated" if world.scene.one_unit else None
        self._world = world
        self._store: MemoryStore = world.store
        self._process = process
        self._way = Way(world, process, "store")

    def save(self, batch: Sequence[Finished]) -> Sequence[Gathered]:
        """Keep the outcomes, all or none."""
        self._way.before()
        before = Kept.by(self._store)
        gathered = self._store.save(batch)
        self._world.note(self._process, "saves", batch)
        self._world.checker.saved(self._process, batch, gathered, before)
        self._way.after()
        return gathered

    def kept(self, tasks: Iterable[TaskMessage]) -> dict[str, Finished]:
        """What is kept of these tasks."""
        self._way.before()
        kept = self._store.kept(tasks)
        self._way.looked()
        return kept

    def sent(self, links: Iterable[TaskMessage]) -> dict[str, int]:
        """How many links of the chains of these have been sent."""
        self._way.before()
        sent = self._store.sent(links)
        self._way.looked()
        return sent

    def mark_sent(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent."""
        self._way.before()
        self._store.mark_sent(links)
        self._way.after()

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction over store and queue: whatever goes wrong in it, it was not."""
        queue = self._world.queue.snapshot()
        store = {name: dict(vars(self._store)[name]) for name in ("_tasks", "_elements", "_sent")}
        before = Kept.by(self._store)
        self._world.queue.sent.clear()
        try:
            with self._world.scheduling.unit():
                yield
                self._way.before()
        except BaseException:
            self._world.queue.restore(queue)
            vars(self._store).update(store)
            self._world.note(self._process, "rolls back", None)
            raise
        self._world.checker.composed.committed(before, self._world.queue.sent)
        self._way.after()

    def present(self, finished: Finished) -> Any:
        """The task object that a hook is called with."""
        return self._store.present(finished)
