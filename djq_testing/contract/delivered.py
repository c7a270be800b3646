"""What the contracts of brokers share: the hole in them, what a broker cannot do, what it delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from djq.ports import Broker
from djq_testing.clock import ManualClock
from djq_testing.histories import dequeue
from djq_testing.memory import ReceiptIsVoid

MakeBroker = Callable[[str], Broker]
PassTime = Callable[[float], None]
Delivered = Sequence[tuple[str | None, str | bytes]]


def packages(taken: Delivered) -> list[str]:
    """What was delivered, as text."""
    return [package if isinstance(package, str) else package.decode() for _, package in taken]


def receipts(taken: Delivered) -> list[str]:
    """The receipts of what was delivered."""
    return [receipt for receipt, _ in taken if receipt is not None]


def attempts(taken: Delivered) -> list[int | None]:
    """How often each was delivered, this time included; a plain pair does not say."""
    return [getattr(received, "attempt", None) for received in taken]


def take(broker: Broker, count: int) -> list[tuple[str | None, str | bytes]]:
    """Up to so many packages, in as many calls as the broker's `bulk_limit` asks for."""
    taken: list[tuple[str | None, str | bytes]] = []
    while len(taken) < count and (batch := dequeue(broker, count - len(taken))):
        taken += batch
    return taken


def take_receipt(broker: Broker) -> str:
    """The receipt of the one package that waits."""
    taken = list(dequeue(broker))
    if len(taken) != 1 or not isinstance(taken[0][0], str):
        pytest.fail(f"dequeue() has to give one package with a receipt, as text; it gave {taken!r}")
    return str(taken[0][0])


class BrokerFixtures:
    """The hole, `make_broker`, and the flags that say what a broker cannot do: they skip tests."""

    retry_seconds: ClassVar[float] = 60.0
    """The lease that `make_broker` has to give."""

    ordered: bool = True
    """The oldest package is delivered first. False: any is."""

    by_age: bool = False
    """What was sent first is delivered first, even if it was held back. False: what was due first."""

    held_apart: bool = True
    """What is held back neither waits nor is out. False: it is counted as one or the other."""

    counts: bool = True
    """It says how often a package was delivered. False: its `attempt` is None."""

    uncounts: bool = True
    """False: a delivery that this broker has counted stays counted, whatever `release` is told."""

    receipt_is_void: ReceiptIsVoid = "when delivered again"
    """When the receipt of a lost lease loses its force. "never": a receipt names the package; "when given
    back" as well, but it is void once this delivery was released."""

    without: ClassVar[Sequence[str]] = ()
    """Verbs that the broker leaves as `Broker` has them, on purpose: `("extend", "queue_size")`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time that the broker keeps."""
        return ManualClock()

    @pytest.fixture
    def make_broker(self, clock: ManualClock) -> MakeBroker:
        """A function that makes a broker for a queue's name; brokers of one name share a queue."""
        raise NotImplementedError(
            f"{type(self).__name__} must override the fixture make_broker(self, clock)"
        )

    @pytest.fixture
    def pass_time(self, clock: ManualClock) -> PassTime:
        """A function that lets seconds pass for the broker."""
        return clock.advance

    @pytest.fixture
    def broker(self, make_broker: MakeBroker) -> Broker:
        """A broker with an empty queue."""
        return make_broker("contract")

    def need(self, broker: Broker, *verbs: str) -> None:
        """Skip the test if the broker is without one of these verbs; it has to say so."""
        for verb in verbs:
            if verb in self.without:
                pytest.skip(f"without {verb}")
            if getattr(type(broker), verb, None) is getattr(Broker, verb):
                pytest.fail(
                    f"{type(broker).__name__} does not define {verb}(), and what Broker does is not "
                    f"enough here; define it, or say in the test class `without = ({verb!r},)`"
                )

    def need_delays(self, broker: Broker) -> None:
        """Skip the test if the broker cannot hold packages back."""
        if not broker.delays:
            pytest.skip("delays is False")

    def in_order(self, found: list[str]) -> list[str]:
        """What came, for comparison: of a broker without order as if it had come in order."""
        return found if self.ordered else sorted(found)
