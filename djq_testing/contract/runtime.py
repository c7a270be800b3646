"""What every runtime has to do: what starts components beside one another, and what they talk through.

    class TestMyRuntime(RuntimeContract):
        @pytest.fixture
        def make_runtime(self):
            with ExitStack() as stack:
                yield lambda make: stack.enter_context(MyRuntime(make))

`MyRuntime` has what `djq_testing.contract.parents.Runtime` says: a spawner, and two verbs for the tests.
`make(child, label, link)` makes what runs in a child: call it there, and drive what it gives to its end.
A runtime whose time is not the system's gives its own in the fixture `clock`; one whose links never have
room for an offer says `offers = False`. Children share no memory with the tests: all that these know of
a child came over its link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from djq.core.lifecycle import ChildId
from djq.ports import Clock, Component, Exit, Link
from djq_testing.contract.children import (
    Chatterbox,
    Clockwatcher,
    Crasher,
    Echo,
    Introducer,
    Speaker,
)
from djq_testing.contract.links import LinkContract
from djq_testing.contract.parents import (
    PIECES,
    MakeRuntime,
    Parent,
    RuntimeFixtures,
    seat,
)

__all__ = ["RuntimeContract"]


class LifeContract(RuntimeFixtures):
    """Births, deaths, and what is known of them."""

    def test_child_knows_who_it_is(self, make_runtime: MakeRuntime) -> None:
        parent = Parent(make_runtime(Introducer))

        link = parent.spawner.spawn(seat(3, 2), "Process-1:9")

        assert parent.hears(link, 1) == [(seat(3, 2), "Process-1:9")]

    def test_exit_is_told_once_and_the_last_words_are_there(
        self, make_runtime: MakeRuntime
    ) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Speaker(link, range(100)))

        exits = list(parent.buries())
        heard = list(link.receive())

        assert exits == [Exit(seat(), 0)]
        assert heard == list(range(100))
        assert parent.hears_the_end(link) == []
        parent.spawner.forget(seat())
        parent.waits()
        assert list(parent.spawner.exits()) == []

    def test_crash_is_told_once_and_is_no_clean_exit(self, make_runtime: MakeRuntime) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Crasher(link))

        (death,) = parent.buries()

        assert (death.child, death.code != 0) == (seat(), True)
        assert list(link.receive()) == ["last words"]
        parent.waits()
        assert list(parent.spawner.exits()) == []

    def test_crash_of_one_child_is_nothing_to_another(self, make_runtime: MakeRuntime) -> None:
        def make(child: ChildId, _label: str, link: Link) -> Component:
            return Crasher(link) if child.slot else Echo(link)

        parent, link = self.only(make_runtime, make)
        parent.spawner.spawn(seat(1), "Process-1:2")

        exits = parent.buries()
        link.send("there?")

        assert [death.child for death in exits] == [seat(1)]
        assert parent.hears(link, 1) == ["there?"]

    def test_living_child_is_not_told_as_ended(self, make_runtime: MakeRuntime) -> None:
        parent, _ = self.only(make_runtime, lambda _c, _l, link: Echo(link))

        parent.waits()

        assert list(parent.spawner.exits()) == []

    def test_killed_child_is_told_once(self, make_runtime: MakeRuntime) -> None:
        parent, _ = self.only(make_runtime, lambda _c, _l, link: Echo(link))

        parent.spawner.kill(seat())
        parent.spawner.kill(seat())
        (death,) = parent.buries()

        assert (death.child, death.code != 0) == (seat(), True)
        parent.waits()
        assert list(parent.spawner.exits()) == []

    def test_killing_one_that_has_ended_is_no_error(self, make_runtime: MakeRuntime) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Speaker(link, ["bye"]))
        parent.hears(link, 1)

        parent.hears_the_end(link)
        parent.spawner.kill(seat())
        exits = list(parent.buries())
        parent.spawner.kill(seat())
        parent.spawner.forget(seat())
        parent.spawner.kill(seat())
        parent.waits()

        assert [death.child for death in exits] == [seat()]
        assert list(parent.spawner.exits()) == []

    def test_nothing_new_comes_from_a_child_whose_death_is_known(
        self, make_runtime: MakeRuntime
    ) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Chatterbox(link))
        heard = parent.hears(link, 10)
        parent.waits()

        parent.spawner.kill(seat())
        parent.buries()
        unheard = parent.hears_the_end(link)
        parent.waits()

        assert list(link.receive()) == []
        # What it had said before is there all the same, up to the moment of its death.
        assert unheard
        assert heard + unheard == list(range(len(heard + unheard)))

    def test_message_to_a_child_that_is_gone_is_no_error(self, make_runtime: MakeRuntime) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Speaker(link, []))

        parent.buries()
        link.send("a", "b")
        link.send(*PIECES)

        assert list(link.receive()) == []

    def test_next_generation_lives_beside_the_one_before(self, make_runtime: MakeRuntime) -> None:
        parent, old = self.only(make_runtime, lambda _c, _l, link: Echo(link))
        new = parent.spawner.spawn(seat(0, 2), "Process-1:2")

        answers = self._ask(parent, old, new)
        parent.spawner.kill(seat())
        exits = parent.buries()

        assert answers == [[0], [1]]
        assert [death.child for death in exits] == [seat()]
        assert self._ask(parent, new) == [[0]]

    def test_wait_ends_when_a_message_comes(self, make_runtime: MakeRuntime, clock: Clock) -> None:
        parent, link = self.only(
            make_runtime, lambda _c, _l, link: Clockwatcher(link, clock, 3_600)
        )
        parent.hears(link, 1)

        link.send("wake up")

        # Before an hour has passed; `hears` would not wait for that.
        assert parent.hears(link, 1) == ["woken"]

    def test_wait_ends_by_itself_and_not_at_once(
        self, make_runtime: MakeRuntime, clock: Clock
    ) -> None:
        parent, link = self.only(make_runtime, lambda _c, _l, link: Clockwatcher(link, clock, 0.03))

        _, (word, waits) = parent.hears(link, 2)

        assert word == "time is up"
        # A clock may be read a little before the moment that was waited for.
        assert 1 <= waits <= 3

    def _ask(self, parent: Parent, *links: Link) -> Sequence[Sequence[Any]]:
        for number, link in enumerate(links):
            link.send(number)
        return [parent.hears(link, 1) for link in links]


class RuntimeContract(LinkContract, LifeContract):
    """All of it."""
