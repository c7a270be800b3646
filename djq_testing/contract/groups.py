"""What a result store has to do for groups."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from djq.core.message import Finished
from djq_testing.contract.samples import (
    NOON,
    SearchableStore,
    StoreFixtures,
    finished,
    numbers_of,
    task_id,
)


def member(number: int, second: float = 0, **more: Any) -> Finished:
    """The outcome of a task of the group `g` that was asked for so many seconds after noon."""
    at = NOON + timedelta(seconds=second)
    return finished(number, result=number, **{"group": "g", "enqueued_at": at, **more})


class GroupContract(StoreFixtures):
    """Groups are listed in the order of the calls, and counted."""

    def test_group_is_in_the_order_of_the_calls(self, store: SearchableStore) -> None:
        store.save([member(1, second=3, minute=1), member(2, second=1, minute=9)])
        store.save([member(3, second=2, minute=5), finished(4, group="other"), finished(5)])

        assert numbers_of(store.group_tasks("g")) == [2, 3, 1]
        assert store.group_results("g") == [2, 3, 1]
        assert store.group_count("g") == 3

    def test_calls_of_one_moment_are_in_the_order_of_their_places(
        self, store: SearchableStore
    ) -> None:
        store.save([member(number, place=10 - number) for number in (4, 7, 2)])

        assert numbers_of(store.group_tasks("g")) == [7, 4, 2]

    def test_failures_are_told_apart(self, store: SearchableStore) -> None:
        failed = attrs.evolve(member(2, second=1).message)
        store.save([member(1), member(3, second=2)])
        store.save(
            [finished(2, success=False, result="no", group="g", enqueued_at=failed.enqueued_at)]
        )

        assert numbers_of(store.group_tasks("g")) == [1, 2, 3]
        assert numbers_of(store.group_tasks("g", failures=False)) == [1, 3]
        assert store.group_results("g") == [1, 3]
        assert store.group_results("g", failures=True) == [1, "no", 3]
        assert (store.group_count("g"), store.group_count("g", failures=True)) == (3, 1)

    def test_unknown_group_is_empty(self, store: SearchableStore) -> None:
        assert list(store.group_tasks("nobody")) == []
        assert store.group_results("nobody") == []
        assert store.group_count("nobody") == 0
        assert store.group_delete("nobody") == 0

    def test_task_that_is_saved_again_counts_once(self, store: SearchableStore) -> None:
        failed = finished(1, success=False, result="no", group="g")
        for one in (failed, failed, member(1), member(1), failed):
            store.save([one])

        assert store.group_results("g", failures=True) == [1]
        assert (store.group_count("g"), store.group_count("g", failures=True)) == (1, 0)

    def test_counter_sees_what_has_come_since(self, store: SearchableStore) -> None:
        count, failures = store.group_counter("g"), store.group_counter("g", failures=True)
        seen = [(count(), failures())]
        for number in range(3):
            store.save([member(number), finished(number + 10, success=False, group="g")])
            seen.append((count(), failures()))

        assert seen == [(0, 0), (2, 1), (4, 2), (6, 3)]

    def test_large_group_is_whole(self, store: SearchableStore) -> None:
        for start in range(0, self.many, 100):
            store.save([member(number, second=number) for number in range(start, start + 100)])

        assert store.group_results("g") == list(range(self.many))
        assert store.group_count("g") == self.many

    @pytest.mark.parametrize("label", ["g", "a b", "ünïcode \U0001f600", "g" * 100])
    def test_label_may_be_any_text(self, store: SearchableStore, label: str) -> None:
        store.save([member(1, group=label)])

        assert [task.group for task in store.group_tasks(label)] == [label]

    def test_no_label_is_no_group(self, store: SearchableStore) -> None:
        store.save([finished(1)])
        verbs: list[Callable[[Any], object]] = [
            store.group_tasks,
            store.group_results,
            store.group_count,
            store.group_delete,
        ]

        for verb in verbs:
            with pytest.raises(TypeError, match="label"):
                verb(None)
        assert self.kept(store, range(3)) == [1]

    def test_label_is_taken_off(self, store: SearchableStore) -> None:
        store.save([member(1), finished(2, success=False, group="g"), finished(3, group="h")])

        assert store.group_delete("g") == 2
        assert (store.group_count("g"), store.group_count("h")) == (0, 1)
        assert store.find(task_id(1)).group is None
        assert store.find(task_id(1)).result == 1

    def test_tasks_are_deleted_with_their_label(self, store: SearchableStore) -> None:
        store.save([member(1), member(2), finished(3, group="h")])

        assert store.group_delete("g", rows=True) == 2
        assert [store.find(task_id(number)) is None for number in (1, 2, 3)] == [True, True, False]

    def test_label_can_be_used_again(self, store: SearchableStore) -> None:
        store.save([member(number) for number in range(40)])
        store.group_delete("g", rows=True)

        store.save([member(50)])

        assert store.group_results("g") == [50]
        assert store.group_count("g") == 1
