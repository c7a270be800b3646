"""Deliberately broken servers: brokers and stores in memory that break a promise."""

from __future__ import annotations

from collections.abc import Sequence

from djq.core.gathering import Gathered
from djq.core.message import Finished
from djq.core.received import Received
from djq_testing.memory import MemoryBroker, MemoryStore


class ForgetsTheCount(MemoryBroker):
    """A broker counts the deliveries whose task was begun."""

    def release(self, id: str, *, begun: bool = True) -> None:
        super().release(id, begun=False)


class CountsWhatWasNotBegun(MemoryBroker):
    """A broker does not count what was given back before it began."""

    def release(self, id: str, *, begun: bool = True) -> None:
        super().release(id)


class LosesWhatIsTaken(MemoryBroker):
    """A broker with receipts keeps a package until it is acknowledged."""

    def dequeue(self, limit: int = 1) -> list[Received]:
        received = super().dequeue(limit)
        for receipt, _ in received:
            if receipt is not None:
                self.acknowledge(receipt)
        return received


class KeepsTheLatest(MemoryStore):
    """The first success of a task is final."""

    def save(self, batch: Sequence[Finished]) -> list[Gathered]:
        for finished in batch:
            self._tasks.pop(finished.message.id, None)
        return super().save(batch)


class LosesFailures(MemoryStore):
    """Failures are always kept."""

    def _is_kept(self, finished: Finished) -> bool:
        return finished.outcome.success
