"""The scheduler as a seat of the simulated cluster: its schedules, its store, and what its tasks are.

The store is the twin in memory; as with the other servers, what fails is the way to it. Each task that
a scheduler makes becomes a task of the run, with an outcome that is demanded like any other.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs

from djq.components.scheduler import Queue, Scheduler
from djq.conf import get_zone
from djq.core.message import TaskMessage
from djq.core.schedules import Change, Custom, ScheduleEnd, ScheduleRow
from djq.ports import Link
from djq_testing.schedules import MemoryScheduleStore
from djq_testing.sim.faults import Violation
from djq_testing.sim.project import Given, given_task
from djq_testing.sim.scene import Scene
from djq_testing.sim.schedule_checker import ScheduleChecker
from djq_testing.sim.schedule_scene import ScheduleScene, draw_row
from djq_testing.sim.servers import SimBroker, Way
from djq_testing.sim.workload import SCHEDULED_FROM, Behaviour

if TYPE_CHECKING:
    from djq_testing.sim.spawn import SimProcess
    from djq_testing.sim.world import World

SHIFT_MAX = timedelta(seconds=90)
"""A clock that is more wrong is this wrong to a scheduler, or it would make tasks for years."""


def set_schedules(seed: int, scene: Scene, given: Given) -> ScheduleScene:
    """Draw schedules that come due in the safety phase, or were due before; or take those given."""
    rng, seconds = random.Random(f"cluster schedules {seed}"), scene.seconds
    return ScheduleScene(
        schedulers=0,
        seconds=seconds,
        shared=scene.one_unit,
        own_clocks=rng.random() < 0.5,
        catch_up=rng.random() < 0.7,
        rows=tuple(dict(row) for row in given.schedules)
        or tuple(draw_row(rng, -150.0, seconds * 0.9) for _ in range(scene.schedules)),
    )


class Unchecked(ScheduleChecker):
    """Knows nothing of a project's own schedules, but that they must not be left undone."""

    def sent(self, message: TaskMessage, now: datetime) -> None:
        self._world.trace.add("queue", "gets", message)

    def finish(self) -> None:
        """What is due was looked for already."""


