"""Deliberately broken schedulers and schedule stores, each with a mistake that somebody could make."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from djq.components.scheduler import Scheduler
from djq.core.schedules import decide
from djq_testing.schedules import MemoryScheduleStore
from djq_testing.sim.schedules import ScheduleParts


class SendsOutsideTheTransaction(Scheduler):
    """Where they share a database, a slot's task is sent with its row, or neither.

    Takes and writes in one transaction, and sends before it begins.
    """

    def _work_in_one_unit(self):
        with self._store.unit():
            decisions, items = self._take()
        self._enqueue(items)
        with self._store.unit():
            self._store.put([each.change for each in decisions if each.change is not None])
        return self._told(decisions, items)


class ForgetsWhatItIsSending(Scheduler):
    """A row says what is being sent before it is.

    Writes the rows first, and nowhere that their tasks are still to be sent.
    """

    def _work_in_two(self):
        with self._store.unit():
            decisions, items = self._take()
            self._store.put([each.change for each in decisions if each.change is not None])
        self._enqueue(items)
        return self._told(decisions, items)


class SaysSentBeforeItSends(Scheduler):
    """A slot's task is sent before its row says so."""

    def _send_the_rest(self, sending):
        self._store.sent(sending.token, sending.ids)
        super()._send_the_rest(sending)


class MakesNewIdsEachTime(Scheduler):
    """A slot's task has one id, whoever sends it, and however often."""

    def _pack(self, decision):
        runs = tuple(attrs.evolve(run, task_id=self._around.ids.task_id()) for run in decision.runs)
        return super()._pack(attrs.evolve(decision, runs=runs))


class DropsWhatWasMissed(Scheduler):
    """Missed slots are made up for, where that is wanted."""

    def __init__(self, **ports):
        super().__init__(**ports)
        self._custom = attrs.evolve(self._custom, catch_up=False)


class StopsAtABadRow(Scheduler):
    """A schedule that is wrong stops no other.

    One row that cannot be read ends the whole batch.
    """

    def _take(self):
        decisions, items = super()._take()
        bad = [each for each in decisions if each.change is not None and each.change.last_error]
        return ([], []) if bad else (decisions, items)


class GoesByItsNow(Scheduler):
    """The next slot follows from the last one, not from when somebody looked.

    Reckons the next slot from now, and not from the slot that was due.
    """

    def _take(self):
        decisions, items = super()._take()
        now = self._store.now()
        return [
            attrs.evolve(each, change=attrs.evolve(each.change, next_run=self._from(each, now)))
            if each.runs and each.change.next_run is not None
            else each
            for each in decisions
        ], items

    def _from(self, decision, now):
        return now + (decision.change.next_run - decision.runs[-1].at)


class MindsNoUnfinishedRun(Scheduler):
    """`skip` makes no task while the last one is unfinished."""

    def _pack(self, decision):
        if decision.skipped:
            row = attrs.evolve(decision.row, unfinished="")
            decision = decide(row, self._store.now(), self._custom, self._zone_of, 1)
        return super()._pack(decision)


class NewestFirst(Scheduler):
    """The slots of a schedule come in their order."""

    def _pack(self, decision):
        return super()._pack(decision)[::-1]


class NeverLooksAtWhatIsHeld(Scheduler):
    """A row that a wrong clock has held comes due again.

    Trusts every lease, even one that somebody with a wrong clock has written.
    """

    def _clock_was_set_back(self, _now):
        return False


class KeepsOnce(MemoryScheduleStore):
    """A schedule that runs once is deleted when its task is sent."""

    def sent(self, token: str, ids: Sequence[int]) -> None:
        for id in ids:
            kept = self.rows.get(id)
            if kept is not None and kept.row.pending.startswith(token):
                kept.row, kept.held_until = attrs.evolve(kept.row, pending=""), None


MUTANTS = {
    kind.__name__: ScheduleParts(scheduler=kind)
    for kind in (
        *(SendsOutsideTheTransaction, ForgetsWhatItIsSending, SaysSentBeforeItSends),
        *(MakesNewIdsEachTime, DropsWhatWasMissed, StopsAtABadRow, GoesByItsNow),
        *(MindsNoUnfinishedRun, NewestFirst, NeverLooksAtWhatIsHeld),
    )
} | {"KeepsOnce": ScheduleParts(store=KeepsOnce)}
