"""Stands in the middle: hears every box, keeps the book, and sees that every seat is filled.

It makes no broker call and no database call and runs no user code, so it never hangs. All that it
decides is decided in `core`: `Supervision` (who lives), `Book` (who gets what), `Closing` (how far a
stop is). This class carries messages between them and the ports.

A step always goes the same way: hear what was said, learn who died, let the time limits speak, move
the stop procedure on, fill seats, hand out. What a dead child had still said is heard before its
death is judged.
"""

from __future__ import annotations

from djq.components.telling import Teller
from djq.core.closing import Closing, Facts
from djq.core.dispatch import Book
from djq.core.events import (
    ChildReady,
    ChildReplaced,
    ClusterRunning,
    ProcessesStopping,
    SpawnFailed,
    StopCutShort,
)
from djq.core.lifecycle import BRINGERS, Cause, ChildId, ChildState, ClusterState, Role
from djq.core.pace import Pace
from djq.core.picture import facts_of
from djq.core.plan import Plan
from djq.core.protocol import (
    Assign,
    Credit,
    Deliveries,
    Empty,
    Health,
    Keep,
    Kept,
    Probe,
    Ready,
    Renew,
    Renewed,
    Retire,
    Returned,
    Started,
    Stop,
    StopLevel,
)
from djq.core.settlement import describe_exit
from djq.core.supervision import Supervision
from djq.ports import Link, Spawner, Surroundings, Wait

SOON_SECONDS = 0.05
"""When a renewal that is due has no monitor yet, look again so soon."""


