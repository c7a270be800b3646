"""What waits for a commit that never comes: callbacks of `transaction.on_commit` in a test.

Django's `TestCase`, and pytest-django's `db`, put a transaction round each test and roll it back. In
production the same code would have run outside that transaction, so whatever waits for nothing but
the test's own would have run at once; and what was registered inside an `atomic()` of the code under
test would have run at that block's end, or not at all if it was rolled back, as Django sees to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.asyncio import async_unsafe

IN_A_COROUTINE = (
    "A coroutine does not see what waits for a commit. In an `async def` test call the verbs of djq_queue "
    "and djq_sync by sync_to_async: await sync_to_async(djq_queue.assert_enqueued)(confirm)"
)

logger = logging.getLogger("django.db.backends.base")


def run_commits() -> int:
    """Run the callbacks that only the test's own transaction keeps back; gives how many there were.

    All of them, in the order in which they were registered, those of the code under test too: which
    are on every database, and whatever they register in turn. One that raises does so here, as it
    does at a commit.
    """
    return _run({})


@async_unsafe(IN_A_COROUTINE)
def run_commits_of_a_test() -> int:
    """As `run_commits`, for a test that uses the database: its connections are its thread's.

    Raises:
        SynchronousOnlyOperation: In a coroutine, where nothing would be found and nothing said.
    """
    return _run({})


class Once:
    """A callback that runs once, whoever runs it."""

    def __init__(self, func: Callable[[], object]) -> None:
        self._func = func
        self.is_done = False
        self.__qualname__ = getattr(func, "__qualname__", repr(func))  # for Django's log

    def __call__(self) -> None:
        if not self.is_done:
            self.is_done = True
            self._func()


@contextmanager
def callbacks_run_once() -> Iterator[None]:
    """Let what is registered with a connection of this thread run once.

    Django's `captureOnCommitCallbacks(execute=True)` runs it and leaves it where it is.
    """
    changed = [each for each in connections.all() if "on_commit" not in vars(each)]
    for connection in changed:
        vars(connection)["on_commit"] = _registering(connection.on_commit)
    try:
        yield
    finally:
        for connection in changed:
            del vars(connection)["on_commit"]


def _registering(register: Callable[..., None]) -> Callable[..., None]:
    def on_commit(func: Callable[[], object], robust: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's own
        # Django refuses what cannot be called, and is to do so.
        register(Once(func) if callable(func) else func, robust)  # type: ignore[redundant-expr]

    return on_commit


@contextmanager
def commits_at_its_end() -> Iterator[None]:
    """Surround a task: what it leaves to a commit is run when it ends, as where it has no test round it.

    What waited before it waits on: it is the test's, or of whoever called the task.
    """
    older = {each.alias: len(each.run_on_commit) for each in _open_connections()}
    try:
        yield
    finally:
        _run(older)


def _run(older: Mapping[str, int]) -> int:
    """Run the callbacks that are ready; not the first ones of a database, as many as `older` says."""
    count = 0
    while True:
        ready = [
            one
            for each in _open_connections()
            for one in _take_ready(each, older.get(each.alias, 0))
        ]
        if not ready:
            return count
        count += len(ready)
        for callback, robust in ready:
            _call(callback, robust=robust)


def _open_connections() -> list[BaseDatabaseWrapper]:
    return [
        connection
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block
    ]


def _take_ready(
    connection: BaseDatabaseWrapper, older: int
) -> list[tuple[Callable[[], object], bool]]:
    own = [block for block in connection.atomic_blocks if block._from_testcase]  # type: ignore[attr-defined]  # noqa: SLF001
    if not own:
        return []
    # The outermost block is the transaction itself, each further one a savepoint.
    inner = set(connection.savepoint_ids[len(own) - 1 :])
    waiting: list[Any] = connection.run_on_commit  # sets of savepoints, callbacks, whether robust
    newer = waiting[older:]
    ready = [entry for entry in newer if not entry[0] & inner]
    connection.run_on_commit = waiting[:older] + [entry for entry in newer if entry[0] & inner]
    return [
        (entry[1], bool(entry[2]))
        for entry in ready
        if not (isinstance(entry[1], Once) and entry[1].is_done)
    ]


def _call(callback: Callable[[], object], *, robust: bool) -> None:
    if not robust:
        callback()
        return
    try:
        callback()
    except Exception:
        # Django logs it and goes on.
        logger.exception("Error calling %r in on_commit()", callback)
