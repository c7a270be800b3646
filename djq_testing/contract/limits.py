"""What a result store does that follows `save` and `save_limit`; a cache leaves that to its own rules."""

from __future__ import annotations

from typing import Any

import attrs

from djq.core.message import Finished
from djq_testing.contract.samples import (
    MakeStore,
    SearchableStore,
    StoreFixtures,
    element,
    finished,
    messages,
    task_id,
)


class LimitContract(StoreFixtures):
    """Successes are kept as far as the limit and the task itself say."""

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

    def test_limit_is_seen_to_when_the_whole_batch_is_kept(self, make_store: MakeStore) -> None:
        store = make_store(1)
        store.save([finished(1, minute=-1)])

        store.save([element(0, 1), finished(1, success=False, minute=9)])

        assert self.kept(store, range(3)) == []
        assert store.find(task_id(900)) is not None

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

    def test_success_stands_whatever_came_later(self, store: SearchableStore) -> None:
        first = finished(
            7, result=[1], group="g", hook="app.hook", traceback="t", attempt=2, minute=0.5
        )
        store.save([first])
        store.save([finished(7, success=False, result="no", minute=1, attempt=3)])

        standing = store.kept(messages(7))

        assert standing == {
            task_id(7): Finished(
                attrs.evolve(first.message, save=True),
                attrs.evolve(first.outcome, seconds=standing[task_id(7)].outcome.seconds),
                2,
            )
        }

    def test_what_is_not_kept_is_not_found_by_its_id(self, make_store: MakeStore) -> None:
        make_store(-1).save([finished(1), finished(2, save=True)])
        make_store(1).save([finished(number, minute=number) for number in (3, 4)])
        make_store(1).save([finished(5, success=False), finished(6, save=False)])

        odd = [attrs.evolve(finished().message, id=id) for id in ("", "a\0b", "x" * 500)]
        kept = make_store(0).kept([*messages(*range(9)), *odd])

        assert {id: one.outcome.success for id, one in kept.items()} == {
            task_id(4): True,
            task_id(5): False,
        }

    def test_hook_gets_tasks_that_are_not_kept(self, make_store: MakeStore) -> None:
        task: Any = make_store(-1).present(finished(result=5))

        assert (task.id, task.result, task.success) == (task_id(1), 5, True)
