"""Simulated schedulers: real ones on a store and a queue in memory, killed and lied to by a seed.

`python -m djq_testing.sim.schedules --seed 7 --verbose` replays a run. First faults strike while the
checker watches, then they end and all must heal: nothing due, nothing half sent, every slot sent.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import attrs

from djq.components.scheduler import Queue, Scheduler
from djq.conf import get_zone
from djq.core.events import Event
from djq.core.frame import unpack
from djq.core.schedules import Change, Custom, ScheduleEnd, ScheduleRow
from djq.exceptions import BrokerUnavailable, StoreUnavailable
from djq.ports import Broker, Link, Surroundings
from djq_testing.clock import SeededIds
from djq_testing.memory import MemoryBroker
from djq_testing.schedules import MemoryScheduleStore
from djq_testing.sim.faults import KilledError, Violation
from djq_testing.sim.schedule_checker import ScheduleChecker
from djq_testing.sim.schedule_scene import draw_schedule_faults, draw_schedule_scene
from djq_testing.sim.timeline import SimClock, Timeline
from djq_testing.sim.trace import Trace
from djq_testing.sim.workload import make_codec

HEAL_SECONDS = 150.0
STEPS_MAX = 40_000
JUMPS = (-86_400, -3_600, -90, 90, 3_600, 7_200)


@attrs.frozen(kw_only=True)
class ScheduleParts:
    """The classes that the world makes its boxes from."""

    scheduler: type[Scheduler] = Scheduler
    store: type[MemoryScheduleStore] = MemoryScheduleStore


@attrs.frozen(kw_only=True)
class ScheduleRun:
    """What came of one seed."""

    seed: int
    scene: str
    faults: str
    struck: dict[str, int]
    sent: int
    """Tasks that came to the queue."""
    failure: str | None
    """The invariant that did not hold. None: all did."""
    trace: list[str] = attrs.field(repr=False)

    def describe(self) -> str:
        """The scene first, then what came of it."""
        lines = (
            f"seed {self.seed}",
            f"scene: {self.scene}",
            f"faults: {self.faults}",
            f"struck: {self.struck or 'nothing'}",
            f"{self.sent} tasks: {self.failure or 'all invariants hold'}",
            f"replay: python -m djq_testing.sim.schedules --seed {self.seed} --verbose",
        )
        return "\n".join(lines)


class LooseLink(Link):
    """A link to a sentinel that says nothing."""

    ended = False
    clogged = False

    def send(self, *messages: object) -> None:
        """Send to nobody."""

    def offer(self, *_messages: object) -> int:
        return 0

    def receive(self) -> Sequence[Any]:
        return ()

    recall = receive

    def take(self) -> None:
        return None


@attrs.define(eq=False)
class SchedulerProcess:
    """One process with a scheduler in it."""

    name: str
    clock: SimClock
    scheduler: Scheduler | None = None
    is_alive: bool = True
    ready_at: float = 0.0


class ScheduleWorld:
    """Everything there is in one run."""

    def __init__(self, seed: int, parts: ScheduleParts) -> None:
        self.rng = random.Random(f"schedules {seed}")
        self.parts = parts
        self.scene = draw_schedule_scene(self.rng)
        self.faults = draw_schedule_faults(self.rng)
        self.is_on = True
        self.struck: dict[str, int] = {}
        self.timeline = Timeline()
        self.trace = Trace(self.timeline)
        self.server_clock = SimClock(self.timeline)
        self.ids = SeededIds(seed)
        self.codec = make_codec()
        self.queue = MemoryBroker(clock=self.server_clock)
        self.custom = Custom(catch_up=self.scene.catch_up, time_zone="UTC")
        self.store = parts.store(clock=self.server_clock)
        for row in self.scene.rows:
            self.store.add(intended_date_kwarg="when", **row)
        self.checker = ScheduleChecker(self)
        self.processes: list[SchedulerProcess] = []
        self._steps = 0
        for number in range(self.scene.schedulers):
            self.bear(f"scheduler {number + 1}")

    def bear(self, name: str) -> None:
        """Start a scheduler."""
        process = SchedulerProcess(name, SimClock(self.timeline))
        process.scheduler = self.parts.scheduler(
            link=LooseLink(),
            store=WayToStore(self, process),
            queue_of=lambda _name: Queue(WayToQueue(self, process), self.codec),
            custom=self.custom,
            zone_of=get_zone,
            around=Surroundings(process.clock, self.ids, Teller(self, process)),
            label=name,
            pid=1,
        )
        self.processes.append(process)
        self.timeline.after(self.rng.uniform(0.0, 0.5), self._step, process)

    def die(self, process: SchedulerProcess) -> None:
        """End a process; another takes its place."""
        if process.is_alive:
            process.is_alive = False
            self.processes.remove(process)
            self.trace.add(process.name, "dies", None)
            self.timeline.after(self.rng.uniform(0.05, 5.0), self.bear, f"{process.name}'")

    def strikes(self, name: str) -> bool:
        """Whether a fault of this kind strikes now."""
        if not self.is_on or self.rng.random() >= getattr(self.faults, name):
            return False
        self.hit(name)
        return True

    def hit(self, name: str) -> None:
        """A fault has struck."""
        self.struck[name] = self.struck.get(name, 0) + 1

    def now_of(self, process: SchedulerProcess) -> datetime:
        """The time that schedules go by, as this process sees it."""
        return (process.clock if self.scene.own_clocks else self.server_clock).now()

    def end_tasks(self) -> None:
        """Let the tasks of `skip` end after a while, again and again."""
        unended = self.checker.unended.items()
        ends = [ScheduleEnd(id, task, "") for id, task in unended if self.rng.random() < 0.3]
        self.store.ended(ends)
        self.checker.ended(ends)
        self.timeline.after(self.rng.uniform(0.5, 8.0), self.end_tasks)

    def misfortunes(self) -> None:
        """Set who is killed, who stands still, and whose clock jumps."""
        acts: dict[str, Callable[[SchedulerProcess], None]] = {
            "kill": self.die,
            "pause": self._pause,
            "clock_jump": self._jump,
        }
        for name, act in acts.items():
            rate, moment = getattr(self.faults, name), 0.0
            while rate and (moment := moment + self.rng.expovariate(rate)) < self.scene.seconds:
                self.timeline.at(moment, self._befall, name, act)

    def _befall(self, name: str, act: Callable[[SchedulerProcess], None]) -> None:
        if self.processes:
            self.hit(name)
            act(self.rng.choice(self.processes))

    def _pause(self, process: SchedulerProcess) -> None:
        process.ready_at = self.timeline.now + 60.0 * self.rng.random() ** 2

    def _jump(self, process: SchedulerProcess) -> None:
        process.clock.shift = timedelta(seconds=self.rng.choice(JUMPS))

    def _step(self, process: SchedulerProcess) -> None:
        if not process.is_alive:
            return
        if process.ready_at > self.timeline.now:
            self.timeline.at(process.ready_at, self._step, process)
            return
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Violation(f"S7: {STEPS_MAX} steps were not enough")
        assert process.scheduler is not None, "it is made with its process"
        try:
            wait = process.scheduler.step()
        except KilledError:
            self.die(process)
            return
        assert wait is not None, "nobody asks it to stop"
        assert wait.seconds is not None, "it always looks again"
        pause = self.rng.uniform(0.0005, 0.02)
        self.timeline.after(max(wait.seconds, pause), self._step, process)


class Teller:
    """Writes what a scheduler tells into the trace."""

    def __init__(self, world: ScheduleWorld, process: SchedulerProcess) -> None:
        self._world = world
        self._process = process

    def notify(self, event: Event) -> None:
        """Hear it."""
        self._world.trace.add(self._process.name, "tells", event)


class WayToStore:
    """One process' connection to the store: every verb may fail before its effect or after it."""

    def __init__(self, world: ScheduleWorld, process: SchedulerProcess) -> None:
        self.alias: str | None = "simulated"
        self._world = world
        self._process = process
        self._verb = "store"

    def now(self) -> datetime:
        return self._world.now_of(self._process)

    def next_due(self) -> datetime | None:
        self._may("before")
        return self._world.store.next_due()

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction over store and, where they share a database, queue."""
        world = self._world
        self._may("before")
        rows, queue = copy.deepcopy(world.store.rows), list(vars(world.queue)["_rows"])
        sent = world.checker.mark()
        try:
            yield
            self._may("before")
        except BaseException:
            world.store.rows = rows
            if world.scene.shared:
                vars(world.queue)["_rows"] = queue
                world.checker.forget(sent)
            raise
        world.checker.committed()
        self._may("after")

    def take(self, now: datetime, limit: int) -> Sequence[ScheduleRow]:
        self._may("before")
        return self._world.store.take(now, limit)

    def put(self, changes: Sequence[Change]) -> None:
        self._may("before")
        self._world.store.put(changes)
        self._world.trace.add(self._process.name, "puts", changes)

    def sent(self, token: str, ids: Sequence[int]) -> None:
        self._may("before")
        self._world.store.sent(token, ids)
        self._may("after")

    def ended(self, ends: Sequence[ScheduleEnd]) -> None:
        self._world.store.ended(ends)

    def unhold(self, now: datetime, latest: datetime) -> None:
        self._may("before")
        self._world.store.unhold(now, latest)
        self._may("after")

    def _may(self, when: str) -> None:
        if self._world.strikes("crash_point"):
            raise KilledError
        if self._world.strikes(f"store_error_{when}"):
            raise StoreUnavailable(f"simulated, {when} the effect")


class WayToQueue(Broker):
    """One process' connection to the queue."""

    def __init__(self, world: ScheduleWorld, process: SchedulerProcess) -> None:
        super().__init__("simulated")
        self.database = "simulated" if world.scene.shared else None
        self._world = world
        self._process = process

    def enqueue(self, task: str) -> str | None:
        world = self._world
        if world.strikes("crash_point"):
            raise KilledError
        if world.strikes("broker_error_before"):
            raise BrokerUnavailable("simulated, before the effect")
        world.checker.sent(unpack(world.codec.open(task)), world.now_of(self._process))
        answer = world.queue.enqueue(task)
        if world.strikes("broker_error_after"):
            raise BrokerUnavailable("simulated, after the effect")
        return answer


