"""What every result store has to do with outcomes, one that follows no limit too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from djq.exceptions import StoreRefused
from djq_testing.contract.samples import (
    MakeStore,
    SearchableStore,
    StoreFixtures,
    finished,
    messages,
    task_id,
)

TASK_ATTRIBUTES = (
    *("id", "name", "func", "hook", "group", "args", "kwargs", "result"),
    *("started", "stopped", "success", "traceback", "attempts", "place"),
)
"""What a hook finds on the task that it is called with."""


class OutcomeContract(StoreFixtures):
    """Outcomes are kept, found and replaced by the rules."""

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

    @pytest.mark.parametrize("nobody", [None, 5, b"five"])
    def test_what_is_neither_id_nor_name_is_refused(
        self, store: SearchableStore, nobody: object
    ) -> None:
        with pytest.raises(TypeError, match="its id or its name, a text or a UUID"):
            store.find(nobody)  # type: ignore[arg-type]  # as a caller may by mistake

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
        store.save([finished(number) for number in range(self.many)])

        numbers = range(0, self.many, 100)
        assert self.kept(store, numbers) == list(numbers)

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

    def test_hook_gets_the_kept_success_as_it_would_be_found(self, store: SearchableStore) -> None:
        store.save([finished(7, name="n" * 150, result=[1], group="g", hook="app.hook")])

        given, found = (
            store.present(store.kept(messages(7))[task_id(7)]),
            store.find(task_id(7)),
        )

        for name in TASK_ATTRIBUTES:
            assert getattr(given, name) == getattr(found, name), name

    def test_thousands_are_found_by_their_ids(self, store: SearchableStore) -> None:
        store.save([finished(number, success=number % 2 == 0) for number in range(self.many)])

        kept = store.kept(messages(*range(self.many + 100)))

        assert [kept[task_id(number)].outcome.success for number in range(self.many)] == [
            True,
            False,
        ] * (self.many // 2)
        assert len(kept) == self.many

    def test_nothing_is_kept_of_nothing(self, store: SearchableStore) -> None:
        assert dict(store.kept([])) == {}

    def test_hook_gets_the_task_as_it_would_be_found(self, store: SearchableStore) -> None:
        outcome = finished(7, result=[1], group="g", traceback="t", attempt=2)
        store.save([outcome])

        given, found = store.present(outcome), store.find(task_id(7))

        for name in TASK_ATTRIBUTES:
            assert getattr(given, name) == getattr(found, name), name

    def test_saves_in_a_unit(self, store: SearchableStore) -> None:
        with store.unit():
            store.save([finished(1)])

        assert self.kept(store, range(3)) == [1]