class Sentinel:
    """One round of hearing, judging and telling a step; done when the cluster has stopped."""

    def __init__(
        self,
        *,
        plan: Plan,
        spawner: Spawner,
        command: Link,
        around: Surroundings,
        cluster_id: str,
        label: str,
        pid: int,
    ) -> None:
        """`command` is the link to the process that started the cluster; `label` as in `Process-1`."""
        self._plan = plan
        self._spawner = spawner
        self._command = command
        self._around = around
        self._cluster_id = cluster_id
        self._label = label
        self._pid = pid
        pace = Pace(workers=plan.seats.get(Role.WORKER, 0), queue_limit=plan.queue_limit)
        self.book = Book(plan.policy, pace)
        self.supervision = Supervision(plan.seats)
        self.closing = Closing(stop_timeout=plan.stop_timeout)
        self._teller = Teller(
            command=command,
            clock=around.clock,
            guard_cycle=plan.guard_cycle,
            closing=self.closing,
            supervision=self.supervision,
            book=self.book,
        )
        self._links: dict[ChildId, Link] = {}
        self._credit = 0
        self._probe = 0
        self._probing = False
        self._greeted = False
        self._renew_at = 0.0
        self._confirmed_at = 0.0
        self._told: dict[ChildId, int] = {}
        self._told_running = False

    def step(self) -> Wait | None:
        """Hear, judge, tell. None: the cluster has stopped."""
        now = self._around.clock.monotonic()
        if not self._greeted:
            self._greeted = True
            self._around.observer.notify(ChildReady(Role.SENTINEL, self._label, self._pid))
        self._hear_command(now)
        for child, link in list(self._links.items()):
            self._hear(child, link, now)
        self._bury(now)
        self._enforce(now)
        facts = self._close(now)
        if self.closing.state is ClusterState.STOPPED:
            self._leave(now)
            return None
        self._hire(facts, now)
        self._hand_out(now)
        self._renew(now)
        self._teller.tell(now)
        return Wait(self._patience(facts, now))

    # Hearing.

    def _hear_command(self, now: float) -> None:
        for message in self._command.receive():
            if isinstance(message, Stop):
                self._ask(message.level, now)
        if self._command.ended and self.closing.level is None:
            # Whoever started the cluster is gone: nobody is left to stop it later.
            self._ask(StopLevel.GENTLE, now)

    def _ask(self, level: StopLevel, now: float) -> None:
        first = self.closing.level is None
        if self.closing.ask(level, now) and first:
            self._around.observer.notify(ProcessesStopping(self._label))

    def _hear(self, child: ChildId, link: Link, now: float) -> None:
        for message in link.receive():
            match message:
                case Started(ticket):
                    self.book.started(child, ticket, now)
                case Returned(ticket, outcome):
                    self.book.returned(child, ticket, outcome)
                case Deliveries(items):
                    self._credit -= len(items)
                    self._probing = False
                    self.book.arrive(items, self._around.clock.now())
                case Kept(tickets):
                    self._confirmed_at = now
                    self.book.kept(tickets)
                case _:
                    self._hear_rare(child, message, now)

    def _hear_rare(self, child: ChildId, message: object, now: float) -> None:
        match message:
            case Renewed(pairs):
                self.book.renewed(pairs)
            case Ready(pid):
                self._welcome(child, pid)
            case Retire(reason):
                self._retire(child, now, reason, Cause.MAX_RSS)
            case Health():
                self._teller.hear(child, message)
            case Empty(serial):
                self._hear_empty(serial, now)

    def _welcome(self, child: ChildId, pid: int) -> None:
        self.supervision.ready(child, pid)
        label = f"{self._label}:{self.supervision.children[child].number}"
        self._around.observer.notify(ChildReady(child.role, label, pid))
        if child.role is Role.PUSHER:
            self._credit = 0
        if child.role is Role.WORKER:
            self.book.join(child, budget=self._plan.recycle)

    def _hear_empty(self, serial: int, now: float) -> None:
        if self._probing and serial == self._probe and not self.book.entries:
            self._ask(StopLevel.GENTLE, now)

    # Deaths and limits.

    def _bury(self, now: float) -> None:
        for death in self._spawner.exits():
            child = death.child
            link = self._links.pop(child)
            self._hear(child, link, now)
            self._spawner.forget(child)
            self._told.pop(child, None)
            self._teller.forget(child)
            self.supervision.exited(child, now, describe_exit(death.code))
            if child.role is Role.WORKER:
                ended = self.closing.ends_running
                ran = self.book.died(child, death.code, now, self._around.clock.now(), ended=ended)
                if ran and ended:
                    self.closing.note_cut(f"{len(ran)} running tasks were ended by stop_timeout")
            elif child.role is Role.MONITOR:
                self.book.monitor_gone()
            elif child.role is Role.PUSHER:
                self._credit = 0
                self._probing = False

    def _enforce(self, now: float) -> None:
        self.closing.check_patience(now)
        late = [*self.book.overdue(now), *self.supervision.late_starters(now)]
        if self.closing.ends_running:
            late += [child.id for child in self.supervision.of(Role.WORKER)]
        if self.closing.pusher_is_late(now):
            bringers = [child.id for role in BRINGERS for child in self.supervision.of(role)]
            if bringers:
                self.closing.note_cut("the pusher did not come back from the broker in time")
            late += bringers
        for child in late:
            if self.supervision.overdue(child):
                self._spawner.kill(child)
        for child in self.book.stuck(now):
            self._take_back(child)

    def _take_back(self, child: ChildId) -> None:
        """Take back what the worker has not taken yet."""
        self.book.take_back(child, [ticket for ticket, _ in self._links[child].recall()])

    # Recycling: the successor starts first, the old one leaves when it holds nothing.

    def _recycle(self, now: float) -> None:
        for child in self.book.exhausted():
            self._retire(child, now, f"{self._plan.recycle} tasks done", Cause.RECYCLE)
        for old in self.supervision.of(Role.WORKER):
            if old.state is not ChildState.RETIRING or self.book.holds(old.id):
                continue
            # In a stop the successor may have left already; who waits for it would wait for ever.
            if self._successor(old.id) or self.closing.state is ClusterState.DRAINING:
                self._tell_stop(old.id, StopLevel.GENTLE)

    def _retire(self, child: ChildId, now: float, reason: str, cause: Cause) -> None:
        if self.supervision.children[child].state is ChildState.RUNNING:
            self.book.close(child)
            self.supervision.retire(child, now, reason, cause)

    def _successor(self, old: ChildId) -> ChildId | None:
        """The running child in the seat of a retiring one. None: it is not ready yet."""
        for child in self.supervision.of(Role.WORKER):
            if child.id.slot == old.slot and child.state is ChildState.RUNNING:
                return child.id
        return None

    def _open_seats(self) -> None:
        """Let each ready worker take tasks whose seat has no elder that still holds some."""
        elders = {
            child.id.slot
            for child in self.supervision.of(Role.WORKER)
            if child.state is not ChildState.RUNNING and self.book.holds(child.id)
        }
        for child in self.supervision.of(Role.WORKER):
            if child.id in self.book.workers:
                running = child.state is ChildState.RUNNING
                self.book.workers[child.id].open = running and child.id.slot not in elders

    # The stop procedure.

    def _close(self, now: float) -> Facts:
        facts = self._look_round(now)
        self.closing.advance(facts, now)
        state = self.closing.state
        if state is ClusterState.WORKING and not self._told_running:
            self._told_running = True
            self._around.observer.notify(ClusterRunning(self._cluster_id))
        if self.closing.level is None or state is ClusterState.STOPPED:
            return facts
        for role in BRINGERS:
            for child in self.supervision.of(role):
                self._tell_stop(child.id, StopLevel.GENTLE)
        if self.closing.is_hasty:
            for worker in list(self.book.workers):
                self._take_back(worker)
            self.book.recall()
            self._stop_workers(StopLevel.HASTY)
        elif state is ClusterState.DRAINING:
            self._drain(now)
        if state is ClusterState.SAVING:
            self._save_the_rest(now)
        return self._look_round(now)

    def _drain(self, now: float) -> None:
        if not self.book.queue:
            self._stop_workers(StopLevel.GENTLE)
        elif not self.book.workers:
            self.supervision.reopen(Role.WORKER, now)

    def _save_the_rest(self, now: float) -> None:
        if self.book.unsaved:
            self.supervision.reopen(Role.MONITOR, now)
            return
        for child in self.supervision.of(Role.MONITOR):
            self._tell_stop(child.id, StopLevel.GENTLE)

    def _stop_workers(self, level: StopLevel) -> None:
        for child in self.supervision.of(Role.WORKER):
            if level is StopLevel.HASTY or not self.book.holds(child.id):
                self._tell_stop(child.id, level)

    def _tell_stop(self, child: ChildId, level: StopLevel) -> None:
        if self._told.get(child, 0) < level:
            self._told[child] = level
            self.book.close(child)
            self.supervision.stop(child)
            self._links[child].send(Stop(level))

    def _look_round(self, now: float) -> Facts:
        return facts_of(self.closing, self.supervision, self.book, self._confirmed_at, now)

    def _leave(self, now: float) -> None:
        for child in list(self.supervision.children):
            self._spawner.kill(child)
        if self.closing.cut_short is not None:
            self._around.observer.notify(StopCutShort(self.closing.cut_short))
        self._teller.tell(now)

    # Filling seats and handing out.

    def _hire(self, facts: Facts, now: float) -> None:
        for hiring in self.supervision.hire(now, self.closing.wanted(facts)):
            role, label = hiring.child.role, f"{self._label}:{hiring.number}"
            try:
                self._links[hiring.child] = self._spawner.spawn(hiring.child, label)
            except OSError as error:
                self.supervision.unable(hiring.child, now, f"could not be started: {error}")
                self._around.observer.notify(SpawnFailed(role, str(error)))
                continue
            if hiring.cause is not None:
                self._teller.replaced(hiring.cause)
                event = ChildReplaced(role, label, hiring.reason, hiring.recycled)
                self._around.observer.notify(event)

    def _hand_out(self, now: float) -> None:
        self._recycle(now)
        self._open_seats()
        if not self.closing.is_hasty:
            for child, entries in self.book.assign(now):
                self._links[child].send(Assign(tuple((e.ticket, e.delivery) for e in entries)))
            for child, entries in self.book.assign_ahead(now):
                offers = [(entry.ticket, entry.delivery) for entry in entries]
                room = self._links[child].offer(*offers)
                self.book.take_back(child, [ticket for ticket, _ in offers[room:]])
        monitor = self._first(Role.MONITOR)
        while monitor is not None and (batch := self.book.next_batch()):
            self._links[monitor].send(Keep(batch))
        pusher = self._first(Role.PUSHER)
        if pusher is not None and self.closing.level is None:
            self._give_credit(self._links[pusher])

    def _give_credit(self, pusher: Link) -> None:
        # In steps of a quarter: a credit of one would cost a round trip to the broker each.
        step = max(self.book.pace.queue_limit // 4, 1)
        free = self.book.room() - self._credit
        if free >= step or (free < 0 and -free >= step and self._credit > 0):
            self._credit += free
            pusher.send(Credit(free))
        # Not before all are ready: a scheduler that has just begun may have something due.
        whole = self.closing.state is ClusterState.WORKING
        if self._plan.run_once and whole and not self.book.entries and not self._probing:
            self._probing = True
            self._probe += 1
            pusher.send(Probe(self._probe))

    def _renew(self, now: float) -> None:
        if not self._holds_leases:
            # What comes after this step was leased after it, or about then.
            self._renew_at = now + self._plan.lease_seconds / 3
            return
        if now < self._renew_at:
            return
        monitor = self._first(Role.MONITOR)
        if monitor is None:
            # Not put off: the next one renews as soon as it is ready.
            return
        self._renew_at = now + self._plan.lease_seconds / 3
        self._links[monitor].send(Renew(self.book.receipts()))

    @property
    def _holds_leases(self) -> bool:
        return self._plan.policy.receipts and bool(self.book.entries)

    def _first(self, role: Role) -> ChildId | None:
        """The child of a role that has one seat. None: it is not ready, or leaving."""
        for child in self.supervision.of(role):
            if child.state is ChildState.RUNNING:
                return child.id
        return None

    # Waiting.

    def _patience(self, facts: Facts, now: float) -> float:
        """Seconds until time alone gives something to do."""
        moments = [
            self._teller.due_at,
            max(self._renew_at, now + SOON_SECONDS) if self._holds_leases else None,
            self.book.next_deadline(),
            self.book.next_stuck(),
            self.closing.next_due(),
            self.supervision.next_due(self.closing.wanted(facts)),
        ]
        return max(min(m for m in moments if m is not None) - now, 0.0)
