"""The stage: every process, every server, and the order in which they step.

One random.Random decides everything: who dies, how long a step, a message, a task or a start takes.
The components are the real ones; a step of one is never interrupted, but it may end in its death.
"""

from __future__ import annotations

import random
import traceback
from contextlib import nullcontext
from typing import Any

from djq.core.events import Event
from djq.core.lifecycle import ChildId, Role
from djq.core.plan import Plan
from djq.core.protocol import Delivery
from djq.core.settlement import Policy
from djq.ports import Component, Surroundings
from djq_testing.clock import SeededIds
from djq_testing.memory import MemoryStore
from djq_testing.sim import spawn, workload
from djq_testing.sim.checker import Checker
from djq_testing.sim.compositions import draw_compositions
from djq_testing.sim.faults import Chaos, Violation, draw_faults, draw_scene
from djq_testing.sim.parts import Parts
from djq_testing.sim.servers import QueueServer, SimBroker, SimStore
from djq_testing.sim.spawn import SimOrphans, SimProcess, SimSpawner, TaskRun
from djq_testing.sim.timeline import SimClock, Timeline
from djq_testing.sim.trace import Trace

STEPS_MAX = 60_000
IDLE_STEPS_MAX = 400


class SimObserver:
    """Writes what a process tells into the trace."""

    def __init__(self, world: World, process: SimProcess) -> None:
        self._world = world
        self._process = process

    def notify(self, event: Event) -> None:
        """Hear it."""
        self._world.note(self._process, "tells", event)


