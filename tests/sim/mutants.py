"""Deliberately broken parts, each with the mistake that somebody could make there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from djq.components.command import Command
from djq.components.monitor import Batch, Monitor
from djq.components.pusher import Pusher
from djq.components.sentinel import Sentinel
from djq.components.worker import Worker
from djq.core.dispatch import Book, Entry
from djq.core.lifecycle import CHILD_TRANSITIONS, ChildEvent, ChildState, Order, Role, move
from djq.core.message import Outcome
from djq.core.protocol import Verdict
from djq.core.supervision import Child, Supervision
from djq.exceptions import BadPackage, StoreUnavailable
from djq.ports import Wait
from djq_testing.sim import Parts
from tests.sim.cluster_mutants import CLUSTER_MUTANTS
from tests.sim.composition_mutants import COMPOSITION_MUTANTS
from tests.sim.server_mutants import (
    CountsWhatWasNotBegun,
    ForgetsTheCount,
    KeepsTheLatest,
    LosesFailures,
    LosesWhatIsTaken,
)

# The monitor.


class AcknowledgesBeforeItSaves(Monitor):
    """An outcome is saved before its task is acknowledged."""

    def _save(self, batch: Batch) -> None:
        super()._settle(batch)
        super()._save(batch)


class AcknowledgesWhatItCouldNotSave(Monitor):
    """What could not be saved is not acknowledged."""

    def _save(self, batch: Batch) -> None:
        try:
            super()._save(batch)
        except StoreUnavailable:
            return


class GivesUpWhenTheStoreIsAway(Monitor):
    """A batch is saved when the store is back."""

    def _keep(self, batch: Batch) -> bool:
        super()._keep(batch)
        return True


class DropsWhatIsHandedBack(Monitor):
    """What a stop did not get to is given back to the broker."""

    def _settle(self, batch: Batch) -> None:
        kept = [item for item in batch.items if not item.verdict.hands_back]
        super()._settle(attrs.evolve(batch, items=kept))


class AcknowledgesWhatIsLeftToTheBroker(Monitor):
    """Without `ack_failures` a failed task stays with the broker."""

    def _settle(self, batch: Batch) -> None:
        items = [
            attrs.evolve(item, verdict=Verdict.SAVE)
            if item.verdict is Verdict.SAVE_AND_LEAVE
            else item
            for item in batch.items
        ]
        super()._settle(attrs.evolve(batch, items=items))


class KeepsNewReceiptsToItself(Monitor):
    """A receipt that a renewal has changed is the one that is acknowledged by."""

    def _renew(self, receipts: Sequence[str]) -> None:
        self._broker.extend_many(receipts)


# The pusher and the worker.


class LeavesPoisonInTheQueue(Pusher):
    """A package that cannot be opened is failed with the broker, and not delivered for ever."""

    def _open(self, received):
        delivery = super()._open(received)
        self._unfailed.clear()
        return delivery


class DropsABatchWithPoison(Pusher):
    """A package that cannot be opened stops no other."""

    def _pass_on(self, packages):
        try:
            for _, package in packages:
                self._codec.open(package)
        except BadPackage:
            return
        super()._pass_on(packages)


class FetchesWithoutCredit(Pusher):
    """No more is fetched than there is room for."""

    def _hear(self) -> None:
        super()._hear()
        self._credit = max(self._credit, 50)


class OutlivesItsSentinel(Worker):
    """No worker lives on when its sentinel is gone."""

    def step(self) -> Wait | None:
        wait = super().step()
        return Wait(1.0) if wait is None and self._link.ended else wait


class TellsWhatItBeganTooLate(Worker):
    """The sentinel knows which task a worker has begun before it runs.

    It says that it begins only together with the result.
    """

    def step(self) -> Wait | None:
        link, self._link = self._link, _Mute(self._link, self._outbox)
        try:
            return super().step()
        finally:
            self._link = link


class _Mute:
    """Keeps what is to be sent until the task is done."""

    def __init__(self, link, outbox) -> None:
        self._link, self._outbox, self._later = link, outbox, []

    def send(self, *messages: object) -> None:
        names = [type(message).__name__ for message in messages]
        if "Started" in names:
            at = names.index("Started")
            messages, self._later = messages[:at], list(messages[at:])
        self._link.send(*messages)

    def receive(self):
        return self._link.receive()

    def take(self):
        return self._link.take()

    @property
    def ended(self) -> bool:
        return self._link.ended


# The sentinel's book.


class ForgetsWhatADeadWorkerHeld(Book):
    """What a dead worker had not begun goes to another."""

    def died(self, child, code, now, at, *, ended=False) -> list[Entry]:
        ran = super().died(child, code, now, at, ended=ended)
        for entry in list(self.queue):
            del self.entries[entry.ticket]
        self.queue.clear()
        return ran


class DropsWhatADeadWorkerRan(Book):
    """What a dead worker ran is run again, or has a failure that says so."""

    def _settle_death(self, entry: Entry, line: str, now: float, at: datetime) -> None:
        del self.entries[entry.ticket]


class RunsAgainWhatADeadWorkerRan(Book):
    """A task that kills its workers has so many attempts and no more."""

    def _settle_death(self, entry: Entry, line: str, now: float, at: datetime) -> None:
        if entry.overdue:
            super()._settle_death(entry, line, now, at)
        else:
            self.queue.append(Entry(entry.ticket, entry.delivery))
            self.entries[entry.ticket] = self.queue[-1]


class ForgetsTheMonitorsBatch(Book):
    """A monitor that dies loses no outcome."""

    def monitor_gone(self) -> None:
        self._batches.clear()


class WaitsForTheDeadMonitor(Book):
    """What a dead monitor had goes to the next one."""

    def monitor_gone(self) -> None:
        """It will answer some day."""


class CountsNothingThatIsHandedBack(Book):
    """A run that was begun counts as an attempt."""

    def _settle(self, entry: Entry, verdict: Verdict, outcome: Outcome | None) -> None:
        if verdict is Verdict.HAND_BACK:
            verdict = Verdict.HAND_BACK_UNBEGUN
        super()._settle(entry, verdict, outcome)


class ForgetsTheQueueInAStop(Book):
    """What waits in memory when a stop hastens is given back."""

    def recall(self) -> None:
        for entry in self.queue:
            del self.entries[entry.ticket]
        self.queue.clear()


class NeverOverdue(Book):
    """A task that overruns its time limit is ended."""

    def overdue(self, now: float) -> list:
        return []

    def next_deadline(self) -> None:
        return None


class LetsLeasesRunOut(Book):
    """The lease of a task that is being worked on is renewed."""

    def receipts(self) -> tuple[str, ...]:
        return ()


class NeverRefuses(Book):
    """A task that was delivered too often is a failure."""

    def arrive(self, deliveries, at: datetime) -> None:
        super().arrive([attrs.evolve(one, attempt=1) for one in deliveries], at)


class GivesAPairToAWorker(Book):
    """A worker runs no more tasks than `recycle` says."""

    def join(self, child, *, capacity: int = 1, budget: int | None = None) -> None:
        super().join(child, capacity=capacity, budget=None if budget is None else budget + 1)


# The sentinel's supervision and its stop.


class NoneAfterADeathAtStart(Supervision):
    """A child that dies before it is ready has a successor."""

    def _apply(self, child: Child, event: ChildEvent) -> tuple[Order, ...]:
        table = {
            **CHILD_TRANSITIONS,
            (ChildState.STARTING, ChildEvent.EXITED): (ChildState.GONE, ()),
        }
        child.state, orders = move(table, child.state, event)
        return orders


class NoneAfterADeath(Supervision):
    """A child that dies has a successor."""

    def _apply(self, child: Child, event: ChildEvent) -> tuple[Order, ...]:
        table = {
            **CHILD_TRANSITIONS,
            (ChildState.RUNNING, ChildEvent.EXITED): (ChildState.GONE, ()),
        }
        child.state, orders = move(table, child.state, event)
        return orders


class NoneAfterAFailedSpawn(Supervision):
    """A child that could not be started is tried again."""

    def unable(self, id, now: float, reason: str) -> None:
        del self.children[id]


def with_book(kind: type[Book]) -> type[Sentinel]:
    class WithBook(Sentinel):
        def __init__(self, **ports) -> None:
            super().__init__(**ports)
            self.book = kind(self.book.policy, self.book.pace)

    return WithBook


def with_supervision(kind: type[Supervision]) -> type[Sentinel]:
    class WithSupervision(Sentinel):
        def __init__(self, **ports) -> None:
            super().__init__(**ports)
            self.supervision = kind(self._plan.seats)

    return WithSupervision


class KeepsTheCreditOfADeadPusher(Sentinel):
    """The successor of a pusher is given what there is room for."""

    def _bury(self, now: float) -> None:
        credit = self._credit
        super()._bury(now)
        self._credit = credit

    def _welcome(self, child, pid: int) -> None:
        credit = self._credit
        super()._welcome(child, pid)
        self._credit = credit


class DoesNotHearLastWords(Sentinel):
    """What a child said before it died is heard."""

    def _bury(self, now: float) -> None:
        links = {child: _Silent(link) for child, link in self._links.items()}
        loud, self._links = self._links, links
        super()._bury(now)
        self._links = {child: link for child, link in loud.items() if child in links}


class _Silent:
    def __init__(self, link) -> None:
        self._link = link

    def receive(self):
        return ()


class OpensTheSuccessorEarly(Sentinel):
    """One seat runs one task at a time, also while its worker is replaced."""

    def _open_seats(self) -> None:
        for child in self.supervision.of(Role.WORKER):
            if child.id in self.book.workers:
                self.book.workers[child.id].open = child.state is ChildState.RUNNING


class NeverSendsTheRetiredAway(Sentinel):
    """A worker that has been replaced leaves."""

    def _successor(self, old) -> None:
        return None


class StopsWithAFullQueue(Sentinel):
    """A stop works off what waits in memory."""

    def _look_round(self, now: float):
        return attrs.evolve(super()._look_round(now), queued=0)


class StopsWithoutSaving(Sentinel):
    """A stop ends when all outcomes are saved."""

    def _look_round(self, now: float):
        return attrs.evolve(super()._look_round(now), unsaved=0, monitors=0)


class SaysThatAllWentWell(Command):
    """A stop that ended work before its time says so."""

    def _hear(self) -> None:
        super()._hear()
        self.cut_short = False


class TellsTheSentinelOnlyOnce(Command):
    """A second and a third stop signal are passed on."""

    def _pass_on(self, now: float) -> None:
        if not self._asked:
            super()._pass_on(now)


class MourningCommand(Command):
    """A sentinel that dies has a successor.

    It starts no second sentinel.
    """

    def _hire(self, now: float) -> None:
        if not self._spent:
            self._spent = True
            super()._hire(now)

    _spent = False


def _books(*kinds: type[Book]) -> dict[str, Parts]:
    return {kind.__name__: Parts(sentinel=with_book(kind)) for kind in kinds}


def _supervisions(*kinds: type[Supervision]) -> dict[str, Parts]:
    return {kind.__name__: Parts(sentinel=with_supervision(kind)) for kind in kinds}


def _parts(port: str, *kinds: type) -> dict[str, Parts]:
    return {kind.__name__: Parts(**{port: kind}) for kind in kinds}


MUTANTS: dict[str, Parts] = {
    **_parts(
        "monitor",
        AcknowledgesBeforeItSaves,
        AcknowledgesWhatItCouldNotSave,
        AcknowledgesWhatIsLeftToTheBroker,
        DropsWhatIsHandedBack,
        GivesUpWhenTheStoreIsAway,
        KeepsNewReceiptsToItself,
    ),
    **_parts("pusher", DropsABatchWithPoison, FetchesWithoutCredit, LeavesPoisonInTheQueue),
    **_parts("worker", OutlivesItsSentinel, TellsWhatItBeganTooLate),
    **_books(
        CountsNothingThatIsHandedBack,
        DropsWhatADeadWorkerRan,
        ForgetsTheMonitorsBatch,
        ForgetsTheQueueInAStop,
        ForgetsWhatADeadWorkerHeld,
        GivesAPairToAWorker,
        LetsLeasesRunOut,
        NeverOverdue,
        NeverRefuses,
        RunsAgainWhatADeadWorkerRan,
        WaitsForTheDeadMonitor,
    ),
    **_supervisions(NoneAfterADeath, NoneAfterADeathAtStart, NoneAfterAFailedSpawn),
    **_parts(
        "sentinel",
        DoesNotHearLastWords,
        KeepsTheCreditOfADeadPusher,
        NeverSendsTheRetiredAway,
        OpensTheSuccessorEarly,
        StopsWithAFullQueue,
        StopsWithoutSaving,
    ),
    **_parts("command", MourningCommand, SaysThatAllWentWell, TellsTheSentinelOnlyOnce),
    **_parts("broker", CountsWhatWasNotBegun, ForgetsTheCount, LosesWhatIsTaken),
    **_parts("store", KeepsTheLatest, LosesFailures),
    **COMPOSITION_MUTANTS,
    **CLUSTER_MUTANTS,
}
