"""Keeps outcomes: saves a batch, sends what follows, acknowledges the batch, tells the sentinel.

Always in that order. A batch is whatever has come since the last one. It goes through stages, and a
stage that fails is tried again after a pause, without repeating the stages before it; where the
broker lives in the store's own database, all of it is one transaction instead.

An outcome that the store can never keep as it is (a value too large for its column, say) is found
by halving the batch, and a failure that says so is kept in its place. What the broker can never take
(a package too large for it) stops nobody either: a hook is told of and left out, and a chain's link,
or a task that cannot be handed back, is a failure that says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import attrs

from djq.components.backoff import Backoff
from djq.components.ends import ends_of
from djq.components.following import Batch, Followers
from djq.components.sealing import send_all
from djq.core.call import load_value
from djq.core.codec import Codec
from djq.core.events import (
    BatchSaved,
    ChildStopped,
    HookFailed,
    TaskHandedBack,
    TaskSaved,
    TaskUnsaved,
    about,
)
from djq.core.frame import pack, unpack
from djq.core.gathering import Gathered
from djq.core.lifecycle import Role
from djq.core.message import Finished, Kind
from djq.core.protocol import Health, Keep, Kept, Ready, Renew, Renewed, Settled, Stop, Verdict
from djq.core.report import error_of, report_facts
from djq.core.settlement import bare, failure, was_stopped
from djq.exceptions import BrokerUnavailable, StoreRefused, StoreUnavailable
from djq.ports import Broker, Link, ResultStore, ScheduleStore, Surroundings, Wait

BATCH_MAX = 500
NAMED_SUCCESSES_MAX = 10
"""In a larger batch the successes are told as a number; failures are always told one by one."""
REFUSALS_MAX = 2
"""A task that the store refuses even when it is bare has only the log."""


class Monitor:
    """One batch a step."""

    def __init__(
        self,
        *,
        link: Link,
        broker: Broker,
        store: ResultStore,
        codec: Codec,
        around: Surroundings,
        label: str,
        pid: int,
        schedules: ScheduleStore | None = None,
    ) -> None:
        """`schedules` are told how their tasks ended. None: nobody is."""
        self._link = link
        self._broker = broker
        self._store = store
        self._schedules = schedules
        self._codec = codec
        self._around = around
        self._label = label
        self._pid = pid
        self._one_unit = store.alias is not None and broker.database == store.alias
        self._followers = Followers(
            broker=broker, store=store, codec=codec, clock=around.clock, one_unit=self._one_unit
        )
        self._store_pauses = Backoff("result store", around, self._tell_health)
        self._broker_pauses = Backoff("broker", around, self._tell_health)
        self._renewals = Backoff("broker (renewing leases)", around)
        self._pending: deque[Settled] = deque()
        self._batch: Batch | None = None
        self._batch_max = BATCH_MAX
        self._refusals = 0
        self._renewed: dict[str, str] = {}
        self._stopping = False
        self._greeted = False

    def step(self) -> Wait | None:
        """Keep what has come. None: told to leave, or the sentinel is gone, and nothing is left."""
        if not self._greeted:
            self._greeted = True
            self._link.send(Ready(self._pid))
        self._hear()
        pause = self._pause()
        if pause > 0 and not self._link.ended:
            return Wait(pause)
        if self._batch is None and self._pending:
            self._batch = self._take()
        if self._batch is not None:
            if self._keep(self._batch):
                self._batch = None
                return Wait(0.0)
            if not self._link.ended:
                return Wait(self._pause())
        if self._stopping or self._link.ended:
            self._around.observer.notify(ChildStopped(Role.MONITOR, self._label, self._pid))
            return None
        return Wait(None)

    def _tell_health(self) -> None:
        # Renewals are left out: nobody may renew again for long, and so nobody would hear of the answer.
        health = Health(broker=self._broker_pauses.since, store=self._store_pauses.since)
        self._link.send(health)

    def _pause(self) -> float:
        return max(self._store_pauses.seconds_left(), self._broker_pauses.seconds_left())

    def _hear(self) -> None:
        for message in self._link.receive():
            match message:
                case Keep(items):
                    self._pending.extend(items)
                case Renew(receipts):
                    self._renew(receipts)
                case Stop():
                    self._stopping = True

    def _renew(self, receipts: Sequence[str]) -> None:
        self._forget_renewed(receipts)
        changed: Mapping[str, str]
        try:
            changed = self._broker.extend_many([self._present(receipt) for receipt in receipts])
        except BrokerUnavailable as error:
            # No pause: the next renewal comes well before the lease ends.
            self._renewals.failed(error)
            changed = error.changed
        else:
            self._renewals.answered()
        if changed:
            # Each step is told, since the sentinel may know an earlier or a later name by then.
            self._renewed.update(changed)
            self._link.send(Renewed(tuple(changed.items())))

    def _present(self, receipt: str) -> str:
        """The receipt by which the broker knows it now: a batch that waits may be renewed twice."""
        while receipt in self._renewed:
            receipt = self._renewed[receipt]
        return receipt

    def _forget_renewed(self, receipts: Sequence[str]) -> None:
        """Keep only the changes that somebody may still ask for.

        Links keep their order: what the sentinel sends after these receipts has one of them, or
        one that they have become.
        """
        batch = self._batch.items if self._batch is not None else []
        here = [item.delivery.receipt for item in (*self._pending, *batch)]
        needed: dict[str, str] = {}
        for receipt in (*receipts, *here):
            name = receipt
            while name is not None and name in self._renewed:
                newer = self._renewed[name]
                needed[name] = newer
                name = newer
        self._renewed = needed

    def _take(self) -> Batch:
        items = [self._pending.popleft() for _ in range(min(len(self._pending), self._batch_max))]
        finished, final = [], []
        for item in items:
            if item.outcome is not None:
                one = Finished(unpack(item.delivery.frame), item.outcome, item.delivery.attempt)
                finished.append(one)
                if item.verdict is Verdict.SAVE:
                    final.append(one)
        return Batch(items, finished, final)

    def _keep(self, batch: Batch) -> bool:
        """Take the batch through its stages; False when a service did not answer."""
        stages: list[Callable[[Batch], None]] = [
            self._save,
            self._follow,
            self._followers.mark,
            self._settle,
        ]
        try:
            if self._one_unit:
                with self._store.unit():
                    for stage in stages:
                        stage(batch)
                self._followers.confirm(batch)
            else:
                for stage in stages[batch.stage :]:
                    stage(batch)
                    batch.stage += 1
        except StoreUnavailable as error:
            self._store_pauses.failed(error)
            return False
        except BrokerUnavailable as error:
            # The store was asked first.
            self._store_pauses.answered()
            self._broker_pauses.failed(error)
            return False
        except StoreRefused as error:
            self._part(batch, error)
            return True
        self._store_pauses.answered()
        self._broker_pauses.answered()
        self._batch_max = min(self._batch_max * 2, BATCH_MAX)
        self._refusals = 0
        self._pending.extendleft(reversed(batch.returned))
        returned = {item.ticket for item in batch.returned}
        done = [item for item in batch.items if item.ticket not in returned]
        self._link.send(Kept(tuple(item.ticket for item in done)))
        self._tell(done, batch)
        self._report(done, batch)
        return True

    def _save(self, batch: Batch) -> None:
        if self._refusals > REFUSALS_MAX:
            return
        self._followers.look_ahead(batch)
        # Of an element only the last word counts: it may be the one that completes the iter.
        tasks = [
            *(
                one
                for one in batch.finished
                if one.message.kind is Kind.TASK and not one.message.iter
            ),
            *(one for one in batch.final if one.message.iter),
        ]
        if not tasks:
            return
        self._keep_tasks(tasks, batch)
        ends = ends_of(tasks)
        if ends and self._schedules is not None:
            self._schedules.ended(ends)

    def _keep_tasks(self, tasks: Sequence[Finished], batch: Batch) -> None:
        try:
            batch.gathered = self._store.save([*tasks, *batch.stopped])
        except StoreRefused:
            if len(batch.items) > 1 or not batch.stopped:
                raise
            # A link must not lose its outcome because of another that never ran.
            batch.gathered = self._store.save(tasks)
            batch.stopped = self._followers.save_apart(batch.stopped, batch)

    def _follow(self, batch: Batch) -> None:
        self._followers.send(batch)

    def _settle(self, batch: Batch) -> None:
        done: list[str] = []
        back: list[tuple[Settled, str | None]] = []
        for item in batch.items:
            receipt = item.delivery.receipt
            if receipt is not None:
                receipt = self._present(receipt)
            if item.verdict.hands_back:
                back.append((item, receipt))
            elif item.verdict is Verdict.SAVE and receipt is not None:
                done.append(receipt)
        if done and self._broker.receipts:
            self._broker.acknowledge_many(done)
        if back and self._broker.receipts:
            self._release(back)
        elif back:
            self._send_back([item for item, _ in back if item.ticket not in batch.handed], batch)

    def _send_back(self, items: Sequence[Settled], batch: Batch) -> None:
        """Put packages in a queue that keeps none while they are out; those that no earlier try has."""
        try:
            refused = send_all(self._broker, self._codec, [item.delivery.frame for item in items])
        except BrokerUnavailable as error:
            # What was sent in a unit is taken back with it.
            if not self._one_unit:
                batch.handed.update(items[place].ticket for place in error.sent)
            raise
        batch.returned = [
            self._failed(items[place], f"TaskRefused: it could not be handed back: {reason}")
            for place, reason in refused.items()
        ]

    def _release(self, back: Sequence[tuple[Settled, str | None]]) -> None:
        for verdict, begun in ((Verdict.HAND_BACK, True), (Verdict.HAND_BACK_UNBEGUN, False)):
            receipts = [r for item, r in back if item.verdict is verdict and r is not None]
            if receipts:
                self._broker.release_many(receipts, begun=begun)

    def _part(self, batch: Batch, error: StoreRefused) -> None:
        """Look for what the store refused: in smaller batches, until one stands alone."""
        if len(batch.items) > 1:
            self._pending.extendleft(reversed(batch.items))
            self._batch_max = len(batch.items) // 2
            return
        self._refusals += 1
        self._batch_max = 1
        message, attempt = batch.finished[0].message, batch.finished[0].attempt
        self._around.observer.notify(TaskUnsaved(*about(message, attempt), str(error)))
        line = f"StoreRefused: the outcome could not be saved: {error}"
        item = self._failed(batch.items[0], line)
        if self._refusals > 1:
            # Not the value, then: the call itself. What is left names the task and says what happened.
            frame = pack(bare(message))
            item = attrs.evolve(item, delivery=attrs.evolve(item.delivery, frame=frame))
        self._pending.appendleft(item)

    def _failed(self, item: Settled, line: str) -> Settled:
        """The delivery as a failure that is to be kept."""
        outcome = failure(line, self._around.clock.now())
        verdict = Verdict.SAVE if item.verdict.hands_back else item.verdict
        return attrs.evolve(item, verdict=verdict, outcome=outcome)

    def _tell(self, done: Sequence[Settled], batch: Batch) -> None:
        notify = self._around.observer.notify
        quiet = len(done) > NAMED_SUCCESSES_MAX
        if quiet:
            notify(BatchSaved(len(done)))
        for item in done:
            if item.verdict.hands_back:
                message = unpack(item.delivery.frame)
                notify(TaskHandedBack(*about(message, item.delivery.attempt)))
        for unsaved in batch.unsaved.values():
            notify(unsaved)
        for finished in (*batch.finished, *batch.stopped, *batch.unsent):
            self._tell_one(finished, quiet=quiet)
        for gathered in batch.gathered:
            self._tell_gathered(gathered)
        for unfollowed in batch.unfollowed:
            notify(unfollowed)

    def _report(self, done: Sequence[Settled], batch: Batch) -> None:
        """Report what ended badly without an exception; of that its worker knows, and has reported it."""
        reporter = self._around.reporter
        if reporter is None:
            return
        for item in done:
            if item.death:
                message = unpack(item.delivery.frame)
                facts = report_facts(message, item.delivery.attempt)
                reporter.report(error_of(item.death), facts)
        for finished in (*batch.finished, *batch.unsent):
            outcome = finished.outcome
            if not (outcome.success or outcome.traceback or was_stopped(finished)):
                error = error_of(str(load_value(outcome.value)))
                reporter.report(error, report_facts(finished.message, finished.attempt))

    def _tell_one(self, finished: Finished, *, quiet: bool) -> None:
        message, outcome = finished.message, finished.outcome
        if outcome.success and (quiet or message.kind is Kind.HOOK):
            return
        error = "" if outcome.success else str(load_value(outcome.value))
        facts = about(message, finished.attempt)
        if message.kind is Kind.HOOK:
            self._around.observer.notify(HookFailed(*facts, error, outcome.traceback))
            return
        self._around.observer.notify(TaskSaved(*facts, outcome.success, error, outcome.seconds))

    def _tell_gathered(self, gathered: Gathered) -> None:
        finished, outcome = gathered.finished, gathered.finished.outcome
        facts = about(finished.message, finished.attempt)
        seconds = (outcome.stopped_at - finished.message.enqueued_at).total_seconds()
        self._around.observer.notify(TaskSaved(*facts, outcome.success, gathered.line, seconds))
