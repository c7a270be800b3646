"""A broker in memory: the specification of the real ones, in the plainest code there is.

Where a real one and its twin here differ, one of them is wrong; the contract suite and the agreement
test hold them together. It follows the clock that it is given and lives in one process. Its switches
say what one kind of broker can and another cannot; `KINDS` has them for the documented brokers.

The store in memory is in `djq_testing.results`, and can be imported from here.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Literal, Self

import attrs

from djq.core.received import Received, Waiting
from djq.exceptions import TaskRefused
from djq.ports import Broker, Clock
from djq_testing.results import MemoryStore, MemoryTask

__all__ = ["KINDS", "MemoryBroker", "MemoryStore", "MemoryTask", "Row"]

IN_FRONT = datetime(1970, 1, 1, tzinfo=UTC)

ReceiptIsVoid = Literal["when the lease ends", "when delivered again", "when given back", "never"]

KINDS: Mapping[str, Mapping[str, Any]] = {
    "redis": {"receipts": False, "held_first": True},
    "redis-receipts": {},
    "disque": {
        "receipt_is_void": "when given back",
        "uncounts": False,
        "by_age": True,
        "counts_lapses": True,
        "whole_seconds": True,
    },
    "ironmq": {
        "bulk_limit": 100,
        "max_payload": 262_000,
        "new_receipts": True,
        "receipt_is_void": "when the lease ends",
        "late_in_front": True,
        "deletes_held": False,
        "whole_seconds": True,
        "uncounts": False,
    },
    "sqs": {
        "bulk_limit": 10,
        "max_payload": 262_144,
        "shuffle": 0,
        "whole_seconds": True,
        "uncounts": False,
    },
    "mongo": {"max_payload": 16_000_000},
    "orm": {"bulk_limit": 300},
}
"""The documented brokers by their names, and the switches that each of them is described by."""


@attrs.define
class Row:
    """A package in the queue."""

    id: int
    package: str
    available_at: datetime
    held_back: bool = False
    """It was sent to be delivered later."""
    taken: bool = False
    attempts: int = 0
    """How often it was taken; names its deliveries, so it never goes back."""
    unbegun: int = 0
    """How many of these were given back before the task began."""
    receipt: str = ""
    """Names the last delivery."""
    given_back: set[str] = attrs.field(factory=set)
    """Receipts of the deliveries that were given back."""

    @property
    def attempt(self) -> int:
        """Which delivery this is, those left out that were given back unbegun."""
        return self.attempts - self.unbegun


class MemoryBroker(Broker):
    """A queue in memory; with receipts at least once, without them at most once."""

    def __init__(
        self,
        list_key: str = "default",
        *,
        clock: Clock,
        retry_seconds: float = 60.0,
        receipts: bool = True,
        new_receipts: bool = False,
        receipt_is_void: ReceiptIsVoid = "when delivered again",
        late_in_front: bool = False,
        deletes_held: bool = True,
        counts: bool = True,
        uncounts: bool = True,
        counts_lapses: bool = False,
        by_age: bool = False,
        delays: bool = True,
        whole_seconds: bool = False,
        held_first: bool = False,
        bulk_limit: int | None = None,
        max_payload: int | None = None,
        shuffle: int | None = None,
        duplicates: int | None = None,
    ) -> None:
        """Make an empty queue.

        Args:
            list_key: The queue's name.
            clock: The time that leases keep.
            retry_seconds: How long a lease lasts.
            receipts: A package stays until it is acknowledged. False: it is gone when it is delivered.
            new_receipts: A lease that is extended has a new receipt, and the old one is void.
            receipt_is_void: When the receipt of a lost lease loses its force. "never": it names the
                package, so that a late word is taken for that of whoever has the package by then.
                "when given back": as that, but for a delivery that was itself released.
            late_in_front: A package whose lease has ended comes before all that were never out. False: it
                stands where a package would that was sent at that moment.
            deletes_held: `delete` takes a package that is out, too. False: not before its lease has ended.
            counts: It says how often a package was delivered. False: nobody knows.
            uncounts: A delivery that is released unbegun is not counted. False: it was one all the same.
            counts_lapses: A lease that is extended after its end is counted as another delivery, though
                nobody had the package in between.
            by_age: What was sent first is delivered first, even if it was held back or came back.
            delays: It can hold packages back until later.
            whole_seconds: It holds packages back for whole seconds, rounded up.
            held_first: What was held back goes first when it is due. False: in the order of the moments.
            bulk_limit: Most packages in one `dequeue`.
            max_payload: Most characters of a package; a larger one is refused.
            shuffle: A seed: packages are delivered in any order. None: oldest first.
            duplicates: A seed: one delivery in four leaves a copy in the queue. None: none does.
        """
        super().__init__(list_key)
        # One twin for all brokers: what is a class's own there, is an object's own here.
        self.receipts = receipts  # type: ignore[misc]
        self.delays = delays  # type: ignore[misc]
        if bulk_limit is not None:
            self.bulk_limit = bulk_limit  # type: ignore[misc]
        if max_payload is not None:
            self.max_payload = max_payload  # type: ignore[misc]
        self.new_receipts = new_receipts
        self.receipt_is_void = receipt_is_void
        self.late_in_front = late_in_front
        self.deletes_held = deletes_held
        self.counts = counts
        self.uncounts = uncounts
        self.counts_lapses = counts_lapses
        self.by_age = by_age
        self.whole_seconds = whole_seconds
        self.held_first = held_first
        self._clock = clock
        self._lease = timedelta(seconds=retry_seconds)
        self._order = None if shuffle is None else random.Random(shuffle)
        self._copies = None if duplicates is None else random.Random(duplicates)
        self._rows: list[Row] = []
        self._last_id = 0

    @classmethod
    def like(cls, kind: str, list_key: str = "default", **switches: Any) -> Self:
        """Make one that behaves like a documented broker, a key of `KINDS`.

        `switches` are the constructor's own (`clock` and `retry_seconds` too); they go before the kind's.
        """
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of broker; there are {', '.join(KINDS)}")
        return cls(list_key, **{**KINDS[kind], **switches})

    @property
    def ordered(self) -> bool:
        """It delivers the oldest package first."""
        return self._order is None

    def enqueue(self, task: str) -> str | None:
        self._refuse_too_large([task])
        return self._send(task, self._clock.now())

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        self._refuse_too_large(tasks)
        return super().enqueue_many(tasks)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        if not self.delays:
            return super().enqueue_later(tasks, seconds)
        self._refuse_too_large(tasks)
        held = ceil(seconds) if self.whole_seconds else seconds
        due = self._clock.now() + timedelta(seconds=held)
        return [self._send(task, due, held_back=True) for task in tasks]

    def dequeue(self, limit: int = 1) -> list[Received]:
        now = self._clock.now()
        due = self._due(now)
        if self._order is not None:
            self._order.shuffle(due)
        taken = due[: limit if self.bulk_limit is None else min(limit, self.bulk_limit)]
        for row in taken:
            row.taken = True
            row.attempts += 1
            row.available_at = now + self._lease
            row.receipt = f"{row.id}:{row.attempts}"
            if self.receipt_is_void == "never":
                row.receipt = f"{row.id}:"
        if not self.receipts:
            self._rows = [row for row in self._rows if row not in taken]
        for row in taken:
            if self._copies is not None and self._copies.random() < 0.25:
                self.enqueue(row.package)
        return [self._received(row) for row in taken]

    def acknowledge(self, id: str) -> None:
        for row in self._held(id):
            self._rows.remove(row)

    def extend(self, id: str) -> str:
        now = self._clock.now()
        for row in self._held(id):
            if self.counts_lapses and row.available_at <= now:
                row.attempts += 1
            row.taken = True
            row.available_at = now + self._lease
            if self.new_receipts:
                row.receipt += "+"
                return row.receipt
        return id

    def release(self, id: str, *, begun: bool = True) -> None:
        for row in self._held(id):
            row.taken = False
            row.given_back.add(id)
            if self.uncounts and not begun:
                row.unbegun += 1
            row.available_at = IN_FRONT

    def fail(self, id: str) -> None:
        self.acknowledge(id)

    def delete(self, id: str) -> None:
        now = self._clock.now()
        self._rows = [
            row
            for row in self._rows
            if str(row.id) != id or (not self.deletes_held and row.taken and row.available_at > now)
        ]
        self.acknowledge(id)

    def purge_queue(self) -> None:
        self._rows = []

    def delete_queue(self) -> None:
        self.purge_queue()

    def queue_size(self) -> int:
        now = self._clock.now()
        return len([row for row in self._rows if row.available_at <= now])

    def lock_size(self) -> int | None:
        now = self._clock.now()
        return len([row for row in self._rows if row.taken and row.available_at > now])

    def peek(self) -> Sequence[Waiting] | None:
        if self._order is not None:
            return None
        now = self._clock.now()
        lines: dict[bool, Row] = {}
        for row in self._due(now):
            lines.setdefault(self.held_first and row.held_back, row)
        return [Waiting(row.package, _seconds_since(row, now)) for row in lines.values()]

    def next_available(self) -> datetime | None:
        """When the next package comes; in the past: it is here. None: there is none."""
        return min((row.available_at for row in self._rows), default=None)

    def info(self) -> str:
        return "Memory"

    def _send(self, task: str, due: datetime, *, held_back: bool = False) -> str:
        self._last_id += 1
        self._rows.append(Row(self._last_id, task, due, held_back))
        return str(self._last_id)

    def _due(self, now: datetime) -> list[Row]:
        """What can be delivered, in order."""
        return sorted([row for row in self._rows if row.available_at <= now], key=self._place)

    def _place(self, row: Row) -> tuple[bool, datetime, int]:
        """Where a package stands that can be delivered."""
        in_front = self.by_age or (row.taken and self.late_in_front)
        moment = IN_FRONT if in_front else row.available_at
        return not (self.held_first and row.held_back), moment, row.id

    def _refuse_too_large(self, tasks: Sequence[str]) -> None:
        for task in tasks:
            if self.max_payload is not None and len(task) > self.max_payload:
                raise TaskRefused(
                    f"the task has {len(task):,} characters; at most {self.max_payload:,} can be sent"
                )

    def _received(self, row: Row) -> Received:
        receipt = row.receipt if self.receipts else None
        return Received(receipt, row.package, row.attempt if self.counts else None)

    def _held(self, receipt: str) -> list[Row]:
        """The package that this receipt still stands for, if there is one."""
        if self.receipt_is_void == "when given back":
            named = [row for row in self._rows if receipt.startswith(f"{row.id}:")]
            return [row for row in named if receipt not in row.given_back]
        found = [row for row in self._rows if row.taken and row.receipt == receipt]
        if self.receipt_is_void == "when the lease ends":
            now = self._clock.now()
            return [row for row in found if row.available_at > now]
        return found


def _seconds_since(row: Row, now: datetime) -> float | None:
    """How long a package has waited. None: it was given back, nobody knows when."""
    return None if row.available_at == IN_FRONT else (now - row.available_at).total_seconds()