class World:
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
        self.timeline = Timeline()
        self.trace = Trace(self.timeline)
        self.server_clock = SimClock(self.timeline)
        self.codec = workload.make_codec()
        self.queue = QueueServer(self)
        self.store: MemoryStore = parts.store(save_limit=0)
        self.processes: dict[int, SimProcess] = {}
        self.checker = Checker(self)
        self.restarts = True
        """A cluster that has ended is started anew."""
        self._unattended: dict[int, float] = {}
        """Since when each cluster has had no monitor that could renew its leases."""
        self._stepping: SimProcess | None = None
        self._steps = 0
        self._pids = 100
        self._clusters = 0

    # Processes begin.

    def start_cluster(self) -> None:
        """Run a cluster, as somebody at a terminal would."""
        self._clusters += 1
        process = self._new(None, f"command {self._clusters}", None)
        process.cluster = self._clusters
        self._boot(process)

    def bear(self, child: ChildId, label: str, parent: SimProcess) -> SimProcess:
        """Start a child; it steps when it has started up."""
        name = f"{label} {child.role.value}"
        process = self._new(child, name, parent)
        process.cluster = parent.cluster
        self._unattended.setdefault(parent.cluster, self.timeline.now)
        seconds = self.chaos.rng.uniform(0.001, 0.03)
        if self.chaos.strikes("death_at_start"):
            self.timeline.after(seconds, self.die, process, 70, "its start")
        else:
            self.timeline.after(seconds, self._boot, process)
        self.note(process, "is born", None)
        return process

    def living(self, role: Role | None) -> list[SimProcess]:
        """The processes of a role; None stands for those that run a cluster."""
        return [p for p in self.processes.values() if p.is_alive and p.role is role]

    def wake(self, process: SimProcess) -> None:
        """Something came for a process."""
        if process.is_alive and process.component is not None:
            self._request(process, self.timeline.now)

    def die(self, process: SimProcess, code: int, cause: str) -> None:
        """End a process: nothing of it goes on but what it has sent."""
        if not process.is_alive:
            return
        self.note(process, "dies", f"with {code}, by {cause}")
        self._count_death(process, cause)
        process.is_alive = False
        if process.role is Role.MONITOR and process.component is not None:
            self._unattended[process.cluster] = self.timeline.now
        del self.processes[process.pid]
        if process.run is not None:
            self.checker.deaths[process.run.delivery.task_id] += 1
            self.checker.run_ended(process, died=True)
        for link in process.links:
            link.outbox.close()
        if process.parent is None:
            if self.restarts:
                self.timeline.after(self.chaos.rng.uniform(0.05, 3.0), self._restart)
        elif process.parent.is_alive:
            seconds = self.chaos.rng.uniform(0.0002, 0.01)
            self.timeline.after(seconds, self._report, process, code)

    def note(self, process: SimProcess, what: str, detail: object) -> None:
        """Write a line of the trace."""
        self.trace.add(process.name, what, detail)

    # What tasks do; `workload` calls these.

    def perform(self, number: int, handed: tuple[object, ...]) -> int:
        """Do what the task of this number does, given what the link before has handed on to it."""
        spec, process = self.tasks[number], self._stepping
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
        process = self._stepping
        assert process is not None, "a hook runs in a step of its worker"
        assert process.run is not None, "and its worker has begun it"
        process.clock.behind = 0.0
        if task_id not in self.checker.specs:
            raise Violation(f"I8: a hook was called with a task {task_id!r}")
        self.checker.followed[process.run.delivery.task_id] += 1

    # Steps.

    def _request(self, process: SimProcess, moment: float) -> None:
        moment = max(moment, process.ready_at)
        if process.requested_at is None or moment < process.requested_at:
            process.requested_at = moment
            self.timeline.at(moment, self._step, process, moment)

    def _step(self, process: SimProcess, moment: float) -> None:
        if not process.is_alive or process.requested_at != moment:
            return
        process.requested_at = None
        if process.ready_at > self.timeline.now:
            self._request(process, process.ready_at)
            return
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise Violation(f"I9: {STEPS_MAX} steps were not enough")
        finishing = process.run
        if finishing is not None:
            process.clock.behind = self.timeline.now - finishing.began
        self._stepping = process
        try:
            answer = spawn.step(process)
        except Violation:
            raise
        except Exception as error:
            raise Violation(f"{process.name} crashed:\n{traceback.format_exc()}") from error
        finally:
            process.clock.behind = 0.0
            self._stepping = None
        self._after(process, finishing, answer)

    def _after(
        self,
        process: SimProcess,
        finishing: TaskRun | None,
        answer: tuple[float | None, bool] | None,
    ) -> None:
        current: tuple[int, Delivery] | None = getattr(process.component, "current", None)
        process.ready_at = self.timeline.now + self.chaos.rng.uniform(0.00002, 0.0005)
        if finishing is not None:
            process.run = None
            self.checker.run_ended(process, died=False)
        if answer is None:
            # The sentinel may know of these that they began, and will not hear of their end.
            for delivery in [finishing.delivery] if finishing is not None else []:
                self.checker.deaths[delivery.task_id] += 1
            if current is not None:
                self.checker.deaths[current[1].task_id] += 1
            self.die(process, -9, "a crash point")
            return
        seconds, goes_on = answer
        if not goes_on:
            self._end(process)
            return
        if current is not None:
            self._begin(process, *current)
        self._check_memory(process)
        process.idle_steps = process.idle_steps + 1 if seconds is not None and seconds < 1e-6 else 0
        if process.idle_steps > IDLE_STEPS_MAX:
            raise Violation(f"I9: {process.name} is busy with nothing")
        if seconds is not None:
            self._request(process, self.timeline.now + seconds)

    def _begin(self, process: SimProcess, ticket: int, delivery: Delivery) -> None:
        """A worker has said that it begins a task: let the task's time pass before its next step."""
        spec, rng = self.checker.specs.get(delivery.task_id), self.chaos.rng
        seconds = rng.uniform(0.0005, 0.01) if spec is None else spec.seconds
        process.run = TaskRun(ticket, delivery, self.timeline.now, seconds)
        process.ready_at = self.timeline.now + seconds
        self.note(process, "runs", delivery)
        self.checker.run_began(process, process.run)
        if spec is not None and len(self.checker.runs[spec.id]) <= spec.kills:
            self.timeline.after(seconds * rng.random(), self._kill_own, process, process.run)

    def _kill_own(self, process: SimProcess, run: TaskRun) -> None:
        if process.run is run:
            self.die(process, self.chaos.rng.choice((-9, -11, 1, 0)), "its own task")

    def _end(self, process: SimProcess) -> None:
        component: Any = process.component
        self.die(process, 0, "itself")
        if process.parent is None:
            self.checker.cluster_ended(process, cut_short=component.cut_short)

    def _restart(self) -> None:
        if self.restarts and len(self.living(None)) < self.scene.clusters:
            self.start_cluster()

    def _report(self, process: SimProcess, code: int) -> None:
        parent = process.parent
        if parent is not None and parent.spawner is not None and process.child is not None:
            parent.spawner.report(process.child, code)
            self.wake(parent)

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

    def _new(self, child: ChildId | None, name: str, parent: SimProcess | None) -> SimProcess:
        self._pids += 1
        clock = SimClock(self.timeline)
        process = SimProcess(self._pids, name, child, parent, 0, clock)
        self.processes[process.pid] = process
        return process

    def _boot(self, process: SimProcess) -> None:
        if not process.is_alive:
            return
        around = Surroundings(process.clock, self.ids, SimObserver(self, process))
        process.component = self._make(process, around)
        if process.role is Role.MONITOR:
            seconds = self.timeline.now - self._unattended[process.cluster]
            if seconds > self.scene.lease_seconds / 2:
                self.chaos.hits["unattended"] += 1
        self._request(process, self.timeline.now)

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
