"""Who gets what: the sentinel's book of every delivery in its hands, from arrival until it is kept.

Each delivery gets a ticket of its own, since an at-least-once broker may hand out one task twice.
The book knows where each lies: in the queue, held unstarted by a worker, running, or settled with a
verdict that the monitor has yet to carry out. It forgets a delivery only when the monitor has said
that its verdict is done, so a monitor that dies costs nothing but time.

A busy worker is given a little ahead, but only while what it runs is young, and what lies unstarted
behind a task that has become long is taken back: nothing waits behind a long task while another
worker is free, and no task waits for ever for one that lies behind itself.

When a worker dies, the book knows which tasks it had started (`settlement` decides about those) and
which only lay there: those go back to the front of the queue, untouched, with no attempt counted.

What it does not know: processes, links, the broker. It is told and it answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice

import attrs

from djq.core import settlement
from djq.core.lifecycle import TASK_TRANSITIONS, ChildId, TaskEvent, TaskState, move
from djq.core.message import Outcome
from djq.core.pace import Pace
from djq.core.protocol import Delivery, Settled, Verdict
from djq.core.settlement import Policy
from djq.core.totals import Totals

RESULTS_MAX = 2_000
RESULT_BYTES_MAX = 256 * 1024 * 1024
"""With so many (or so large) unsaved results in memory nothing new is handed out."""
KEEP_BATCH_MAX = 500
LONG_SECONDS = 0.01
"""A task that has run for so long is no short one: nothing is to lie behind it."""
BATCHES_AT_MONITOR = 2
"""One being saved, one waiting, so that the monitor never waits for the sentinel."""


@attrs.define(eq=False)
class Entry:
    """One delivery in the book."""

    ticket: int
    delivery: Delivery
    state: TaskState = TaskState.QUEUED
    deadline: float | None = None
    """Monotonic seconds; set while it runs with a limit."""
    started: float = 0.0
    """Monotonic seconds at which its worker was given it, and later began it."""
    overdue: bool = False
    settled: Settled | None = None
    weight: int = 0
    """Bytes that it keeps in memory once it is settled."""


@attrs.define(eq=False)
class Worker:
    """What the book knows of one worker."""

    child: ChildId
    capacity: int
    """Tasks that it runs at a time."""
    budget: int | None
    """Tasks that it may still be given before it retires. None: any number."""
    open: bool = True
    killed: bool = False
    """It runs a task beyond its limit, and is being killed for that."""
    cleared: bool = False
    """What lay behind its present task was taken back, and nothing more is put there."""
    held: dict[int, Entry] = attrs.Factory(dict)
    """What it was given and has not returned, in that order."""

    def oldest(self) -> Iterator[Entry]:
        """The tasks that can be running: no more than its capacity."""
        return islice(self.held.values(), self.capacity)

    @property
    def is_at_work(self) -> bool:
        """It runs as many tasks as it can, so it has heard of all that it was given before."""
        running = [entry for entry in self.oldest() if entry.state is TaskState.RUNNING]
        return len(running) == self.capacity

    def is_long(self, now: float) -> bool:
        """One of its present tasks has been there for long."""
        return any(now >= entry.started + LONG_SECONDS for entry in self.oldest())


class Book:
    """All deliveries of one cluster. Single-threaded; time comes in as an argument."""

    def __init__(self, policy: Policy, pace: Pace) -> None:
        self.policy = policy
        self.pace = pace
        self.entries: dict[int, Entry] = {}
        self.queue: deque[Entry] = deque()
        self.workers: dict[ChildId, Worker] = {}
        self._unsent: deque[Entry] = deque()
        self._batches: deque[set[int]] = deque()
        self._weight = 0
        self._settled = 0
        self._tickets = 0
        self.totals = Totals()
        """Outcomes that are kept, by function; what is told of them is taken from here."""

    # Workers come and go.

    def join(self, child: ChildId, *, capacity: int = 1, budget: int | None = None) -> None:
        """The worker is ready for its first task."""
        self.workers[child] = Worker(child, capacity, budget)

    def close(self, child: ChildId) -> None:
        """The worker gets nothing more; it finishes what it holds."""
        if child in self.workers:
            self.workers[child].open = False

    def holds(self, child: ChildId) -> int:
        """How many tasks the worker was given and has not returned."""
        worker = self.workers.get(child)
        return 0 if worker is None else len(worker.held)

    def exhausted(self) -> list[ChildId]:
        """Open workers that have been given all that they may be given."""
        return [w.child for w in self.workers.values() if w.open and w.budget == 0]

    def died(
        self, child: ChildId, code: int, now: float, at: datetime, *, ended: bool = False
    ) -> list[Entry]:
        """The worker is gone: settle what it ran, put back what it held; gives what it ran.

        `ended` says that the cluster's own stop killed it.
        """
        worker = self.workers.pop(child, None)
        if worker is None:
            return []
        ran = []
        for entry in reversed(worker.held.values()):
            was_running = entry.state is TaskState.RUNNING
            if was_running and worker.killed and not entry.overdue:
                # The late one returned at the last moment, and this one had just begun.
                entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.SPARED)
                self._settle(entry, Verdict.HAND_BACK_UNBEGUN, None)
                continue
            entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.WORKER_DIED)
            if was_running:
                line = settlement.death_line(entry.delivery, code)
                self._settle_death(entry, settlement.STOPPED_LINE if ended else line, now, at)
                ran.append(entry)
            else:
                self.queue.appendleft(entry)
        return ran

    # Tasks come, run and end.

    def arrive(self, deliveries: Sequence[Delivery], at: datetime) -> None:
        """Deliveries came from the broker; one with too many attempts is settled here."""
        for delivery in deliveries:
            self._tickets += 1
            entry = Entry(self._tickets, delivery)
            self.entries[entry.ticket] = entry
            refusal = settlement.refusal_line(delivery, self.policy)
            if refusal is None:
                self.queue.append(entry)
            else:
                entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.REFUSED)
                self._settle(entry, Verdict.SAVE, settlement.failure(refusal, at))

    def assign(self, now: float) -> list[tuple[ChildId, list[Entry]]]:
        """Give the oldest of the queue to workers that have nothing to do."""
        if not self.queue or self.is_full:
            return []
        given = []
        for worker in sorted(self._open_workers(), key=lambda w: len(w.held)):
            entries = self._give(worker, worker.capacity - len(worker.held), now)
            if entries:
                given.append((worker.child, entries))
        return given

    def assign_ahead(self, now: float) -> list[tuple[ChildId, list[Entry]]]:
        """Give busy workers something to go on with, while all that they do is short.

        Only to those that have begun what they were given before: what lies on offer goes another
        way than an order, and might be taken first.
        """
        ahead = self.pace.worker_ahead
        if not ahead or not self.queue or self.is_full:
            return []
        workers = [
            w for w in self._open_workers() if w.is_at_work and not w.cleared and not w.is_long(now)
        ]
        share = -(-len(self.queue) // max(len(workers), 1))
        given = []
        for worker in workers:
            waiting = len(worker.held) - worker.capacity
            if waiting <= ahead // 2:
                entries = self._give(worker, min(ahead - waiting, share), now)
                if entries:
                    given.append((worker.child, entries))
        return given

    def stuck(self, now: float) -> list[ChildId]:
        """Workers with tasks behind one that has become long, each named once for it."""
        stuck = [w for w in self.workers.values() if self._has_some_behind(w) and w.is_long(now)]
        for worker in stuck:
            worker.cleared = True
            self.pace.observe(max(now - entry.started for entry in worker.oldest()))
        return [worker.child for worker in stuck]

    def next_stuck(self) -> float | None:
        """Monotonic seconds at which `stuck` may have something new to say."""
        moments = [
            entry.started + LONG_SECONDS
            for worker in self.workers.values()
            if self._has_some_behind(worker)
            for entry in worker.oldest()
        ]
        return min(moments, default=None)

    def take_back(self, child: ChildId, tickets: Sequence[int]) -> None:
        """The worker has not taken these: they are the next in the queue again."""
        worker = self.workers[child]
        for ticket in reversed(tickets):
            entry = worker.held.pop(ticket)
            entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.TAKEN_BACK)
            self.queue.appendleft(entry)
            if worker.budget is not None:
                worker.budget += 1

    def started(self, child: ChildId, ticket: int, now: float) -> Entry:
        """The worker has begun: the time limit counts from here."""
        entry = self.workers[child].held[ticket]
        entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.STARTED)
        entry.started = now
        limit = settlement.time_allowed(entry.delivery, self.policy)
        entry.deadline = None if limit is None else now + limit
        return entry

    def returned(self, child: ChildId, ticket: int, outcome: Outcome) -> None:
        """The worker is done with a task."""
        worker = self.workers[child]
        worker.cleared = False
        entry = worker.held.pop(ticket)
        entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.RETURNED)
        entry.deadline = None
        self.pace.observe(outcome.seconds)
        verdict = settlement.after_return(entry.delivery, outcome, self.policy)
        self._settle(entry, verdict, outcome)

    def overdue(self, now: float) -> list[ChildId]:
        """Workers that run a task beyond its limit, each named once a task."""
        late = []
        for worker in self.workers.values():
            for entry in worker.oldest():
                if entry.deadline is not None and entry.deadline <= now and not entry.overdue:
                    entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.OVERDUE)
                    entry.overdue = True
                    worker.killed = True
                    late.append(worker.child)
        return late

    def next_deadline(self) -> float | None:
        """Monotonic seconds of the first time limit still to come."""
        moments = [
            entry.deadline
            for worker in self.workers.values()
            for entry in worker.oldest()
            if entry.deadline is not None and not entry.overdue
        ]
        return min(moments, default=None)

    def recall(self) -> None:
        """Hand the whole queue back to the broker: none of it has begun, so none of it counts."""
        while self.queue:
            entry = self.queue.popleft()
            entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.RECALLED)
            self._settle(entry, Verdict.HAND_BACK_UNBEGUN, None)

    # What is settled goes to the monitor, and is forgotten when the monitor says so.

    def next_batch(self) -> tuple[Settled, ...]:
        """What to send to the monitor now; empty when it has enough to do."""
        if not self._unsent or len(self._batches) >= BATCHES_AT_MONITOR:
            return ()
        entries = [self._unsent.popleft() for _ in range(min(len(self._unsent), KEEP_BATCH_MAX))]
        self._batches.append({entry.ticket for entry in entries})
        return tuple(entry.settled for entry in entries if entry.settled is not None)

    def kept(self, tickets: Sequence[int]) -> None:
        """The monitor has carried out these verdicts."""
        for ticket in tickets:
            entry = self.entries.pop(ticket)
            entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.KEPT)
            self._weight -= entry.weight
            self._settled -= 1
            outcome = None if entry.settled is None else entry.settled.outcome
            if outcome is not None:
                func, seconds = entry.delivery.func, outcome.seconds
                self.totals.count(func, success=outcome.success, seconds=seconds)
        for batch in self._batches:
            batch.difference_update(tickets)
        while self._batches and not self._batches[0]:
            self._batches.popleft()

    def monitor_gone(self) -> None:
        """Whatever the monitor had not yet confirmed is sent again to the next one."""
        self._batches.clear()
        settled = (e for e in self.entries.values() if e.state is TaskState.SETTLED)
        self._unsent = deque(settled)

    def renewed(self, pairs: Sequence[tuple[str, str]]) -> None:
        """The broker changed some receipts when it extended their leases."""
        changed = dict(pairs)
        for entry in self.entries.values():
            new = changed.get(entry.delivery.receipt or "")
            if new is not None:
                entry.delivery = attrs.evolve(entry.delivery, receipt=new)
                if entry.settled is not None:
                    entry.settled = attrs.evolve(entry.settled, delivery=entry.delivery)

    def receipts(self) -> tuple[str, ...]:
        """The receipts of everything in hand: their leases must not run out."""
        all_receipts = (entry.delivery.receipt for entry in self.entries.values())
        return tuple(receipt for receipt in all_receipts if receipt is not None)

    # Figures.

    @property
    def waiting(self) -> int:
        """Tasks in memory that do not run and have no outcome."""
        held = sum(max(len(w.held) - w.capacity, 0) for w in self.workers.values())
        return len(self.queue) + held

    @property
    def unsaved(self) -> int:
        """Settled tasks that the monitor has not confirmed."""
        return self._settled

    @property
    def running(self) -> int:
        return sum(min(len(w.held), w.capacity) for w in self.workers.values())

    @property
    def is_full(self) -> bool:
        """So much is unsaved that nothing new may be started."""
        return self._settled >= RESULTS_MAX or self._weight >= RESULT_BYTES_MAX

    def room(self) -> int:
        """How many more deliveries the cluster wants to have in memory."""
        return 0 if self.is_full else max(self.pace.queue_limit - self.waiting, 0)

    def _open_workers(self) -> list[Worker]:
        return [w for w in self.workers.values() if w.open and w.budget != 0]

    def _has_some_behind(self, worker: Worker) -> bool:
        return len(worker.held) > worker.capacity and not worker.cleared

    def _give(self, worker: Worker, count: int, now: float) -> list[Entry]:
        if worker.budget is not None:
            count = min(count, worker.budget)
        given = []
        for _ in range(min(count, len(self.queue))):
            entry = self.queue.popleft()
            entry.state = move(TASK_TRANSITIONS, entry.state, TaskEvent.ASSIGNED)
            entry.started = now
            worker.held[entry.ticket] = entry
            given.append(entry)
            if worker.budget is not None:
                worker.budget -= 1
        return given

    def _settle_death(self, entry: Entry, line: str, now: float, at: datetime) -> None:
        delivery, seconds = entry.delivery, now - entry.started
        limit = settlement.time_allowed(delivery, self.policy)
        if entry.overdue and limit is not None:
            self.pace.observe(seconds)
            outcome = settlement.failure(settlement.timeout_line(limit), at, seconds)
            self._settle(entry, settlement.after_return(delivery, outcome, self.policy), outcome)
        elif settlement.runs_again_after_death(delivery, self.policy):
            death = "" if line == settlement.STOPPED_LINE else line
            self._settle(entry, Verdict.HAND_BACK, None, death)
        else:
            self._settle(entry, Verdict.SAVE, settlement.failure(line, at, seconds))

    def _settle(
        self, entry: Entry, verdict: Verdict, outcome: Outcome | None, death: str = ""
    ) -> None:
        entry.state = TaskState.SETTLED
        entry.settled = Settled(entry.ticket, entry.delivery, verdict, outcome, death)
        entry.weight = len(entry.delivery.frame) + (len(outcome.value) if outcome else 0)
        self._weight += entry.weight
        self._settled += 1
        self._unsent.append(entry)