def simulate_schedules(seed: int, parts: ScheduleParts | None = None) -> ScheduleRun:
    """Run one seed to its end; never raises for a broken invariant, the run tells."""
    world = ScheduleWorld(seed, parts or ScheduleParts())
    failure = None
    try:
        _play(world)
    except Violation as violation:
        failure = str(violation)
    return ScheduleRun(
        seed=seed,
        scene=str(world.scene),
        faults=str(world.faults),
        struck=dict(world.struck),
        sent=len(world.checker.arrivals),
        failure=failure,
        trace=world.trace.lines(),
    )


def _play(world: ScheduleWorld) -> None:
    world.misfortunes()
    world.end_tasks()
    world.timeline.run(world.scene.seconds, lambda: False)
    world.is_on = False
    for process in world.processes:
        process.clock.shift = timedelta()
    end = world.timeline.now + HEAL_SECONDS
    world.timeline.run(end, lambda: False)
    world.checker.finish()


def main(arguments: list[str] | None = None) -> int:
    """Replay what the command line asks for: 0 when every invariant held."""
    parser = argparse.ArgumentParser(prog="python -m djq_testing.sim.schedules")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--verbose", action="store_true", help="print the trace")
    options = parser.parse_args(arguments)
    run = simulate_schedules(options.seed)
    with suppress(BrokenPipeError):
        sys.stdout.write("\n".join([run.describe(), *(run.trace if options.verbose else []), ""]))
    return 1 if run.failure else 0


if __name__ == "__main__":
    sys.exit(main())
