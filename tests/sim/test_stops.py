"""Stops that the simulator found to hang or to be late, told by hand: the test is every child."""

from __future__ import annotations

import pickle

import attrs

from djq.components.sentinel import Sentinel
from djq.core.lifecycle import Role
from djq.core.message import Outcome
from djq.core.plan import Plan
from djq.core.protocol import (
    Assign,
    Deliveries,
    Delivery,
    Ready,
    Returned,
    Started,
    Stop,
    StopLevel,
)
from djq.core.settlement import Policy
from djq.ports import Exit, Surroundings
from djq_testing.clock import START, ManualClock, SeededIds

PLAN = Plan(
    policy=Policy(receipts=True),
    seats={Role.WORKER: 2, Role.MONITOR: 1, Role.PUSHER: 1},
    queue_limit=20,
    recycle=None,
    lease_seconds=60,
    guard_cycle=0.5,
    stop_timeout=None,
    run_once=False,
)


class Silence:
    def notify(self, event):
        """Nobody listens."""


class Letters:
    """A link whose other end is the test."""

    ended = False
    clogged = False

    def __init__(self):
        self.inbox = []
        self.sent = []

    def send(self, *messages):
        self.sent.extend(messages)

    def receive(self):
        inbox, self.inbox = self.inbox, []
        return inbox

    def offer(self, *messages):
        self.sent.append(Assign(messages))
        return len(messages)

    def recall(self):
        """Whoever was offered something has taken it."""
        return []


class Stage:
    """A sentinel, and everybody round it."""

    def __init__(self, **changes):
        self.clock = ManualClock()
        self.links = {}
        self.killed = []
        self._exits = []
        self._sent = 0
        self.command = Letters()
        self.sentinel = Sentinel(
            plan=attrs.evolve(PLAN, **changes),
            spawner=self,
            command=self.command,
            around=Surroundings(self.clock, SeededIds(), Silence()),
            cluster_id="1",
            label="Process-1",
            pid=1,
        )
        self.sentinel.step()
        self.all_ready()

    # The spawner.

    def spawn(self, child, label):
        self.links[child] = Letters()
        return self.links[child]

    def kill(self, child):
        self.killed.append(child)

    def exits(self):
        exits, self._exits = self._exits, []
        return exits

    def forget(self, child):
        del self.links[child]

    # The children.

    def all_ready(self):
        for child in self.links:
            if self.sentinel.supervision.children[child].pid is None:
                self.links[child].inbox.append(Ready(1))
        self.sentinel.step()

    def of(self, role):
        return [child for child in self.links if child.role is role]

    def says(self, child, *messages):
        self.links[child].inbox.extend(messages)
        self.sentinel.step()

    def exits_with(self, child, code):
        self._exits.append(Exit(child, code))
        self.sentinel.step()

    def deliver(self, count):
        first, self._sent = self._sent, self._sent + count
        items = [
            Delivery(f"{n:032x}", "a", "b.c", None, None, f"{n}:1", 1, b"")
            for n in range(first, first + count)
        ]
        self.says(self.of(Role.PUSHER)[0], Deliveries(tuple(items)))

    def given(self, child):
        """The tickets that a worker was given."""
        orders = [m for m in self.links[child].sent if isinstance(m, Assign)]
        return [ticket for order in orders for ticket, _ in order.items]

    def was_told_to_stop(self, child):
        return any(isinstance(message, Stop) for message in self.links[child].sent)

    def stop(self):
        self.command.inbox.append(Stop(StopLevel.GENTLE))
        self.sentinel.step()
        self.exits_with(self.of(Role.PUSHER)[0], 0)


def done(ticket):
    return Returned(ticket, Outcome(True, pickle.dumps(1), "", START, 0.0001))


def test_retired_worker_leaves_in_a_stop_although_its_successor_has_left():
    """The successors leave while the queue is empty; then a dead worker's task comes back to it."""
    stage = Stage(recycle=3)
    one, other = stage.of(Role.WORKER)
    stage.deliver(2)
    for worker in (one, other):
        (ticket,) = stage.given(worker)
        stage.says(worker, Started(ticket), done(ticket))
    stage.deliver(4)
    for worker in (one, other):
        stage.says(worker, Started(stage.given(worker)[1]))
    stage.sentinel.step()
    stage.all_ready()
    successors = set(stage.of(Role.WORKER)) - {one, other}
    assert len(successors) == 2
    stage.stop()
    for successor in successors:
        assert stage.was_told_to_stop(successor)
        stage.exits_with(successor, 0)
    stage.exits_with(other, -9)
    begun, last = stage.given(one)[1:]
    stage.says(one, done(begun), Started(last), done(last))

    stage.sentinel.step()

    assert stage.was_told_to_stop(one)
    stage.exits_with(one, 0)
    stage.all_ready()
    assert any(stage.given(worker) for worker in stage.of(Role.WORKER))


def test_stop_timeout_ends_what_runs_in_the_step_in_which_it_passes():
    stage = Stage(stop_timeout=4.0)
    stage.deliver(1)
    (worker,) = [worker for worker in stage.of(Role.WORKER) if stage.given(worker)]
    stage.says(worker, Started(stage.given(worker)[0]))
    stage.stop()
    stage.clock.advance(4.0)

    stage.sentinel.step()

    assert worker in stage.killed


def test_stop_that_kills_its_pusher_is_cut_short():
    stage = Stage()
    stage.command.inbox.append(Stop(StopLevel.GENTLE))
    stage.sentinel.step()
    stage.clock.advance(5.0)

    stage.sentinel.step()

    assert stage.killed == stage.of(Role.PUSHER)
    assert stage.sentinel.closing.cut_short is not None
