"""The world of a simulated run: the stage with its servers, its tasks and its checker.

One random.Random decides everything: who dies, how long a step, a message, a task or a start takes.
The components are the real ones.
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import attrs

from djq.core.events import Event
from djq.core.lifecycle import Role
from djq.core.plan import Plan
from djq.core.protocol import Delivery
from djq.core.settlement import Policy
from djq.ports import Component, Link, Surroundings, Wait
from djq_testing.clock import SeededIds
from djq_testing.memory import MemoryStore
from djq_testing.sim import workload
from djq_testing.sim.case import Case
from djq_testing.sim.chaos import Chaos
from djq_testing.sim.checker import Checker
from djq_testing.sim.compositions import draw_compositions, kept_of
from djq_testing.sim.faults import Violation, draw_faults
from djq_testing.sim.parts import Parts
from djq_testing.sim.scene import Scene, draw_scene
from djq_testing.sim.scheduling import Scheduling, SimScheduleStore, draw_schedules
from djq_testing.sim.servers import QueueServer, SimBroker, SimStore
from djq_testing.sim.spawn import SimOrphans, SimProcess, SimSpawner, TaskRun
from djq_testing.sim.stage import Stage
from djq_testing.sim.timeline import SimClock, Timeline
from djq_testing.sim.trace import Trace

STEPS_MAX = 60_000
STEPS_A_SECOND_MAX = 6_000
TASKS_MAX = 2_000
"""Most tasks that a longer run has of itself."""


def set_scene(rng: random.Random, case: Case) -> Scene:
    """Draw the scene, and make it what the case says; a longer run has more tasks."""
    drawn = draw_scene(rng, case.seed)
    scene = attrs.evolve(drawn, **case.of_scene())
    if "seconds" in case.changes and "tasks" not in case.changes:
        tasks = max(round(drawn.tasks * scene.seconds / drawn.seconds), 1)
        tasks = min(tasks, max(drawn.tasks, TASKS_MAX))
        scene = attrs.evolve(scene, tasks=tasks)
    return scene


SKEWS = (300.0, -300.0, 45.0, -3_600.0)


@attrs.frozen
class Outage:
    """A time in which a service does not answer."""

    service: str
    cluster: int | None
    """Who is cut off from it. None: everybody."""
    until: float


class SimObserver:
    """Writes what a process tells into the trace."""

    def __init__(self, world: World, process: SimProcess) -> None:
        self._world = world
        self._process = process

    def notify(self, event: Event) -> None:
        """Hear it."""
        self._world.note(self._process, "tells", event)


class World(Stage):
    """Everything there is in one run."""

    def __init__(self, case: Case, parts: Parts) -> None:
        self.case = case
        self.parts = parts
        self.rng = random.Random(case.seed)
        self.scene = set_scene(self.rng, case)
        plan = attrs.evolve(draw_faults(self.rng, case.seed), **case.of_faults())
        self.ids = SeededIds(case.seed)
        drawn = workload.draw_tasks(self.rng, self.ids, self.scene, plan)
        together = draw_compositions(random.Random(f"compositions {case.seed}"), drawn)
        self.compositions = kept_of(together, case)
        self.tasks = [spec for one in self.compositions for spec in one.tasks]
        self.chaos = Chaos(self.rng, plan, case)
        timeline = Timeline()
        super().__init__(self.chaos, timeline, Trace(timeline))
        self.chaos.tell = self._tell_strike
        self.server_clock = SimClock(self.timeline)
        self.codec = workload.make_codec()
        self.queue = QueueServer(self)
        self.store: MemoryStore = parts.store(save_limit=0)
        self.checker = Checker(self)
        schedules = draw_schedules(
            case.seed, self.scene.schedules, self.scene.seconds, shared=self.scene.one_unit
        )
        self.scheduling = Scheduling(self, schedules)
        self.outages: list[Outage] = []
        self.unsure = 0
        """Callers that do not know whether their task was enqueued, and are to send it again."""
        self.restarts = True
        """A cluster that has ended is started anew."""
        self._unattended: dict[int, float] = {}
        """Since when each cluster has had no monitor that could renew its leases."""
        self._skews: dict[int, timedelta] = {}
        self._steps = 0
        self._steps_max = max(STEPS_MAX, int(STEPS_A_SECOND_MAX * self.scene.seconds))

    # What tasks do; `workload` calls these.

    def perform(self, number: int, handed: tuple[object, ...]) -> int:
        """Do what the task of this number does, given what the link before has handed on to it."""
        spec, process = self.checker.numbered[number], self.stepping
        assert process is not None, "a task runs in a step of its worker"
        process.clock.behind = 0.0
        self.checker.composed.handed_on(spec, handed)
        self.checker.performed[spec.id] += 1
        fails = spec.fails(self.checker.performed[spec.id])
        if fails and spec.behaviour is workload.Behaviour.LEAVES:
            raise SystemExit(number)
        if fails and spec.behaviour is not workload.Behaviour.OVERRUNS:
            raise ValueError(f"task {number} fails")
        return number * 2

    def followed(self, task_id: str) -> None:
        """The hook of this task was called."""
        process = self.stepping
        assert process is not None, "a hook runs in a step of its worker"
        assert process.run is not None, "and its worker has begun it"
        process.clock.behind = 0.0
        if task_id not in self.checker.specs:
            raise Violation(f"I8: a hook was called with a task {task_id!r}")
        self.checker.followed[process.run.delivery.task_id] += 1

    def ticked(self, when: str) -> int:
        """A task of a schedule runs."""
        process = self.stepping
        assert process is not None, "a task runs in a step of its worker"
        assert process.run is not None, "and its worker has begun it"
        process.clock.behind = 0.0
        spec = self.checker.specs[process.run.delivery.task_id]
        self.checker.performed[spec.id] += 1
        return spec.number * 2

    # What happens to the services.

    def set_clocks_right(self) -> None:
        """Let everybody's clock show the time: schedules may go by it."""
        self._skews.clear()
        if self.scene.schedules:
            for process in self.processes.values():
                process.clock.shift = timedelta()

    def is_away(self, service: str, cluster: int) -> bool:
        """Whether a service is out of a cluster's reach."""
        now = self.timeline.now
        return self.chaos.is_on and any(
            one.service == service and one.cluster in {None, cluster} and now < one.until
            for one in self.outages
        )

    # What happens on the stage.

    def make(self, process: SimProcess) -> Component:
        around = Surroundings(process.clock, self.ids, SimObserver(self, process))
        return self._make(process, around)

    def bears(self, process: SimProcess) -> None:
        self._unattended.setdefault(process.cluster, self.timeline.now)
        process.clock.shift = self._skew_of(process.cluster)

    def starts(self, process: SimProcess) -> None:
        if process.role is Role.MONITOR:
            seconds = self.timeline.now - self._unattended[process.cluster]
            if seconds > self.scene.lease_seconds / 2:
                self.chaos.hits["unattended"] += 1

    def steps(self, process: SimProcess) -> None:
        self._steps += 1
        if self._steps > self._steps_max:
            raise Violation(f"I9: {self._steps_max} steps were not enough")

    def rests(self, process: SimProcess, wait: Wait) -> float | None:
        self._check_memory(process)
        return wait.seconds

    def seconds_of(self, process: SimProcess, delivery: Delivery) -> float:
        spec = self.checker.specs.get(delivery.task_id)
        return self.chaos.rng.uniform(0.0005, 0.01) if spec is None else spec.seconds

    def begins(self, process: SimProcess, run: TaskRun) -> None:
        spec = self.checker.specs.get(run.delivery.task_id)
        self.checker.run_began(process, run)
        if spec is not None and len(self.checker.runs[spec.id]) <= spec.kills:
            seconds = run.seconds * self.chaos.rng.random()
            self.timeline.after(seconds, self._kill_own, process, run)

    def ends(self, process: SimProcess, run: TaskRun) -> None:
        self.note(process, "has run", run.delivery.task_id)
        self.checker.run_ended(process, died=False)

    def crashes(self, process: SimProcess, finishing: TaskRun | None) -> None:
        # The sentinel may know of these that they began, and will not hear of their end.
        current: tuple[int, Delivery] | None = getattr(process.component, "current", None)
        if finishing is not None:
            self.checker.deaths[finishing.delivery.task_id] += 1
        if current is not None:
            self.checker.deaths[current[1].task_id] += 1

    def dies(self, process: SimProcess, cause: str) -> None:
        self._count_death(process, cause)
        if process.role is Role.MONITOR and process.component is not None:
            self._unattended[process.cluster] = self.timeline.now
        if process.run is not None:
            self.checker.deaths[process.run.delivery.task_id] += 1
            self.checker.run_ended(process, died=True)

    def finishes(self, process: SimProcess) -> None:
        if process.parent is None:
            component: Any = process.component
            self.checker.cluster_ended(process, cut_short=component.cut_short)

    def outlives(self, process: SimProcess) -> None:
        if self.restarts:
            self.timeline.after(self.chaos.rng.uniform(0.05, 3.0), self._restart)

    def _kill_own(self, process: SimProcess, run: TaskRun) -> None:
        if process.run is run:
            self.die(process, self.chaos.rng.choice((-9, -11, 1, 0)), "its own task")

    def _skew_of(self, cluster: int) -> timedelta:
        """How wrong the clock of a cluster's host has been from the first."""
        if cluster not in self._skews:
            skewed = self.chaos.strikes("clock_skew")
            seconds = self.chaos.rng.choice(SKEWS) if skewed else 0.0
            self._skews[cluster] = timedelta(seconds=seconds)
        return self._skews[cluster]

    def _tell_strike(self, kind: str) -> None:
        who = "somebody" if self.stepping is None else self.stepping.name
        self.trace.add(who, "is struck", kind)

    def _restart(self) -> None:
        if self.restarts and len(self.living(None)) < self.scene.clusters:
            self.start_cluster()

    def _count_death(self, process: SimProcess, cause: str) -> None:
        """A kill by the parent is a blow to whoever had done nothing wrong."""
        run = process.run
        # One whose end is ordered may die by its own task before that strikes.
        is_order = cause in {"its parent", "its command"} or (process.is_doomed and run is not None)
        if not is_order or process.component is None:
            return
        if process.role is not Role.WORKER:
            self.chaos.hits["ended"] += 1
            sentinel: Any = process.parent.component if process.parent is not None else None
            stops = isinstance(sentinel, self.parts.sentinel) and sentinel.closing.level is not None
            if stops and cause == "its parent":
                self.checker.cut(process)
        elif run is not None:
            limit = self.checker.limit(run.delivery.task_id)
            if limit is None or self.timeline.now - run.began < limit:
                self.chaos.hits["ended_task"] += 1

    def _check_memory(self, process: SimProcess) -> None:
        limit, component = self.scene.queue_limit, process.component
        if limit is None or not isinstance(component, self.parts.sentinel):
            return
        if component.book.waiting > limit + 2 * self.scene.workers:
            raise Violation(f"I12: {component.book.waiting} tasks wait in memory, not {limit}")

    # Making.

    def _make(self, process: SimProcess, around: Surroundings) -> Component:
        if process.role is None:
            process.spawner = SimSpawner(self, process)
            return self.parts.command(
                spawner=process.spawner,
                around=around,
                interrupts=lambda: process.signals,
                orphans=SimOrphans(self),
                cluster_id=str(process.cluster),
            )
        label = process.name.rpartition(" ")[0]
        ports: dict[str, Any] = {"around": around, "label": label, "pid": process.pid}
        return self._make_child(process, process.links[0], ports)

    def _make_child(self, process: SimProcess, link: Link, ports: dict[str, Any]) -> Component:
        broker, store = SimBroker(self, process), SimStore(self, process)
        match process.role:
            case Role.SENTINEL:
                process.spawner = SimSpawner(self, process)
                return self.parts.sentinel(
                    plan=self.plan(),
                    spawner=process.spawner,
                    command=link,
                    cluster_id=str(process.cluster),
                    **ports,
                )
            case Role.WORKER:
                return self.parts.worker(
                    link=link,
                    scope=nullcontext,
                    present=store.present,
                    max_payload=1_000_000,
                    **ports,
                )
            case Role.MONITOR:
                return self.parts.monitor(
                    link=link,
                    broker=broker,
                    store=store,
                    codec=self.codec,
                    schedules=SimScheduleStore(self, self.scheduling, process),
                    **ports,
                )
            case Role.SCHEDULER:
                return self.scheduling.make(process, link, ports)
        return self.parts.pusher(
            link=link,
            broker=broker,
            codec=self.codec,
            poll_seconds=0.5,
            bulk=self.scene.bulk,
            **ports,
        )

    def plan(self) -> Plan:
        """What the scene makes of a cluster."""
        scene = self.scene
        return Plan(
            policy=Policy(
                receipts=scene.receipts,
                ack_failures=scene.ack_failures,
                max_attempts=scene.max_attempts,
                timeout=scene.timeout,
            ),
            seats={
                Role.WORKER: scene.workers,
                Role.MONITOR: 1,
                Role.PUSHER: 1,
                **({Role.SCHEDULER: 1} if scene.schedules else {}),
            },
            queue_limit=scene.queue_limit,
            recycle=scene.recycle,
            lease_seconds=scene.lease_seconds,
            guard_cycle=2.0,
            stop_timeout=scene.stop_timeout,
            run_once=scene.run_once,
        )
