"""Runs a task of a test with the real worker and monitor, and keeps hold of the true exception."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any, Self

import attrs

from djq.core.call import func_path, load_call, load_value, resolve
from djq.core.message import Kind, Outcome, TaskMessage
from djq.exceptions import TaskRefused
from djq.inline import savepoints
from djq.wiring import wired
from djq_testing.commits import (
    callbacks_run_once,
    commits_at_its_end,
    run_commits,
    run_commits_of_a_test,
)
from djq_testing.local.results import parts_in_memory


@attrs.frozen
class Enqueued:
    """A task that waits."""

    func: str
    """Dotted path of the function."""
    args: tuple[Any, ...]
    """Its positional arguments, as the worker will have them: pickled and unpickled."""
    kwargs: dict[str, Any]
    """Its keyword arguments."""
    queue: str
    """Name of the queue."""
    message: TaskMessage = attrs.field(repr=False)
    """Everything that was said of it."""

    @property
    def id(self) -> str:
        """32 hex digits."""
        return self.message.id

    @property
    def name(self) -> str:
        """The task's name."""
        return self.message.name

    @property
    def group(self) -> str | None:
        """Label of its group. None: it has none."""
        return self.message.group

    @property
    def hook(self) -> str | None:
        """Dotted path of its hook. None: it has none."""
        return self.message.hook

    @property
    def is_hook(self) -> bool:
        """Whether it is the call of a hook, with the finished task as its argument."""
        return self.message.kind is Kind.HOOK

    @property
    def enqueued_at(self) -> datetime:
        """When it was asked for."""
        return self.message.enqueued_at

    def __str__(self) -> str:
        parts = [*map(repr, self.args), *(f"{k}={v!r}" for k, v in self.kwargs.items())]
        options = {"group": self.group, "hook": self.hook}
        told = [f"{key}={value!r}" for key, value in options.items() if value is not None]
        where = " ".join(["", *told]) if told else ""
        return f"{self.func}({', '.join(parts):.300}){where}"


@attrs.frozen
class Ran:
    """A task that was run, and what came of it."""

    task: Enqueued
    success: bool
    result: Any
    """What the function returned; of a failure the line `ExceptionClass: message`."""
    traceback: str = attrs.field(repr=False)
    """Empty for a success."""
    error: BaseException | None = attrs.field(repr=False)
    """The exception itself. None: a success, or the failure was no exception of the function."""


def enqueued(message: TaskMessage, queue: str) -> Enqueued:
    """Read a task, its call included."""
    if message.kind is Kind.HOOK:
        return Enqueued(message.func, (load_value(message.body),), {}, queue, message)
    _, args, kwargs = load_call(message.body)
    return Enqueued(message.func, args, kwargs, queue, message)


def ran(task: Enqueued, outcome: Outcome, error: BaseException | None) -> Ran:
    """Put together what came of a task."""
    return Ran(task, outcome.success, load_value(outcome.value), outcome.traceback, error)


class Catcher:
    """Surrounds each task as sync mode does, and remembers what it raised."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        """What the first task raised that failed. None: none has."""

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Surround one task."""
        try:
            with commits_at_its_end(), savepoints():
                yield
        except BaseException as error:
            self.error = self.error or error
            raise

    def take(self) -> BaseException | None:
        """Give the exception, and forget it."""
        error, self.error = self.error, None
        return error


class TasksInHand:
    """What `djq_queue` and `djq_sync` have in common: while it is open, the test's tasks come to it."""

    def __init__(self, *, raises: bool, store: str) -> None:
        if store not in {"database", "memory"}:
            raise ValueError(f"store is {store!r}; it must be 'database' or 'memory'")
        self.raises = raises
        self._store = store
        self._catcher = Catcher()
        self._context = ExitStack()

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def commit(self) -> int:
        """Run what waits for a commit of the test's own transaction; gives how many callbacks."""
        return run_commits_of_a_test() if self._store == "database" else run_commits()

    def _open(self, **changes: Any) -> Self:
        """Stand in for what the settings choose."""
        if self._store == "memory":
            changes |= parts_in_memory()
        self._context.enter_context(wired(**changes))
        self._context.enter_context(callbacks_run_once())
        return self


def same_function(wanted: object, path: str) -> bool:
    """Whether a function, or its dotted path, is the one that a task calls: by another name too.

    Raises:
        TaskRefused: `wanted` is neither a callable nor a dotted path.
    """
    own = func_path(wanted)
    return path == own or _real_path(path) == _real_path(own)


def _real_path(path: str) -> str:
    """Where a function was defined that can be imported from several places."""
    try:
        return func_path(resolve(path))
    except (ImportError, AttributeError, TypeError, TaskRefused):
        return path
