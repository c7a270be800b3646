"""What every result store has to do; its author runs this against it.

class TestMyStore(ResultStoreContract):
    @pytest.fixture
    def make_store(self):
        return lambda save_limit: MyStore(save_limit=save_limit)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import attrs
import pytest

from djq.core.call import dump_call, dump_value
from djq.core.message import Finished, Outcome, TaskMessage
from djq.exceptions import StoreRefused
from djq.ports import ResultStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TASK_ATTRIBUTES = (
    *("id", "name", "func", "hook", "group", "args", "kwargs", "result"),
    *("started", "stopped", "success", "traceback", "attempts", "place"),
)
"""What a hook finds on the task that it is called with."""


class SearchableStore(ResultStore, Protocol):
    """A store that finds again what it keeps, as all of djq's own do."""

    def find(self, task_id_or_name: str | UUID) -> Any: ...


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


class ResultStoreContract:
    """Every store."""

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

    def test_outcome_is_found_as_it_was_saved(self, store: SearchableStore) -> None:
        store.save([finished(7, result={"x": [1]}, group="g", hook="app.hook", attempt=2)])

        task = store.find(task_id(7))
        assert (task.id, task.name, task.func) == (task_id(7), "task-7", "math.hypot")
        assert (task.args, task.kwargs, task.result) == ((3, 4), {}, {"x": [1]})
        assert (task.group, task.hook, task.attempts) == ("g", "app.hook", 2)
        assert (task.success, task.traceback, task.time_taken()) == (True, "", 2.0)

    @pytest.mark.parametrize("value", [None, 0, "", [], False])
    def test_empty_value_is_found_as_well(self, store: SearchableStore, value: object) -> None:
        store.save([finished(result=value)])

        assert store.find(task_id(1)).result == value

    def test_failure_keeps_its_line_and_its_traceback(self, store: SearchableStore) -> None:
        store.save([finished(success=False, result="ValueError: no", traceback="Traceback…")])

        task = store.find(task_id(1))
        assert (task.success, task.result, task.traceback) == (
            False,
            "ValueError: no",
            "Traceback…",
        )

    def test_finds_by_id_uuid_and_name(self, store: SearchableStore) -> None:
        store.save([finished(5, name="five")])

        ids = [store.find(each).id for each in (task_id(5), UUID(task_id(5)), "five")]

        assert ids == [task_id(5)] * 3

    def test_finds_nothing_for_what_is_not_there(self, store: SearchableStore) -> None:
        store.save([finished(5)])

        assert [store.find(each) for each in (task_id(6), "six", "", "a\0b")] == [None] * 4

    def test_newest_of_a_name_is_found(self, store: SearchableStore) -> None:
        store.save([finished(1, name="same", minute=1), finished(2, name="same", minute=2)])
        store.save([finished(3, name="same", minute=0)])

        assert store.find("same").id == task_id(2)

    def test_id_comes_before_a_name_that_looks_like_one(self, store: SearchableStore) -> None:
        store.save([finished(1), finished(2, name=task_id(1), minute=1)])
        store.save([finished(3, name=task_id(9))])

        assert store.find(task_id(1)).id == task_id(1)
        assert store.find(task_id(9)).id == task_id(3)

    def test_first_success_is_final(self, store: SearchableStore) -> None:
        store.save([finished(result="first")])

        store.save([finished(result="second", minute=1)])
        store.save([finished(success=False, result="failed", minute=2)])

        assert store.find(task_id(1)).result == "first"

    def test_failure_gives_way_to_what_comes_later(self, store: SearchableStore) -> None:
        results = []

        for number, success in enumerate([False, False, True]):
            store.save([finished(success=success, result=number, minute=number, attempt=number)])
            task = store.find(task_id(1))
            results.append((task.success, task.result, task.attempts))

        assert results == [(False, 0, 0), (False, 1, 1), (True, 2, 2)]

    @pytest.mark.parametrize(
        ("successes", "winner"),
        [((False, True, False), 1), ((True, True), 0), ((False, False), 1), ((True, False), 0)],
    )
    def test_one_task_twice_in_a_batch_is_as_in_two_batches(
        self, store: SearchableStore, successes: tuple[bool, ...], winner: int
    ) -> None:
        store.save([finished(success=each, result=n) for n, each in enumerate(successes)])

        assert store.find(task_id(1)).result == winner

    def test_saving_a_batch_again_changes_nothing(self, store: SearchableStore) -> None:
        batch = [finished(1), finished(2, success=False, result="failed")]

        store.save(batch)
        store.save(batch)

        assert store.find(task_id(2)).result == "failed"
        assert self.kept(store, range(4)) == [1, 2]

    def test_empty_batch_is_no_error(self, make_store: MakeStore) -> None:
        make_store(1).save([])

    def test_large_batch_is_kept_whole(self, store: SearchableStore) -> None:
        store.save([finished(number) for number in range(1_200)])

        assert len(self.kept(store, range(0, 1_200, 100))) == 12

    def test_limit_of_zero_keeps_all(self, make_store: MakeStore) -> None:
        store = make_store(0)

        store.save([finished(number) for number in range(10)])

        assert len(self.kept(store, range(10))) == 10

    def test_only_the_newest_successes_stay(self, make_store: MakeStore) -> None:
        store = make_store(3)

        store.save([finished(number, minute=number) for number in (5, 1, 4)])
        store.save([finished(number, minute=number) for number in (2, 3)])

        assert self.kept(store, range(6)) == [3, 4, 5]

    def test_ids_part_successes_of_one_moment(self, make_store: MakeStore) -> None:
        store = make_store(2)

        store.save([finished(number) for number in (3, 1, 4, 2)])

        assert self.kept(store, range(6)) == [3, 4]

    def test_limit_made_smaller_shrinks_what_is_there(self, make_store: MakeStore) -> None:
        make_store(0).save([finished(number, minute=number) for number in range(9)])

        make_store(2).save([finished(9, minute=9)])

        assert self.kept(make_store(2), range(10)) == [8, 9]

    def test_limit_counts_no_failures(self, make_store: MakeStore) -> None:
        store = make_store(1)

        store.save([finished(number, success=False, minute=number) for number in range(3)])
        store.save([finished(number, minute=number) for number in (3, 4)])

        assert self.kept(store, range(6)) == [0, 1, 2, 4]

    def test_negative_limit_keeps_no_success(self, make_store: MakeStore) -> None:
        store = make_store(-1)

        store.save([finished(1), finished(2, success=False)])

        assert self.kept(store, range(3)) == [2]

    def test_task_that_asks_for_it_is_kept_and_not_counted_without_a_limit(
        self, make_store: MakeStore
    ) -> None:
        store = make_store(-1)

        store.save([finished(number, save=True) for number in range(5)])

        assert len(self.kept(store, range(5))) == 5

    def test_task_that_asks_not_to_be_kept_is_not(self, store: SearchableStore) -> None:
        store.save([finished(1, save=False), finished(2, save=False, success=False)])

        assert self.kept(store, range(3)) == [2]

    def test_long_names_are_cut(self, store: SearchableStore) -> None:
        store.save([finished(name="n" * 150, func="f" * 300)])

        task = store.find(task_id(1))
        assert (task.name, task.func) == ("n" * 100, "f" * 256)

    def test_texts_that_no_database_keeps_are_spelt_out(self, store: SearchableStore) -> None:
        store.save([finished(name="a\0", success=False, traceback="b\0 \ud800 é")])

        task = store.find(task_id(1))
        assert (task.name, task.traceback) == ("a\\x00", "b\\x00 \\ud800 é")

    @pytest.mark.parametrize(
        "header",
        [
            {"group": "g" * 101},
            {"hook": "h" * 257},
            {"group": "g\0"},
            {"hook": "h\ud800"},
        ],
    )
    def test_batch_with_what_cannot_be_kept_is_refused_whole(
        self, store: SearchableStore, header: dict[str, Any]
    ) -> None:
        with pytest.raises(StoreRefused):
            store.save([finished(1), finished(2, **header), finished(3)])

        assert self.kept(store, range(4)) == []

    def test_success_stands_whatever_came_later(self, store: SearchableStore) -> None:
        first = finished(
            7, result=[1], group="g", hook="app.hook", traceback="t", attempt=2, minute=0.5
        )
        store.save([first])
        store.save([finished(7, success=False, result="no", minute=1, attempt=3)])

        standing = store.kept([task_id(7)])

        assert standing == {
            task_id(7): Finished(
                attrs.evolve(first.message, save=True),
                attrs.evolve(first.outcome, seconds=standing[task_id(7)].outcome.seconds),
                2,
            )
        }

    def test_hook_gets_the_kept_success_as_it_would_be_found(self, store: SearchableStore) -> None:
        store.save([finished(7, name="n" * 150, result=[1], group="g", hook="app.hook")])

        given, found = (
            store.present(store.kept([task_id(7)])[task_id(7)]),
            store.find(task_id(7)),
        )

        for name in TASK_ATTRIBUTES:
            assert getattr(given, name) == getattr(found, name), name

    def test_what_is_not_kept_is_not_found_by_its_id(self, make_store: MakeStore) -> None:
        make_store(-1).save([finished(1), finished(2, save=True)])
        make_store(1).save([finished(number, minute=number) for number in (3, 4)])
        make_store(1).save([finished(5, success=False), finished(6, save=False)])

        kept = make_store(0).kept([*map(task_id, range(9)), "", "a\0b", "x" * 500])

        assert {id: one.outcome.success for id, one in kept.items()} == {
            task_id(4): True,
            task_id(5): False,
        }

    def test_thousands_are_found_by_their_ids(self, store: SearchableStore) -> None:
        store.save([finished(number, success=number % 2 == 0) for number in range(1_200)])

        kept = store.kept([task_id(number) for number in range(1_300)])

        assert [kept[task_id(number)].outcome.success for number in range(1_200)] == [
            True,
            False,
        ] * 600
        assert len(kept) == 1_200

    def test_nothing_is_kept_of_nothing(self, store: SearchableStore) -> None:
        assert dict(store.kept([])) == {}

    def test_hook_gets_the_task_as_it_would_be_found(self, store: SearchableStore) -> None:
        outcome = finished(7, result=[1], group="g", traceback="t", attempt=2)
        store.save([outcome])

        given, found = store.present(outcome), store.find(task_id(7))

        for name in TASK_ATTRIBUTES:
            assert getattr(given, name) == getattr(found, name), name

    def test_hook_gets_tasks_that_are_not_kept(self, make_store: MakeStore) -> None:
        task: Any = make_store(-1).present(finished(result=5))

        assert (task.id, task.result, task.success) == (task_id(1), 5, True)

    def test_saves_in_a_unit(self, store: SearchableStore) -> None:
        with store.unit():
            store.save([finished(1)])

        assert self.kept(store, range(3)) == [1]
