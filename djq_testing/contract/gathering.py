"""What a result store has to do with the elements of iters: each counts once, and they end as one."""

from __future__ import annotations

import random

import pytest

from djq.core.joined import ElementFailed
from djq.core.message import Finished
from djq_testing.contract.samples import (
    SearchableStore,
    StoreFixtures,
    element,
    finished,
    task_id,
)

ITER = task_id(900)


def elements(*places: int, total: int = 3) -> list[Finished]:
    """Outcomes of elements, all successes."""
    return [element(place, total) for place in places]


class GatheringContract(StoreFixtures):
    """Elements are kept aside until all are there."""

    def test_nothing_is_found_before_all_elements_are_there(self, store: SearchableStore) -> None:
        assert list(store.save(elements(0, 2))) == []

        assert store.find(ITER) is None
        assert store.find(elements(0)[0].message.id) is None

    def test_results_are_in_the_order_of_the_elements(self, store: SearchableStore) -> None:
        store.save(elements(2))
        store.save(elements(0))

        (gathered,) = store.save(elements(1))

        task = store.find(ITER)
        assert (task.id, task.name, task.success) == (ITER, "task-900", True)
        assert task.result == [0, 10, 20]
        assert task.args == ((0, 4), (1, 4), (2, 4))
        assert (gathered.finished.message.id, gathered.line) == (ITER, "")

    def test_iter_of_one_batch_is_complete_at_once(self, store: SearchableStore) -> None:
        (gathered,) = store.save(elements(2, 0, 1))

        assert gathered.finished.message.id == ITER
        assert store.find("task-900").result == [0, 10, 20]

    def test_result_stops_with_the_last_element(self, store: SearchableStore) -> None:
        for one in elements(2, 0, 1):
            store.save([one])

        assert store.find(ITER).stopped.minute == 2

    def test_element_that_comes_again_counts_once(self, store: SearchableStore) -> None:
        for places in ((0,), (0,), (0, 1), (1, 1)):
            assert list(store.save(elements(*places))) == []

        assert len(store.save(elements(1, 2, 2))) == 1
        assert store.find(ITER).result == [0, 10, 20]

    def test_first_outcome_of_an_element_counts(self, store: SearchableStore) -> None:
        store.save([element(0, 2, result="first")])
        store.save([element(0, 2, result="second"), element(1, 2)])

        assert store.find(ITER).result == ["first", 10]

    def test_element_that_comes_too_late_changes_nothing(self, store: SearchableStore) -> None:
        store.save(elements(0, 1, 2))

        for places in ((1,), (0, 1, 2), (2,)):
            assert list(store.save(elements(*places))) == []

        assert store.find(ITER).result == [0, 10, 20]

    def test_failures_are_told_element_by_element(self, store: SearchableStore) -> None:
        line = "ValueError: no"
        failed = element(1, 3, success=False, result=line, traceback="Traceback of one")
        store.save([failed, *elements(0)])

        (gathered,) = store.save(elements(2))

        task = store.find(ITER)
        assert not task.success
        assert task.result == [0, ElementFailed(line), 20]
        assert [isinstance(each, ElementFailed) for each in task.result] == [False, True, False]
        assert "Element 1:" in task.traceback
        assert "Traceback of one" in task.traceback
        assert gathered.line == f"1 of 3 elements failed; element 1: {line}"

    def test_iter_has_the_label_of_its_group(self, store: SearchableStore) -> None:
        store.save([element(place, 2, group="g") for place in range(2)])

        assert [task.id for task in store.group_tasks("g")] == [ITER]
        assert store.group_count("g") == 1

    def test_iters_and_tasks_are_kept_apart(self, store: SearchableStore) -> None:
        batch = [element(place, 2, of=of) for place in range(2) for of in (901, 902)]
        store.save([*batch[:3], finished(1), element(0, 2, of=903)])

        gathered = store.save([batch[3], finished(2)])

        assert [one.finished.message.id for one in gathered] == [task_id(902)]
        assert [store.find(task_id(of)) is None for of in (901, 902, 903)] == [False, False, True]
        assert self.kept(store, range(4)) == [1, 2]

    @pytest.mark.parametrize("seed", range(3))
    def test_any_order_in_any_batches_comes_to_the_same(
        self, store: SearchableStore, seed: int
    ) -> None:
        rng = random.Random(seed)
        places = [*range(300), *rng.choices(range(300), k=30)]
        rng.shuffle(places)
        complete = 0
        while places:
            size = rng.randint(1, 40)
            batch, places = places[:size], places[size:]
            complete += len(store.save(elements(*batch, total=300)))

        assert complete == 1
        assert store.find(ITER).result == [place * 10 for place in range(300)]

    def test_arguments_that_are_too_large_are_left_out(self, store: SearchableStore) -> None:
        body = b"x" * 500_001
        store.save([element(place, 2, body=body) for place in range(2)])

        task = store.find(ITER)
        assert (task.args, task.result) == ((), [0, 10])

    def test_iter_that_cannot_be_kept_is_a_failure_that_says_so(
        self, store: SearchableStore
    ) -> None:
        store.save([element(place, 2, group="g" * 101) for place in range(1)])

        (gathered,) = store.save([element(1, 2, group="g" * 101), finished(1)])

        task = store.find(ITER)
        assert not task.success
        assert "StoreRefused" in task.result
        assert gathered.line == task.result
        assert self.kept(store, range(3)) == [1]
