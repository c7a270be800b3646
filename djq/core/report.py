"""What error reporters are told: an error, and the facts of its task; never the task's arguments.

A failure that a worker caught is an exception, and is reported with its own traceback. Of a task that
overran its time, or whose worker died, there is only the failure's line: it makes an error of the
class that the line names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from djq.core.events import FACTS, about
from djq.core.message import TaskMessage
from djq.exceptions import TaskLost, TaskTimedOut, TooManyAttempts, WorkerDied

_BY_NAME = {kind.__name__: kind for kind in (TaskTimedOut, TooManyAttempts, WorkerDied)}


class Reporter(Protocol):
    """Shows errors to people. One that users write may fail or hang: it runs in a thread beside."""

    def report(self, error: BaseException, about: Mapping[str, Any]) -> None:
        """Pass on an error of a task; `about` has the facts by their names, and the `cluster`."""
        ...


def report_facts(message: TaskMessage, attempt: int) -> dict[str, Any]:
    """Give the facts of a task by their names, for a reporter."""
    return dict(zip(FACTS, about(message, attempt), strict=True))


def error_of(line: str) -> TaskLost:
    """Make the error of a failure that was no exception, from its line."""
    name, _, text = line.partition(": ")
    kind = _BY_NAME.get(name)
    return TaskLost(line) if kind is None else kind(text)
