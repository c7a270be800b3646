"""Plays the book with random verbs: nothing is lost, and its figures always add up."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from djq.core.dispatch import Book
from djq.core.lifecycle import ChildId, Role, TaskState
from djq.core.message import Outcome
from djq.core.pace import Pace
from djq.core.protocol import Delivery
from djq.core.settlement import Policy

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SLOTS = st.integers(0, 2)


class BookModel(RuleBasedStateMachine):
    """Three seats, one monitor, and a broker that has any number of tasks."""

    def __init__(self):
        super().__init__()
        self.book = Book(
            Policy(receipts=True, timeout=5.0, ack_failures=False),
            Pace(workers=3, queue_limit=None),
        )
        self.now = 0.0
        self.generations = [0, 0, 0]
        self.living = {}
        self.came = 0
        self.done = {}
        self.at_monitor = []
        self.settled_runs = {}

    @rule(attempts=st.lists(st.integers(1, 4), max_size=6))
    def arrive(self, attempts):
        items = []
        for attempt in attempts:
            self.came += 1
            name = f"t{self.came}"
            items.append(Delivery(name, name, "f", None, None, f"r{self.came}", attempt, b"frame"))
        self.book.arrive(items, NOON)

    @rule(slot=SLOTS, budget=st.none() | st.integers(1, 4), capacity=st.integers(1, 2))
    def join(self, slot, budget, capacity):
        if slot not in self.living:
            self.generations[slot] += 1
            child = ChildId(Role.WORKER, slot, self.generations[slot])
            self.living[slot] = child
            self.book.join(child, capacity=capacity, budget=budget)

    @rule(slot=SLOTS)
    def die(self, slot):
        child = self.living.pop(slot, None)
        if child is not None:
            self.book.died(child, -9, self.now, NOON)

    @rule(slot=SLOTS)
    def close(self, slot):
        if slot in self.living:
            self.book.close(self.living[slot])

    @rule()
    def assign(self):
        given = [*self.book.assign(self.now), *self.book.assign_ahead(self.now)]
        for child, entries in given:
            assert self.book.workers[child].open
            assert all(entry.state is TaskState.HELD for entry in entries)

    @rule(taken=st.integers(0, 3))
    def clear(self, taken):
        for child in self.book.stuck(self.now):
            held = self.book.workers[child].held.values()
            behind = [entry.ticket for entry in held if entry.state is TaskState.HELD]
            self.book.take_back(child, behind[taken:])

    @rule(slot=SLOTS)
    def start(self, slot):
        entry = self.first(slot, TaskState.HELD)
        if entry is not None:
            self.book.started(self.living[slot], entry.ticket, self.now)

    @rule(slot=SLOTS, success=st.booleans(), seconds=st.sampled_from([0.00001, 0.001, 0.02, 0.3]))
    def give_back(self, slot, success, seconds):
        entry = self.first(slot, TaskState.RUNNING)
        if entry is not None:
            outcome = Outcome(success, b"value", "", NOON, seconds)
            self.book.returned(self.living[slot], entry.ticket, outcome)

    @rule(seconds=st.floats(0, 6))
    def pass_time(self, seconds):
        self.now += seconds
        for child in self.book.overdue(self.now):
            assert child in self.living.values()

    @rule()
    def recall(self):
        self.book.recall()

    @rule()
    def send_to_monitor(self):
        self.at_monitor.extend(self.book.next_batch())

    @precondition(lambda self: self.at_monitor)
    @rule(count=st.integers(1, 5))
    def keep(self, count):
        kept, self.at_monitor = self.at_monitor[:count], self.at_monitor[count:]
        self.book.kept([item.ticket for item in kept])
        for item in kept:
            assert item.ticket not in self.done
            assert (item.outcome is None) is item.verdict.hands_back
            self.done[item.ticket] = item

    @rule()
    def lose_monitor(self):
        self.at_monitor = []
        self.book.monitor_gone()

    def first(self, slot, state):
        held = self.book.workers[self.living[slot]].held.values() if slot in self.living else ()
        return next((entry for entry in held if entry.state is state), None)

    @invariant()
    def nothing_is_lost(self):
        assert set(self.book.entries) | set(self.done) == set(range(1, self.came + 1))
        assert not set(self.book.entries) & set(self.done)

    @invariant()
    def each_lies_in_one_place(self):
        held = [e for w in self.book.workers.values() for e in w.held.values()]
        settled = [e for e in self.book.entries.values() if e.state is TaskState.SETTLED]
        places = [*self.book.queue, *held, *settled]

        assert sorted(e.ticket for e in places) == sorted(self.book.entries)
        assert {e.state for e in self.book.queue} <= {TaskState.QUEUED}
        assert {e.state for e in held} <= {TaskState.HELD, TaskState.RUNNING}

    @invariant()
    def figures_add_up(self):
        book = self.book
        assert book.waiting + book.running + book.unsaved == len(book.entries)
        assert book.room() >= 0
        assert set(book.receipts()) == {e.delivery.receipt for e in book.entries.values()}

    @invariant()
    def no_budget_is_overdrawn(self):
        assert all(w.budget is None or w.budget >= 0 for w in self.book.workers.values())

    def teardown(self):
        """A new worker and a new monitor bring everything to its end."""
        for child in self.living.values():
            self.book.died(child, -9, self.now, NOON)
        self.book.monitor_gone()
        last = ChildId(Role.WORKER, 9, 1)
        self.book.join(last)
        for _ in range(3 * self.came + 1):
            for _, entries in self.book.assign(self.now):
                for entry in entries:
                    self.book.started(last, entry.ticket, self.now)
                    self.book.returned(last, entry.ticket, Outcome(True, b"", "", NOON, 0.1))
            self.book.kept([item.ticket for item in self.book.next_batch()])
        assert self.book.entries == {}
        assert (self.book.waiting, self.book.running, self.book.unsaved) == (0, 0, 0)
        assert self.book._weight == 0


BookModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBook = BookModel.TestCase
