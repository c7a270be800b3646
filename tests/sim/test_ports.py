"""Every verb of every port is a possible crash, before its effect and after it."""

from __future__ import annotations

import inspect

import pytest

from djq import ports
from djq.core.lifecycle import ChildId, Role
from djq.core.message import Finished, Outcome, TaskMessage
from djq_testing.clock import START
from djq_testing.sim import Case, Parts
from djq_testing.sim.faults import KilledError
from djq_testing.sim.scheduling import SimScheduleStore
from djq_testing.sim.servers import SimBroker, SimStore
from djq_testing.sim.spawn import SimOrphans
from djq_testing.sim.workload import WORK, package_of
from djq_testing.sim.world import World

CALM_CASE = "seed=1 plainest keep=0 crash_point=1 crash_aside=1"
CHILD = ChildId(Role.WORKER, 0, 9)
NO_EFFECT = {
    "Link": {"ended": "a look at what is in memory", "clogged": "a look at what is in memory"},
    "ResultStore": {"present": "makes an object and asks nobody"},
    "Broker": {
        "enqueue_later": "no component calls it",
        "delete": "no component calls it",
        "peek": "no component calls it",
        "purge_queue": "no component calls it",
        "delete_queue": "no component calls it",
        "queue_size": "no component calls it",
        "lock_size": "no component calls it",
        "ping": "no component calls it",
        "info": "no component calls it",
        "close": "called before there is a component",
    },
}
"""Verbs at which nobody dies, and why."""


class Setting:
    """A world in which something is in each port's hands."""

    def __init__(self, strikes):
        self.world = World(Case.parse(f"{CALM_CASE} strikes={strikes}"), Parts())
        command = self.world.start_cluster()
        self.world.chaos.is_on = False
        self.world.timeline.run(0.4, lambda: False)
        monitor = next(p for p in self.world.living(Role.MONITOR))
        sentinel = next(p for p in self.world.living(Role.SENTINEL))
        self.task = TaskMessage(id="a" * 32, name="a", func=WORK, enqueued_at=START, body=b"")
        self.world.checker.expect(self.world.tasks[0])
        self.world.checker.specs["a" * 32] = self.world.tasks[0]
        self.package = package_of(self.world.codec, self.task)
        self.broker = SimBroker(self.world, monitor)
        self.store = SimStore(self.world, monitor)
        self.schedules = SimScheduleStore(self.world, self.world.scheduling, monitor)
        self.spawner = sentinel.spawner
        self.link = sentinel.links[-1]
        self.orphans = SimOrphans(self.world)
        self.command = command
        self.world.queue.memory.enqueue(self.package)
        self.receipts = [receipt for receipt, _ in self.world.queue.take(1, 1)]
        outcome = Outcome(False, b"\x80\x05N.", "", START, 0.1)
        self.batch = [Finished(self.task, outcome, 1)]
        self.world.checker.failed = lambda message: None
        self.world.checker.acknowledged = lambda handed: None
        self.world.checker.saved = lambda *_: None
        self.world.chaos.is_on = True
        self.world.chaos.chances.clear()


def in_a_unit(store):
    with store.unit():
        pass


def row(setting):
    return setting.schedules.take(START.replace(year=2030), 1)


VERBS = {
    "Broker": {
        "enqueue": lambda s: s.broker.enqueue(s.package),
        "enqueue_many": lambda s: s.broker.enqueue_many([s.package]),
        "dequeue": lambda s: s.broker.dequeue(1),
        "acknowledge": lambda s: s.broker.acknowledge(s.receipts[0]),
        "acknowledge_many": lambda s: s.broker.acknowledge_many(s.receipts),
        "extend": lambda s: s.broker.extend(s.receipts[0]),
        "extend_many": lambda s: s.broker.extend_many(s.receipts),
        "release": lambda s: s.broker.release(s.receipts[0]),
        "release_many": lambda s: s.broker.release_many(s.receipts),
        "fail": lambda s: s.broker.fail(s.receipts[0]),
    },
    "ResultStore": {
        "save": lambda s: s.store.save(s.batch),
        "unit": lambda s: in_a_unit(s.store),
        "kept": lambda s: s.store.kept([s.task]),
        "sent": lambda s: s.store.sent([s.task]),
        "mark_sent": lambda s: s.store.mark_sent([s.task]),
    },
    "ScheduleStore": {
        "now": lambda s: s.schedules.now(),
        "next_due": lambda s: s.schedules.next_due(),
        "unit": lambda s: in_a_unit(s.schedules),
        "take": row,
        "put": lambda s: s.schedules.put([]),
        "sent": lambda s: s.schedules.sent("token", []),
        "ended": lambda s: s.schedules.ended([]),
        "unhold": lambda s: s.schedules.unhold(START, START),
    },
    "Link": {
        "send": lambda s: s.link.send("a", "b"),
        "receive": lambda s: s.link.receive(),
        "offer": lambda s: s.link.offer("a"),
        "recall": lambda s: s.link.recall(),
        "take": lambda s: s.link.take(),
    },
    "Spawner": {
        "spawn": lambda s: s.spawner.spawn(CHILD, "a"),
        "kill": lambda s: s.spawner.kill(CHILD),
        "exits": lambda s: s.spawner.exits(),
        "forget": lambda s: (s.spawner.spawn(CHILD, "a"), s.spawner.forget(CHILD)),
    },
    "Orphans": {
        "adopt": lambda s: s.orphans.adopt([1]),
        "end": lambda s: s.orphans.end(),
    },
}
ALL = [(port, verb) for port, verbs in VERBS.items() for verb in verbs]


def verbs_of(port):
    return {
        name
        for name, value in vars(port).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }


@pytest.mark.parametrize("port", VERBS)
def test_no_verb_is_left_out(port):
    known = VERBS[port].keys() | NO_EFFECT.get(port, {}).keys()

    assert verbs_of(getattr(ports, port)) == known


def test_no_port_is_left_out():
    protocols = {
        name
        for name, value in vars(ports).items()
        if inspect.isclass(value) and value.__module__ == ports.__name__ and verbs_of(value)
    }

    # These change nothing and are asked by the way; a component is what dies.
    assert protocols - {"Clock", "Ids", "Observer", "Component"} == set(VERBS)


@pytest.mark.parametrize(("port", "verb"), ALL)
def test_its_caller_may_die_before_and_after(port, verb):
    calm = Setting("")
    VERBS[port][verb](calm)
    chances = calm.world.chaos.chances
    deaths = 0

    for kind in ("crash_point", "crash_aside"):
        for chance in range(1, chances[kind] + 1):
            setting = Setting(f"{kind}:{chance}")
            with pytest.raises(KilledError):
                VERBS[port][verb](setting)
            deaths += 1

    # A send has one chance, which says how many of its messages have left.
    assert deaths >= (1 if verb in {"send", "now"} else 2)
