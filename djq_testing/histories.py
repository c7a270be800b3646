"""What is asked of a broker, in which order, as values: they can be kept, printed, and played on any broker.

Packages and deliveries are numbered, from 0, the newest, back to the first. So a history knows no receipts:
it can be played on two brokers, and what they answer can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from djq.components.pusher import takes_limit
from djq.ports import Broker
from djq_testing.clock import ManualClock


@attrs.frozen
class Enqueue:
    """Send so many packages more: `package 0`, `package 1` and so on."""

    count: int = 1


@attrs.frozen
class EnqueueLater:
    """Send so many packages more, to be delivered after so many seconds; to a broker that can do that."""

    count: int
    seconds: float


@attrs.frozen
class Dequeue:
    """Take up to so many packages."""

    limit: int = 1


@attrs.frozen
class Acknowledge:
    """These deliveries have been processed."""

    deliveries: tuple[int, ...]


@attrs.frozen
class Extend:
    """Lease these for longer."""

    deliveries: tuple[int, ...]


@attrs.frozen
class Release:
    """Give these back."""

    deliveries: tuple[int, ...]
    begun: bool = True


@attrs.frozen
class Fail:
    """This one cannot be opened."""

    delivery: int


@attrs.frozen
class Delete:
    """Delete the package with this number by its tracking id."""

    package: int


@attrs.frozen
class Purge:
    """Empty the queue."""


@attrs.frozen
class Wait:
    """Let time pass."""

    seconds: float


Asked = Enqueue | EnqueueLater | Dequeue | Acknowledge | Extend | Release | Fail | Delete | Purge
Step = Asked | Wait
History = Sequence[Step]
Answer = tuple[object, ...]
"""What a step gave, then the sizes: how many packages wait, and how many are out; and what `peek` shows."""


def dequeue(broker: Broker, limit: int = 1) -> Sequence[tuple[str | None, str | bytes]]:
    """Take up to so many packages; one whose `dequeue` has no limit gives as many as it does."""
    return broker.dequeue(limit) if takes_limit(broker) else broker.dequeue()


class Player:
    """Plays steps on one broker.

    A number goes round where there are not so many, so that any numbers make a history; while there
    is none at all, nothing is asked.
    """

    def __init__(self, broker: Broker, clock: ManualClock) -> None:
        self._broker = broker
        self._clock = clock
        self._tracking: list[str | None] = []
        self._receipts: list[str | None] = []
        """The receipt that each delivery has now."""

    @property
    def delays(self) -> bool:
        """Whether the broker can hold packages back."""
        return self._broker.delays

    def play(self, step: Step) -> Answer:
        """Do it; say what came of it."""
        came = None
        if isinstance(step, Wait):
            self._clock.advance(step.seconds)
        else:
            came = self._ask(step)
        broker = self._broker
        return came, broker.queue_size(), broker.lock_size(), broker.peek()

    def _ask(self, step: Asked) -> object:
        broker = self._broker
        match step:
            case Enqueue() | EnqueueLater():
                return self._enqueue(step)
            case Dequeue(limit):
                return self._dequeue(limit)
            case Acknowledge(deliveries):
                broker.acknowledge_many(self._held(deliveries))
            case Extend(deliveries):
                self._extend(self._held(deliveries))
            case Release(deliveries, begun):
                broker.release_many(self._held(deliveries), begun=begun)
            case Fail(delivery):
                for receipt in self._held([delivery]):
                    broker.fail(receipt)
            case Delete(package):
                self._delete(package)
            case Purge():
                broker.purge_queue()
        return None

    def _enqueue(self, step: Enqueue | EnqueueLater) -> int:
        broker, known = self._broker, len(self._tracking)
        packages = [f"package {known + number}" for number in range(step.count)]
        if isinstance(step, EnqueueLater):
            self._tracking += broker.enqueue_later(packages, step.seconds) if self.delays else ()
        elif step.count == 1:
            self._tracking.append(broker.enqueue(packages[0]))
        else:
            self._tracking += broker.enqueue_many(packages)
        return len(self._tracking)

    def _dequeue(self, limit: int) -> list[tuple[str, int | None]]:
        taken = dequeue(self._broker, limit)
        self._receipts += [receipt for receipt, _ in taken]
        return [
            (
                package if isinstance(package, str) else package.decode(),
                getattr(one, "attempt", None),
            )
            for one, (_, package) in zip(taken, taken, strict=True)
        ]

    def _extend(self, held: list[str]) -> None:
        changed = self._broker.extend_many(held)
        self._receipts = [changed.get(str(receipt), receipt) for receipt in self._receipts]

    def _delete(self, package: int) -> None:
        for tracking in _numbered(self._tracking, [package]):
            self._broker.delete(tracking)

    def _held(self, deliveries: Iterable[int]) -> list[str]:
        return _numbered(self._receipts, deliveries)


def _numbered(names: Sequence[str | None], numbers: Iterable[int]) -> list[str]:
    """Those with these numbers, as far as they have names."""
    found = [names[-1 - number % len(names)] for number in numbers] if names else []
    return [name for name in found if name is not None]


def play(history: History, broker: Broker, clock: ManualClock) -> list[Answer]:
    """Play a history on a broker with an empty queue, which keeps this clock; one answer a step."""
    player = Player(broker, clock)
    return [player.play(step) for step in history]
