"""The stage: processes that step, live and die on one timeline.

It knows nothing of tasks, brokers and checks: whoever sets it makes the components, says how long a
task takes, and hears what happens to processes. How long everything else takes, and what goes wrong,
is the luck's to say: a seed's `Chaos`, or `CALM`, with which everything happens at once and well.

A step of a component is never interrupted, but it may end in the death of its process.
"""

from __future__ import annotations

import traceback
from typing import Protocol

from djq.core.lifecycle import ChildId, Role
from djq.core.protocol import Delivery
from djq.ports import Component, Wait
from djq_testing.sim.faults import KilledError, Violation
from djq_testing.sim.spawn import SimProcess, TaskRun
from djq_testing.sim.timeline import SimClock, Timeline
from djq_testing.sim.trace import Trace

IDLE_STEPS_MAX = 400


class Luck(Protocol):
    """How long things take, and whether they go wrong."""

    def strikes(self, name: str) -> bool:
        """Whether a fault of this kind strikes now."""
        ...

    def crash(self) -> None:
        """A point at which the process may die. Raises KilledError if it does."""
        ...

    def sent(self, count: int) -> int | None:
        """How many of these messages leave before the sender dies. None: it lives."""
        ...

    def room(self, count: int) -> int:
        """For how many of these messages there is room on offer."""
        ...

    def message_seconds(self) -> float:
        """How long a message takes."""
        ...

    def start_seconds(self) -> float:
        """How long a process takes to start."""
        ...

    def step_seconds(self) -> float:
        """How long a step takes, besides what a task takes."""
        ...

    def kill_seconds(self) -> float:
        """How long after the order a kill strikes."""
        ...

    def notice_seconds(self) -> float:
        """How long after a death its parent learns of it."""
        ...


class Calm:
    """The luck with which everything happens at once, and well."""

    def strikes(self, _name: str) -> bool:
        return False

    def crash(self) -> None:
        """Nobody dies."""

    def sent(self, _count: int) -> None:
        return None

    def room(self, count: int) -> int:
        return count

    def message_seconds(self) -> float:
        return 0.0

    start_seconds = step_seconds = kill_seconds = notice_seconds = message_seconds


