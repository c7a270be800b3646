"""A sentinel whose children are played by the test."""

from __future__ import annotations

import pickle

import attrs

from djq.components.sentinel import Sentinel
from djq.core.lifecycle import ChildId, Role
from djq.core.plan import Plan
from djq.core.protocol import (
    Assign,
    Deliveries,
    Keep,
    Ready,
    Report,
    Returned,
    Started,
    Stop,
    StopLevel,
)
from djq.core.settlement import Policy
from tests.components import parts

PUSHER = ChildId(Role.PUSHER, 0, 1)
MONITOR = ChildId(Role.MONITOR, 0, 1)
LONG = attrs.evolve(parts.SUCCESS, seconds=1.0)
SHORT = attrs.evolve(parts.SUCCESS, seconds=0.001)


def worker(slot=0, generation=1):
    return ChildId(Role.WORKER, slot, generation)


class Bench(parts.Scene):
    """A sentinel, its children played by the test, and the command's end of its link."""

    def __init__(self, *, workers=1, policy=None, **changes):
        super().__init__()
        self.spawner = parts.FakeSpawner()
        self.command = self.sentinel
        plan = Plan(
            policy=Policy(**{"receipts": True, **(policy or {})}),
            seats={Role.WORKER: workers, Role.MONITOR: 1, Role.PUSHER: 1},
            queue_limit=None,
            recycle=None,
            lease_seconds=60.0,
            guard_cycle=0.5,
            stop_timeout=None,
            run_once=False,
        )
        self.box = Sentinel(
            plan=attrs.evolve(plan, **changes),
            spawner=self.spawner,
            command=self.link,
            around=self.around,
            cluster_id="77",
            label="Process-1",
            pid=70,
        )
        self.pids = 100

    def step(self, seconds=0.0):
        self.clock.advance(seconds)
        return self.box.step()

    def say(self, child, *messages):
        self.spawner.ends[child].send(*messages)

    def ready(self, *children):
        for child in children:
            self.pids += 1
            self.say(child, Ready(self.pids))

    def asked(self, child, kind=object):
        """What the child has been sent since the last look."""
        messages = self.spawner.ends[child].receive()
        return [message for message in messages if isinstance(message, kind)]

    def tickets(self, child):
        given = [ticket for assign in self.asked(child, Assign) for ticket, _ in assign.items]
        while (offer := self.spawner.ends[child].take()) is not None:
            given.append(offer[0])
        return given

    def deliver(self, *numbers, **changes):
        items = [parts.delivery(number, receipt=f"r{number}", **changes) for number in numbers]
        self.say(PUSHER, Deliveries(tuple(items)))
        self.step()

    def run(self, child, ticket, outcome=LONG):
        self.say(child, Started(ticket), Returned(ticket, outcome))

    def keeps(self):
        """What the monitor is asked to keep, by ticket."""
        return {item.ticket: item for keep in self.asked(MONITOR, Keep) for item in keep.items}

    def stop(self, level=StopLevel.GENTLE):
        self.command.send(Stop(level))
        self.step()

    @property
    def living(self):
        return set(self.box.supervision.children)

    @property
    def reports(self):
        return [message for message in self.command.receive() if isinstance(message, Report)]


def started(**options):
    """A cluster with everybody ready."""
    bench = Bench(**options)
    bench.step()
    bench.ready(*bench.spawner.ends)
    bench.step()
    for child in bench.spawner.ends:
        if child.role is not Role.PUSHER:
            bench.asked(child)
    return bench


def line(item):
    return pickle.loads(item.outcome.value)
