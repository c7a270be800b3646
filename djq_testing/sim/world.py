"""The world of a simulated run: the stage with its servers, its tasks and its checker.

One random.Random decides everything: who dies, how long a step, a message, a task or a start takes.
The components are the real ones.
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any

from djq.core.events import Event
from djq.core.lifecycle import Role
from djq.core.plan import Plan
from djq.core.protocol import Delivery
from djq.core.settlement import Policy
from djq.ports import Component, Surroundings, Wait
from djq_testing.clock import SeededIds
from djq_testing.memory import MemoryStore
from djq_testing.sim import workload
from djq_testing.sim.checker import Checker
from djq_testing.sim.compositions import draw_compositions
from djq_testing.sim.faults import Chaos, Violation, draw_faults, draw_scene
from djq_testing.sim.parts import Parts
from djq_testing.sim.servers import QueueServer, SimBroker, SimStore
from djq_testing.sim.spawn import SimOrphans, SimProcess, SimSpawner, TaskRun
from djq_testing.sim.stage import Stage
from djq_testing.sim.timeline import SimClock, Timeline
from djq_testing.sim.trace import Trace

STEPS_MAX = 60_000


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

    def __init__(self, seed: int, parts: Parts) -> None:
        self.parts = parts
        rng = random.Random(seed)
        self.scene = draw_scene(rng)
        plan = draw_faults(rng)
        self.ids = SeededIds(seed)
        self.tasks = workload.draw_tasks(rng, self.ids, self.scene, plan)
        self.compositions = draw_compositions(random.Random(f"compositions {seed}"), self.tasks)
        self.chaos = Chaos(rng, plan)
        timeline = Timeline()
        super().__init__(self.chaos, timeline, Trace(timeline))
        self.server_clock = SimClock(self.timeline)
        self.codec = workload.make_codec()
        self.queue = QueueServer(self)
        self.store: MemoryStore = parts.store(save_limit=0)
        self.checker = Checker(self)
        self.restarts = True
        """A cluster that has ended is started anew."""
        self._unattended: dict[int, float] = {}
        """Since when each cluster has had no monitor that could renew its leases."""
        self._steps = 0

    # What tasks do; `workload` calls these.

    def perform(self, number: int, handed: tuple[object, ...]) -> int:
        """Do what the task of this number does, given what the link before has handed on to it."""
        spec, process = self.tasks[number], self.stepping
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

    # What happens on the stage.

    def make(self, process: SimProcess) -> Component:
        around = Surroundings(process.clock, self.ids, SimObserver(self, process))
        return self._make(process, around)

    def bears(self, process: SimProcess) -> None:
        self._unattended.setdefault(process.cluster, self.timeline.now)

    def starts(self, process: SimProcess) -> None:
        if process.role is Role.MONITOR:
            seconds = self.timeline.now - self._unattended[process.cluster]
            if seconds > self.scene.lease_seconds / 2:
                self.chaos.hits["unattended"] += 1

    def steps(self, process: SimProcess) -> None:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Violation(f"I9: {STEPS_MAX} steps were not enough")

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
        label = process.name.rpartition(" ")[0]
        common: dict[str, Any] = {"around": around, "label": label, "pid": process.pid}
        broker, store = SimBroker(self, process), SimStore(self, process)
        cluster = str(process.cluster)
        if process.role is None:
            process.spawner = SimSpawner(self, process)
            return self.parts.command(
                spawner=process.spawner,
                around=around,
                interrupts=lambda: process.signals,
                orphans=SimOrphans(self),
                cluster_id=cluster,
            )
        link = process.links[0]
        match process.role:
            case Role.SENTINEL:
                process.spawner = SimSpawner(self, process)
                return self.parts.sentinel(
                    plan=self.plan(),
                    spawner=process.spawner,
                    command=link,
                    cluster_id=cluster,
                    **common,
                )
            case Role.WORKER:
                return self.parts.worker(
                    link=link,
                    scope=nullcontext,
                    present=store.present,
                    max_payload=1_000_000,
                    **common,
                )
            case Role.MONITOR:
                return self.parts.monitor(
                    link=link, broker=broker, store=store, codec=self.codec, **common
                )
        return self.parts.pusher(
            link=link,
            broker=broker,
            codec=self.codec,
            poll_seconds=0.5,
            bulk=self.scene.bulk,
            **common,
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
            seats={Role.WORKER: scene.workers, Role.MONITOR: 1, Role.PUSHER: 1},
            queue_limit=scene.queue_limit,
            recycle=scene.recycle,
            lease_seconds=scene.lease_seconds,
            guard_cycle=2.0,
            stop_timeout=scene.stop_timeout,
            run_once=scene.run_once,
        )