class Scheduling:
    """All about the schedules of one run."""

    def __init__(self, world: World, scene: ScheduleScene) -> None:
        self.scene = scene
        self.timeline = world.timeline
        self.trace = world.trace
        self.server_clock = world.server_clock
        self.store: MemoryScheduleStore = world.parts.schedule_store(clock=world.server_clock)
        own: dict[str, Any] = {} if world.given.schedules else {"intended_date_kwarg": "when"}
        for row in scene.rows:
            self.store.add(**own, **row)
        self.checker = ScheduleChecker(self) if not world.given.schedules else Unchecked(self)
        self._world = world
        self._rng = random.Random(f"scheduled {world.case.seed}")
        self._open: list[str] = []
        """Tasks made in the present transaction, by their ids."""

    @property
    def struck(self) -> Mapping[str, int]:
        """What may have kept a schedule from being on time."""
        scene = self._world.scene
        stops = {"a stop": 1} if scene.stop_signals or scene.run_once else {}
        return {**self._world.chaos.hits, **stops}

    def make(self, process: SimProcess, link: Link, ports: dict[str, Any]) -> Scheduler:
        """Make what runs in the scheduler's seat."""
        world = self._world
        return world.parts.scheduler(
            link=link,
            store=SimScheduleStore(world, self, process),
            queue_of=lambda _name: Queue(SimBroker(world, process), world.codec),
            custom=Custom(catch_up=self.scene.catch_up, time_zone="UTC"),
            zone_of=get_zone,
            greets_late=world.scene.run_once,
            **ports,
        )

    def now_of(self, process: SimProcess) -> datetime:
        """The time that schedules go by, as this process sees it."""
        now = self.server_clock.now()
        if not self.scene.own_clocks:
            return now
        return now + max(min(process.clock.shift, SHIFT_MAX), -SHIFT_MAX)

    def sent(self, process: SimProcess, message: TaskMessage) -> None:
        """A scheduler sends a task, which is a task of the run from now on."""
        self.checker.sent(message, self.now_of(process))
        world = self._world
        if message.id in world.checker.specs:
            return
        self._open.append(message.id)
        spec = given_task(
            message,
            number=SCHEDULED_FROM + len(world.checker.specs),
            label=f"a task of schedule {message.schedule}",
            seconds=world.given.seconds_of(message.func, self._rng),
            scene=world.scene,
            at=self.timeline.now,
        )
        if not world.given.schedules:
            spec = attrs.evolve(spec, behaviour=Behaviour.SCHEDULED, given=None)
        world.checker.expect(spec)

    @contextmanager
    def unit(self) -> Iterator[None]:
        """What goes wrong in it leaves rows as they were, and tasks unmade that were made with them."""
        rows, sent = copy.deepcopy(self.store.rows), self.checker.mark()
        self._open.clear()
        try:
            yield
        except BaseException:
            self.store.rows = rows
            if self.scene.shared:
                self.checker.forget(sent)
                for id in self._open:
                    self._world.checker.forget(id)
            raise
        self.checker.committed()

    def finish(self) -> None:
        """All has healed."""
        self.checker.finish()
        if not self._world.scene.receipts:
            return
        for id, kept in self.store.rows.items():
            if self._world.store.find(kept.row.unfinished or "none") is not None:
                raise Violation(f"S6: schedule {id} waits for a task that has ended")

    def due(self) -> Iterator[str]:
        """What has not been sent, and should have been."""
        now = self.server_clock.now()
        for id, kept in self.store.rows.items():
            if kept.row.pending:
                yield f"schedule {id} is being sent, until {kept.held_until}"
            elif kept.due_at is not None and kept.due_at <= now:
                yield f"schedule {id} has been due since {kept.due_at}"


class SimScheduleStore:
    """One process' connection to the schedules."""

    def __init__(self, world: World, scheduling: Scheduling, process: SimProcess) -> None:
        self.alias = "simulated" if world.scene.one_unit else None
        self._world = world
        self._scheduling = scheduling
        self._store = scheduling.store
        self._process = process
        self._way = Way(world, process, "store")

    def now(self) -> datetime:
        """The time that schedules go by."""
        self._way.looked()
        return self._scheduling.now_of(self._process)

    def next_due(self) -> datetime | None:
        """When the next row comes due."""
        self._way.before()
        due = self._store.next_due()
        self._way.looked()
        return due

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction over schedules and, where they share a database, queue."""
        self._way.before()
        queue = self._world.queue.snapshot()
        try:
            with self._scheduling.unit():
                yield
                self._way.before()
        except BaseException:
            if self.alias is not None:
                self._world.queue.restore(queue)
            self._world.note(self._process, "rolls back", None)
            raise
        self._way.after()

    def take(self, now: datetime, limit: int) -> Sequence[ScheduleRow]:
        """Rows that are due."""
        self._way.before()
        rows = self._store.take(now, limit)
        self._way.looked()
        return rows

    def put(self, changes: Sequence[Change]) -> None:
        """Write what became of rows."""
        self._way.before()
        self._store.put(changes)
        self._world.note(self._process, "puts", list(changes))
        self._way.after()

    def sent(self, token: str, ids: Sequence[int]) -> None:
        """All that these rows were sending was sent."""
        self._way.before()
        self._store.sent(token, ids)
        self._world.note(self._process, "says sent", list(ids))
        self._way.after()

    def ended(self, ends: Sequence[ScheduleEnd]) -> None:
        """Tell schedules how their tasks ended."""
        self._way.before()
        self._store.ended(ends)
        self._scheduling.checker.ended(ends)
        self._way.after()

    def unhold(self, now: datetime, latest: datetime) -> None:
        """Rows that are held for too long come due."""
        self._way.before()
        self._store.unhold(now, latest)
        self._way.after()