class Stage:
    """The processes, and the order in which they step. Subclass it and define `make`."""

    def __init__(self, luck: Luck, timeline: Timeline, trace: Trace) -> None:
        self.luck = luck
        self.timeline = timeline
        self.trace = trace
        self.processes: dict[int, SimProcess] = {}
        self.stepping: SimProcess | None = None
        """Whose step it is. None: nobody's."""
        self._pids = 100
        self._clusters = 0

    # What happens on it: for whoever sets the stage.

    def make(self, process: SimProcess) -> Component:
        """Make what runs in a process that has started."""
        raise NotImplementedError(f"{type(self).__name__} must define make(process)")

    def bears(self, process: SimProcess) -> None:
        """A process was born and has not started yet."""

    def starts(self, process: SimProcess) -> None:
        """A process has got its component and not stepped yet."""

    def steps(self, process: SimProcess) -> None:
        """A process is about to step."""

    def rests(self, process: SimProcess, wait: Wait) -> float | None:
        """A process has stepped: seconds until it has to step again. None: when something comes."""
        return wait.seconds

    def seconds_of(self, process: SimProcess, delivery: Delivery) -> float:
        """How long this task will take."""
        return 0.0

    def begins(self, process: SimProcess, run: TaskRun) -> None:
        """A worker has begun a task."""

    def ends(self, process: SimProcess, run: TaskRun) -> None:
        """A worker's step that ran a task is over, and it lives or dies after it."""

    def dies(self, process: SimProcess, cause: str) -> None:
        """A process dies."""

    def crashes(self, process: SimProcess, finishing: TaskRun | None) -> None:
        """A process died in its own step, in which it finished this task."""

    def finishes(self, process: SimProcess) -> None:
        """What ran in a process came to its end by itself."""

    def outlives(self, process: SimProcess) -> None:
        """A process that runs a cluster is gone."""

    # Processes.

    def start_cluster(self) -> SimProcess:
        """Run a cluster, as somebody at a terminal would."""
        self._clusters += 1
        process = self._new(None, f"command {self._clusters}", None)
        process.cluster = self._clusters
        self._boot(process)
        return process

    def bear(self, child: ChildId, label: str, parent: SimProcess) -> SimProcess:
        """Start a child; it steps when it has started up."""
        process = self._new(child, f"{label} {child.role.value}", parent)
        process.cluster = parent.cluster
        self.bears(process)
        seconds = self.luck.start_seconds()
        if self.luck.strikes("death_at_start"):
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

    def pause(self, process: SimProcess, seconds: float) -> None:
        """Let a process stand still: it is alive, and does nothing."""
        process.ready_at = max(process.ready_at, self.timeline.now + seconds)
        self.note(process, "stands still", f"for {seconds:.3f} s")

    def die(self, process: SimProcess, code: int, cause: str) -> None:
        """End a process: nothing of it goes on but what it has sent."""
        if not process.is_alive:
            return
        self.note(process, "dies", f"with {code}, by {cause}")
        self.dies(process, cause)
        process.is_alive = False
        del self.processes[process.pid]
        for link in process.links:
            link.outbox.close()
        if process.parent is None:
            self.outlives(process)
        elif process.parent.is_alive:
            self.timeline.after(self.luck.notice_seconds(), self._report, process, code)

    def aside(self) -> None:
        """A call that changes nothing outside of its caller, who may die in it all the same."""
        if self.luck.strikes("crash_aside"):
            raise KilledError

    def note(self, process: SimProcess, what: str, detail: object) -> None:
        """Write a line of the trace."""
        self.trace.add(process.name, what, detail)

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
        self.steps(process)
        finishing = process.run
        if finishing is not None:
            process.clock.behind = self.timeline.now - finishing.began
        assert process.component is not None, "a process steps after it has started"
        self.stepping, wait, killed = process, None, False
        try:
            wait = process.component.step()
        except KilledError:
            killed = True
        except Violation:
            raise
        except Exception as error:
            raise Violation(f"{process.name} crashed:\n{traceback.format_exc()}") from error
        finally:
            process.clock.behind = 0.0
            self.stepping = None
        process.ready_at = self.timeline.now + self.luck.step_seconds()
        if finishing is not None:
            process.run = None
            self.ends(process, finishing)
        if killed:
            self.crashes(process, finishing)
            self.die(process, -9, "a crash point")
        elif wait is None:
            self.die(process, 0, "itself")
            self.finishes(process)
        else:
            self._go_on(process, wait)

    def _go_on(self, process: SimProcess, wait: Wait) -> None:
        current: tuple[int, Delivery] | None = getattr(process.component, "current", None)
        if current is not None:
            ticket, delivery = current
            seconds = self.seconds_of(process, delivery)
            process.run = TaskRun(ticket, delivery, self.timeline.now, seconds)
            process.ready_at = self.timeline.now + seconds
            self.note(process, "runs", delivery)
            self.begins(process, process.run)
        is_busy = wait.seconds is not None and wait.seconds < 1e-6
        process.idle_steps = process.idle_steps + 1 if is_busy else 0
        if process.idle_steps > IDLE_STEPS_MAX:
            raise Violation(f"I9: {process.name} is busy with nothing")
        pause = self.rests(process, wait)
        if pause is not None:
            self._request(process, self.timeline.now + pause)

    # Making.

    def _new(self, child: ChildId | None, name: str, parent: SimProcess | None) -> SimProcess:
        self._pids += 1
        clock = SimClock(self.timeline)
        process = SimProcess(self._pids, name, child, parent, 0, clock)
        self.processes[process.pid] = process
        return process

    def _boot(self, process: SimProcess) -> None:
        if process.is_alive:
            process.component = self.make(process)
            self.starts(process)
            self._request(process, self.timeline.now)

    def _report(self, process: SimProcess, code: int) -> None:
        parent = process.parent
        if parent is not None and parent.spawner is not None and process.child is not None:
            parent.spawner.report(process.child, code)
            self.wake(parent)
