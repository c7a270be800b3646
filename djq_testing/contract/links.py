"""What every link has to do: carry messages whole, hold offers out, and end when the other end is gone."""

from __future__ import annotations

import pytest

from djq.core.protocol import Assign, Credit, Ready
from djq.ports import Link
from djq_testing.contract.children import (
    Chatterbox,
    Echo,
    Heavyweight,
    Sluggard,
    Taker,
)
from djq_testing.contract.parents import (
    PIECES,
    MakeRuntime,
    Parent,
    RuntimeFixtures,
    seat,
)


class LinkContract(RuntimeFixtures):
    """Messages, from either end."""

    def test_messages_arrive_whole_and_in_order_both_ways(self, make_runtime: MakeRuntime) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Echo(link))
        said = [Ready(7), Credit(3), Assign(()), *range(200), "", b"\0" * 100_000, None, (1, "x")]

        link.send(*said[:100])
        link.send()
        for message in said[100:]:
            link.send(message)

        assert parent.hears(link, len(said)) == said
        assert not link.clogged
        assert not link.ended

    def test_megabytes_pass_each_other_while_neither_side_reads(
        self, make_runtime: MakeRuntime
    ) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Heavyweight(link, PIECES))

        link.send(*PIECES)
        *pieces, verdict = parent.hears(link, len(PIECES) + 1)

        is_whole = pieces == PIECES
        assert is_whole
        assert verdict == ("whole", len(PIECES))
        assert not link.clogged

    def test_parent_does_not_wait_for_a_child_that_never_reads(
        self, make_runtime: MakeRuntime
    ) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Sluggard(link))

        for piece in PIECES:
            link.send(piece)

        assert parent.hears(link, 1) == ["busy"]
        parent.spawner.kill(seat())
        assert len(parent.buries()) == 1

    def test_receiving_does_not_wait_for_a_message(self, make_runtime: MakeRuntime) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Echo(link))

        before = list(link.receive())
        link.send("now")

        assert before == []
        assert parent.hears(link, 1) == ["now"]
        assert list(link.receive()) == []

    def test_child_finds_the_end_of_its_link_when_its_parent_is_gone(
        self, make_runtime: MakeRuntime
    ) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Echo(link))
        link.send("there?")
        parent.hears(link, 1)

        assert parent.runtime.leave(seat(), link)

    def test_child_that_talks_notices_that_nobody_hears_it(self, make_runtime: MakeRuntime) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Chatterbox(link))
        parent.hears(link, 1)

        assert parent.runtime.leave(seat(), link)

    def test_offers_are_taken_oldest_first(self, make_runtime: MakeRuntime) -> None:
        parent, link = self._offering(make_runtime)
        link.send("take")

        room = link.offer("a", "b", "c")

        assert room == 3
        assert parent.hears(link, room) == ["a", "b", "c"]
        assert list(link.recall()) == []

    def test_offer_ends_the_wait_of_a_child(self, make_runtime: MakeRuntime) -> None:
        parent, link = self._offering(make_runtime)
        link.send("take")
        link.offer("a")
        parent.hears(link, 1)
        parent.waits()

        link.offer("b")

        assert parent.hears(link, 1) == ["b"]

    def test_offers_can_be_taken_back_until_they_are_taken(self, make_runtime: MakeRuntime) -> None:
        parent, link = self._offering(make_runtime)
        offered = ["a", "b", "c"]

        room = link.offer(*offered)
        back = list(link.recall())
        link.send("take")
        link.offer("d")

        assert (room, back) == (3, offered)
        assert parent.hears(link, 1) == ["d"]

    def test_each_offer_is_taken_by_one_side_only(self, make_runtime: MakeRuntime) -> None:
        parent, link = self._offering(make_runtime)
        link.send("take")

        laid_out = list(range(link.offer(*range(150))))
        taken = parent.hears(link, 10)
        back = list(link.recall())
        taken += parent.hears(link, len(laid_out) - len(taken) - len(back))
        parent.waits()

        assert (taken, back) == (sorted(taken), sorted(back))
        assert sorted(taken + back) == laid_out
        assert list(link.receive()) == []

    def test_what_had_no_room_is_not_kept(self, make_runtime: MakeRuntime) -> None:
        _, link = self.only(make_runtime, lambda _c, _l, link: Taker(link))
        offered = ["small", *PIECES]

        room = link.offer(*offered)

        assert (room > 0) is self.offers
        assert list(link.recall()) == offered[:room]

    def _offering(self, make_runtime: MakeRuntime) -> tuple[Parent, Link]:
        if not self.offers:
            pytest.skip("offers = False: there is never any room")
        return self.only(make_runtime, lambda _c, _l, link: Taker(link))
