"""What a result store has to remember of chains: how many links have been sent."""

from __future__ import annotations

import attrs

from djq.core.message import TaskMessage
from djq_testing.contract.samples import SearchableStore, StoreFixtures, finished, task_id


def link(place: int, chain: int = 1, total: int = 5) -> TaskMessage:
    """A link of the chain with this number."""
    message = finished(chain * 100 + place).message
    return attrs.evolve(message, place=place, total=total, chain=task_id(chain))


class ChainContract(StoreFixtures):
    """What was sent once is known to whoever sees it delivered again."""

    def test_nothing_is_known_of_a_chain_that_has_just_begun(self, store: SearchableStore) -> None:
        assert dict(store.sent([link(1)])) == {}
        assert dict(store.sent([])) == {}

    def test_knows_how_many_links_have_been_sent(self, store: SearchableStore) -> None:
        known = []
        for place in (1, 2, 4):
            store.mark_sent([link(place)])
            known.append(store.sent([link(place)])[task_id(1)])

        assert known == [2, 3, 5]

    def test_chains_are_kept_apart(self, store: SearchableStore) -> None:
        store.mark_sent([link(1, chain=1), link(3, chain=2), link(2, chain=2)])

        sent = store.sent([link(0, chain=number) for number in (1, 2, 3)])

        assert dict(sent) == {task_id(1): 2, task_id(2): 4}

    def test_marking_again_changes_nothing(self, store: SearchableStore) -> None:
        for _ in range(2):
            store.mark_sent([link(2)])

        assert dict(store.sent([link(2)])) == {task_id(1): 3}

    def test_an_earlier_link_that_is_marked_later_takes_nothing_back(
        self, store: SearchableStore
    ) -> None:
        store.mark_sent([link(3)])

        store.mark_sent([link(1), link(1, chain=2)])

        sent = store.sent([link(0, chain=number) for number in (1, 2)])
        assert dict(sent) == {task_id(1): 4, task_id(2): 2}

    def test_chains_are_not_taken_for_iters(self, store: SearchableStore) -> None:
        store.mark_sent([link(1)])

        assert store.find(task_id(1)) is None
