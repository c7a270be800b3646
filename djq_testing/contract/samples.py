"""What the contracts of result stores share: sample outcomes, and what is asked of a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Protocol
from uuid import UUID

import pytest

from djq.core.call import dump_call, dump_value
from djq.core.message import Finished, Outcome, TaskMessage
from djq.ports import ResultStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class SearchableStore(ResultStore, Protocol):
    """A store that finds again what it keeps, as all of djq's own do."""

    def find(self, task_id_or_name: str | UUID) -> Any: ...

    def group_tasks(self, label: str, *, failures: bool = True) -> Any: ...

    def group_results(self, label: str, *, failures: bool = False) -> list[Any]: ...

    def group_count(self, label: str, *, failures: bool = False) -> int: ...

    def group_counter(self, label: str, *, failures: bool = False) -> Callable[[], int]: ...

    def group_delete(self, label: str, *, rows: bool = False) -> int: ...


MakeStore = Callable[[int], SearchableStore]


def task_id(number: int) -> str:
    """The id of the task with this number; a higher number is a higher id."""
    return f"{number:032x}"


def finished(
    number: int = 1,
    *,
    success: bool = True,
    result: object = None,
    minute: float = 0,
    attempt: int = 1,
    traceback: str = "",
    **header: Any,
) -> Finished:
    """An outcome, known `minute` minutes after noon."""
    message: dict[str, Any] = {
        "id": task_id(number),
        "name": f"task-{number}",
        "func": "math.hypot",
        "enqueued_at": NOON - timedelta(seconds=2),
        "body": dump_call("math.hypot", (3, 4), {}),
    }
    outcome = Outcome(
        success=success,
        value=dump_value(result),
        traceback=traceback,
        stopped_at=NOON + timedelta(minutes=minute),
        seconds=1.0,
    )
    return Finished(TaskMessage(**{**message, **header}), outcome, attempt)


def messages(*numbers: int) -> list[TaskMessage]:
    """The messages of the tasks with these numbers."""
    return [finished(number).message for number in numbers]


def element(
    place: int,
    total: int,
    *,
    of: int = 900,
    success: bool = True,
    result: object = None,
    **more: Any,
) -> Finished:
    """The outcome of an element of the iter with this number, in which it gives ten times its place."""
    value = place * 10 if result is None else result
    header = {"iter": task_id(of), "place": place, "total": total, "name": f"task-{of}"}
    header["body"] = dump_call("math.hypot", (place, 4), {})
    number = of * 1_000_000 + place
    return finished(number, success=success, result=value, minute=place, **{**header, **more})


def numbers_of(batch: Sequence[Any]) -> list[int]:
    """The numbers of tasks."""
    return [int(task.id, 16) for task in batch]


class StoreFixtures:
    """The one hole in the contract, and what is made of it."""

    many: ClassVar[int] = 1_200
    """How many outcomes a large number is; a hundred at the least, for what is slow."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """A function that makes a store for a `save_limit`; all of them share what they keep."""
        raise NotImplementedError("override the fixture make_store(self)")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> SearchableStore:
        """An empty store that keeps every success."""
        return make_store(0)

    def kept(self, store: SearchableStore, numbers: range) -> list[int]:
        """Which of the tasks with these numbers are there."""
        return [number for number in numbers if store.find(task_id(number)) is not None]
