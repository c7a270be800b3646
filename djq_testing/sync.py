"""`djq_sync`: every task of a test runs where it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from djq import assembly, inline
from djq.core.config import Config
from djq.core.received import Waiting
from djq.ports import Broker
from djq_testing.running import TasksInHand


class SyncBroker(Broker):
    """Runs what is enqueued, at once: for those who send by a broker of their own."""

    def __init__(self, list_key: str, tasks: SyncTasks) -> None:
        super().__init__(list_key)
        self._tasks = tasks

    def enqueue(self, task: str) -> None:
        self._tasks.run([assembly.make_codec(queue=self.list_key).open(task)])

    def dequeue(self, limit: int = 1) -> list[tuple[str | None, str | bytes]]:  # noqa: ARG002
        return []

    def peek(self) -> list[Waiting]:
        return []  # nothing ever waits

    def info(self) -> str:
        return "Runs tasks at once, for a test"


class SyncTasks(TasksInHand):
    """Runs each task inline, in the test's own transaction, as the setting `sync` does.

    Use it as a context, or ask for the fixture `djq_sync`, or inherit from `SyncMixin`.
    """

    def __init__(self, *, raises: bool = False, store: str = "database") -> None:
        """Make it; nothing changes before it is entered.

        Args:
            raises: Whether `async_task` raises what the task raised, after its failure was stored
                and its hook was called. It may be changed at any time.
            store: Where outcomes go: "database", or "memory" in a test that uses no database.
        """
        super().__init__(raises=raises, store=store)

    def __enter__(self) -> Self:
        return self._open(broker=self._broker, sync=True, run=self.run)

    def run(self, frames: Iterable[bytes]) -> None:
        """Run tasks to their stored outcomes, with what follows from them.

        Raises:
            Exception: What the first of them raised that failed, if `raises`; those after it are
                not run.
        """
        inline.run(frames, scope=self._catcher.scope, after=self._raise)

    def _raise(self) -> None:
        error = self._catcher.take()
        if error is not None and self.raises:
            raise error

    def _broker(self, _config: Config, list_key: str) -> Broker:
        return SyncBroker(list_key, self)
