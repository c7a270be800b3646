"""A scheduler with its surroundings in memory: a store, queues, a clock that a test moves."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from djq.components.scheduler import Queue, Scheduler
from djq.core.call import load_call
from djq.core.frame import unpack
from djq.core.schedules import Custom
from djq.exceptions import ScheduleRefused
from djq.ports import Wait
from djq_testing.memory import MemoryBroker
from djq_testing.schedules import MemoryScheduleStore
from djq_testing.sim.workload import make_codec
from tests.components.parts import NOON, Scene


def zone_of(name):
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ScheduleRefused(f"{name!r} is no time zone") from error


class Unwilling(MemoryBroker):
    """Raises what it is told to, before or after its effect."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.before = self.after = None
        self.refuses = ()
        self.calls = 0

    def enqueue_many(self, tasks):
        self.calls += 1
        if self.before is not None:
            raise self.before
        answers = super().enqueue_many(tasks)
        if self.after is not None:
            raise self.after
        return answers


class Scheduling(Scene):
    """One scheduler; with `shared` its queue lives in the database of the schedules."""

    def __init__(self, *, shared=True, catch_up=True, zone="UTC", **options):
        super().__init__()
        self.codec = make_codec()
        self.store = MemoryScheduleStore(clock=self.clock)
        self.store.alias = "memory"
        self.queues = {}
        self.shared = shared
        self.custom = Custom(catch_up=catch_up, time_zone=zone)
        self.broker = self.queue_of(None).broker
        self.options = options
        self.scheduler = self.another()

    def another(self):
        """A scheduler on the same store and queues."""
        return Scheduler(
            link=self.link,
            store=self.store,
            queue_of=self.queue_of,
            custom=self.custom,
            zone_of=zone_of,
            around=self.around,
            label="Process-1:5",
            pid=7,
            **self.options,
        )

    def queue_of(self, name):
        if name not in self.queues:
            broker = Unwilling(name or "default", clock=self.clock)
            broker.database = "memory" if self.shared else None
            self.queues[name] = Queue(broker, self.codec)
        return self.queues[name]

    def add(self, func="math.floor", next_run=NOON, **fields):
        return self.store.add(func=func, next_run=next_run, **fields)

    def row(self, id=1):
        kept = self.store.rows.get(id)
        return kept and kept.row

    def run(self, scheduler=None, steps_max=50):
        """Step until it waits; gives for how long."""
        for _ in range(steps_max):
            wait = (scheduler or self.scheduler).step()
            if wait is None or wait != Wait(0.0):
                return wait
        raise AssertionError(f"still busy after {steps_max} steps")

    def sent(self, queue=None):
        """What came to the queue since the last look."""
        packages = self.queue_of(queue).broker.dequeue(10_000)
        return [unpack(self.codec.open(package)) for _, package in packages]

    def slots(self):
        """The intended times of what came, where a schedule tells them as `when`."""
        return [load_call(message.body)[2]["when"] for message in self.sent()]
