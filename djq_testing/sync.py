"""`djq_sync`: every task of a test runs where it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Self

from djq import assembly, inline
from djq.core.config import Config
from djq.ports import Broker
from djq.wiring import wired
from djq_testing.commits import callbacks_run_once, run_commits, run_commits_of_a_test
from djq_testing.held import checked
from djq_testing.local.results import parts_in_memory
from djq_testing.running import Catcher


class SyncBroker(Broker):
    """Runs what is enqueued, at once: for those who send by a broker of their own."""

    def __init__(self, list_key: str, tasks: SyncTasks) -> None:
        super().__init__(list_key)
        self._tasks = tasks

    def enqueue(self, task: str) -> None:
        self._tasks.run([assembly.make_codec(queue=self.list_key).open(task)])

    def dequeue(self, limit: int = 1) -> list[tuple[str | None, str | bytes]]:  # noqa: ARG002
        return []

    def info(self) -> str:
        return "Runs tasks at once, for a test"


class SyncTasks:
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
        self.raises = raises
        self._store = checked(store)
        self._catcher = Catcher()
        self._context = ExitStack()

    def __enter__(self) -> Self:
        changes: dict[str, Any] = {"broker": self._broker, "sync": True, "run": self.run}
        if self._store == "memory":
            changes |= parts_in_memory()
        self._context.enter_context(wired(**changes))
        self._context.enter_context(callbacks_run_once())
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def run(self, frames: Iterable[bytes]) -> None:
        """Run tasks to their stored outcomes, with what follows from them.

        Raises:
            Exception: What the first of them raised that failed, if `raises`; those after it are
                not run.
        """
        inline.run(frames, scope=self._catcher.scope, after=self._raise)

    def commit(self) -> int:
        """Run what waits for a commit of the test's own transaction; gives how many callbacks."""
        return run_commits_of_a_test() if self._store == "database" else run_commits()

    def _raise(self) -> None:
        error = self._catcher.take()
        if error is not None and self.raises:
            raise error

    def _broker(self, _config: Config, list_key: str) -> Broker:
        return SyncBroker(list_key, self)
