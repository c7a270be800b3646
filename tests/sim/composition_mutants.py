"""Deliberately broken hooks, chains and iters, each with the mistake that somebody could make there."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from djq.components.following import Batch, Followers
from djq.components.monitor import Monitor
from djq.core.composition import derived_id, next_link, stopped_links
from djq.core.gathering import Gathered, element_of, gather
from djq.core.message import Finished
from djq_testing.memory import MemoryStore
from djq_testing.sim import Parts

# What follows from a task.


class ForgetsHooks(Followers):
    """A task that has a hook has it called."""

    def _send(self, hooks, links, batch: Batch) -> list[Finished]:
        return super()._send({}, links, batch)


class SendsHooksAtEachTry(Followers):
    """A hook is called once for an outcome."""

    def look_ahead(self, batch: Batch) -> None:
        super().look_ahead(batch)
        self.send(attrs.evolve(batch, final=[]))


class SendsTheNextLinkBeforeTheSave(Followers):
    """A link is sent after the outcome of the one before is saved."""

    def look_ahead(self, batch: Batch) -> None:
        super().look_ahead(batch)
        self._send({}, self._links_of(batch.final, batch.before), batch)


class SendsTheNextLinkTwice(Followers):
    """A link is sent once."""

    def _send(self, hooks, links, batch: Batch) -> list[Finished]:
        super()._send({}, links, batch)
        return super()._send(hooks, links, batch)


class SendsTheNextLinkOnlyWithTheFirstSuccess(Followers):
    """A monitor that dies between saving and sending takes no chain along.

    Whoever dies between the save and the sending takes the chain along.
    """

    def _links_of(self, final, before):
        kept = {id for id, one in before.items() if one.outcome.success}
        new = [one for one in final if one.message.id not in kept]
        return super()._links_of(new, before)


class SendsWhatHasRun(Followers):
    """A link that has an outcome is not sent again."""

    def _links_of(self, final, before):
        links = [next_link(one) for one in final]
        return {link.id: link for link in links if link is not None}


class MarksBeforeItSends(Followers):
    """A link is noted as sent after it was.

    Whoever dies between the two takes the chain along.
    """

    def _send(self, hooks, links, batch: Batch) -> list[Finished]:
        if links:
            self._store.mark_sent(list(links.values()))
        return super()._send(hooks, links, batch)


class NamesTheNextLinkAnew(Followers):
    """A link keeps its id, however often it is sent."""

    def _links_of(self, final, before):
        links = super()._links_of(final, before)
        now = self._clock.now().isoformat()
        return {id: attrs.evolve(link, id=derived_id(id, now)) for id, link in links.items()}


class DropsWhatIsHandedOn(Followers):
    """A link gets the result of the one before, where the chain hands on."""

    def _links_of(self, final, before):
        alone = [attrs.evolve(one.message, hands_on=False) for one in final]
        pairs = zip(final, alone, strict=True)
        return super()._links_of([attrs.evolve(one, message=m) for one, m in pairs], before)


class HandsOnTheLineOfAFailure(Followers):
    """After a failure a link is handed None."""

    def _links_of(self, final, before):
        links = super()._links_of(final, before)
        for one in final:
            as_success = attrs.evolve(one, outcome=attrs.evolve(one.outcome, success=True))
            link = next_link(as_success)
            if link is not None and link.id in links and one.message.goes_on:
                links[link.id] = link
        return links


class GoesOnAfterAFailure(Followers):
    """A failure stops its chain, unless it is to go on."""

    def _links_of(self, final, before):
        on = [attrs.evolve(one, message=attrs.evolve(one.message, goes_on=True)) for one in final]
        return super()._links_of(on, before)


class NeverGoesOnAfterAFailure(Followers):
    """A chain that is to go on after a failure does."""

    def _links_of(self, final, before):
        return super()._links_of([one for one in final if one.outcome.success], before)


class GoesOnWhileALinkIsTriedAgain(Followers):
    """A chain goes on after the last try of a link."""

    def send(self, batch: Batch) -> None:
        super().send(attrs.evolve(batch, final=batch.finished))


class StopsWhileALinkIsTriedAgain(Followers):
    """A chain stops after the last try of a link."""

    def look_ahead(self, batch: Batch) -> None:
        final, batch.final = batch.final, batch.finished
        super().look_ahead(batch)
        batch.final = final


class StopsAtAFailureThatASuccessCameBefore(Followers):
    """A failure after a success stops no chain."""

    def look_ahead(self, batch: Batch) -> None:
        super().look_ahead(batch)
        batch.stopped = [link for one in batch.final for link in stopped_links(one)]


class ForgetsStoppedLinks(Followers):
    """Each link of a stopped chain has a failure that says so."""

    def look_ahead(self, batch: Batch) -> None:
        super().look_ahead(batch)
        batch.stopped = []


class StopsOneLinkOnly(Followers):
    """All links behind a failure say that they were stopped."""

    def look_ahead(self, batch: Batch) -> None:
        super().look_ahead(batch)
        batch.stopped = batch.stopped[:1]


class TakesStoppedLinksOutOfTheirGroup(Followers):
    """A stopped link stays in the group of its chain."""

    def look_ahead(self, batch: Batch) -> None:
        super().look_ahead(batch)
        batch.stopped = [
            attrs.evolve(one, message=attrs.evolve(one.message, group=None))
            for one in batch.stopped
        ]


class ForgetsTheHooksOfStoppedLinks(Followers):
    """The hook of a stopped link is called."""

    def send(self, batch: Batch) -> None:
        super().send(attrs.evolve(batch, stopped=[]))


class SendsAgainWhatItCouldNotNote(Monitor):
    """A link is not sent again because the note that it was sent could not be taken."""

    def _follow(self, batch: Batch) -> None:
        batch.sent.clear()
        super()._follow(batch)
        self._followers.mark(batch)


class LosesALinkWithOneThatNeverRan(Monitor):
    """A link keeps its outcome when one that it stops cannot be kept.

    It lets the store refuse a failure because of the links that the failure stops.
    """

    def _save(self, batch: Batch) -> None:
        batch.items.append(batch.items[0])
        try:
            super()._save(batch)
        finally:
            batch.items.pop()


# The elements of an iter.


class KeepsElementsThatAreTriedAgain(Monitor):
    """An element counts when it is not tried again."""

    def _save(self, batch: Batch) -> None:
        final, batch.final = batch.final, list(batch.final)
        left = [one for one in batch.finished if one.message.iter and one not in final]
        batch.final += left
        super()._save(batch)
        batch.final = final


class GathersDifferently(MemoryStore):
    """Keeps the elements aside as a subclass says."""

    def save(self, batch: Sequence[Finished]) -> list[Gathered]:
        super().save([one for one in batch if one.message.iter is None])
        gathered = []
        for one in batch:
            if one.message.iter is not None:
                known = self._elements.get(one.message.iter, {})
                now = self._elements[one.message.iter] = self._with(known, one)
                if self._is_complete(known, now, one.message.total):
                    gathered.append(self._gather(one.message, now))
        for one in gathered:
            self._tasks.setdefault(one.finished.message.id, self.present(one.finished))
        return gathered

    def _with(self, known, finished):
        return {finished.message.place: element_of(finished), **known}

    def _is_complete(self, known, now, total) -> bool:
        return len(known) != total and len(now) == total

    def _gather(self, message, now) -> Gathered:
        elements = [element for _, element in sorted(now.items())]
        return self._keepable(gather(message, elements))


class CountsDeliveriesOfElements(GathersDifferently):
    """An element that is delivered twice counts once."""

    def _with(self, known, finished):
        counted = {**known, "count": known.get("count", 0) + 1}
        return super()._with(counted, finished)

    def _is_complete(self, known, now, total) -> bool:
        return now["count"] == total

    def _gather(self, message, now) -> Gathered:
        return super()._gather(message, {k: v for k, v in now.items() if k != "count"})


class GathersInTheOrderOfArrival(GathersDifferently):
    """The results of an iter have the order of its arguments."""

    def _with(self, known, finished):
        return known | {finished.message.place: element_of(finished)} | known

    def _gather(self, message, now) -> Gathered:
        return self._keepable(gather(message, list(now.values())))


class GathersOneTooEarly(GathersDifferently):
    """An iter is complete when all its elements are there."""

    def _is_complete(self, known, now, total) -> bool:
        return len(known) != total - 1 and len(now) == total - 1


class GathersAtEachDelivery(GathersDifferently):
    """An iter is gathered once."""

    def _is_complete(self, known, now, total) -> bool:
        return len(now) == total


class KeepsTheLatestOfAnElement(GathersDifferently):
    """The first outcome of an element counts."""

    def _with(self, known, finished):
        return {**known, finished.message.place: element_of(finished)}


class LosesElementsThatFailed(GathersDifferently):
    """An element that failed has its place in the result."""

    def _with(self, known, finished):
        return super()._with(known, finished) if finished.outcome.success else known


class GathersFailuresAsASuccess(GathersDifferently):
    """An iter in which an element failed is no success."""

    def _gather(self, message, now) -> Gathered:
        gathered = super()._gather(message, now)
        finished = gathered.finished
        success = attrs.evolve(finished.outcome, success=True)
        return Gathered(attrs.evolve(finished, outcome=success), "")


class ForgetsElementsWhenTheyAreGathered(GathersDifferently):
    """A late delivery of an element does not begin its iter anew.

    A late delivery of each would make the iter again.
    """

    def save(self, batch: Sequence[Finished]) -> list[Gathered]:
        gathered = super().save(batch)
        for one in gathered:
            del self._elements[one.finished.message.id]
        return gathered


class ForgetsWhatWasSent(MemoryStore):
    """What is noted of a chain as sent is not sent again."""

    def mark_sent(self, links) -> None:
        """Remember nothing."""


def with_followers(kind: type[Followers]) -> type[Monitor]:
    class WithFollowers(Monitor):
        def __init__(self, **ports) -> None:
            super().__init__(**ports)
            self._followers = kind(
                broker=self._broker,
                store=self._store,
                codec=self._codec,
                clock=self._around.clock,
                one_unit=self._one_unit,
            )

    return WithFollowers


FOLLOWERS = (
    DropsWhatIsHandedOn,
    ForgetsHooks,
    ForgetsStoppedLinks,
    ForgetsTheHooksOfStoppedLinks,
    GoesOnAfterAFailure,
    GoesOnWhileALinkIsTriedAgain,
    HandsOnTheLineOfAFailure,
    NamesTheNextLinkAnew,
    NeverGoesOnAfterAFailure,
    MarksBeforeItSends,
    SendsHooksAtEachTry,
    SendsTheNextLinkBeforeTheSave,
    SendsTheNextLinkOnlyWithTheFirstSuccess,
    SendsTheNextLinkTwice,
    SendsWhatHasRun,
    StopsAtAFailureThatASuccessCameBefore,
    StopsOneLinkOnly,
    StopsWhileALinkIsTriedAgain,
    TakesStoppedLinksOutOfTheirGroup,
)
STORES = (
    CountsDeliveriesOfElements,
    ForgetsElementsWhenTheyAreGathered,
    ForgetsWhatWasSent,
    GathersAtEachDelivery,
    GathersFailuresAsASuccess,
    GathersInTheOrderOfArrival,
    GathersOneTooEarly,
    KeepsTheLatestOfAnElement,
    LosesElementsThatFailed,
)
MONITORS = (
    KeepsElementsThatAreTriedAgain,
    LosesALinkWithOneThatNeverRan,
    SendsAgainWhatItCouldNotNote,
)

COMPOSITION_MUTANTS: dict[str, Parts] = {
    **{kind.__name__: Parts(monitor=with_followers(kind)) for kind in FOLLOWERS},
    **{kind.__name__: Parts(monitor=kind) for kind in MONITORS},
    **{kind.__name__: Parts(store=kind) for kind in STORES},
}
