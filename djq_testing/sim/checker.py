"""What must hold, whatever struck; and what must hold exactly when nothing struck.

The numbers are those of the reliability page: I1 no loss, I2 no ghosts, I3 bounded runs, I4
exclusion, I5 one record, I6 save before acknowledge, I8 hooks, I9 liveness, I10 clean stop, I11 no
orphans, I12 bounded memory. What a broker without receipts cannot promise is not asked of it: a
task may be lost there, but only if something struck. What chains and iters have to hold beside that
is in `composition_checker`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from djq.core.call import load_value
from djq.core.composition import derived_id
from djq.core.gathering import Gathered
from djq.core.lifecycle import Role
from djq.core.message import Finished, Kind, Outcome, TaskMessage
from djq_testing.memory import MemoryTask
from djq_testing.sim.composition_checker import STORE_AWAY, CompositionChecker, Kept
from djq_testing.sim.faults import Violation
from djq_testing.sim.workload import ERROR_LINES, SCHEDULED_FROM, Behaviour, TaskSpec

if TYPE_CHECKING:
    from djq_testing.sim.servers import Handed
    from djq_testing.sim.spawn import SimProcess, TaskRun
    from djq_testing.sim.world import World

HARMLESS = STORE_AWAY | {
    *("clock_jump", "clock_skew", "spawn_failure", "death_at_start", "slow_start"),
}
"""What may strike and still every task runs exactly once."""
STOP_HITS = {"cut_short", "ended", "ended_task"}
"""What a stop itself does when it is asked for often enough."""
DELAYS = {"slow_message", "pause_process", "pause_cluster"}
LIMIT_SLACK_SECONDS = 0.1
UNFORESEEN = {Behaviour.GRAZES, Behaviour.GIVEN}
"""Nobody knows how these end."""
HOOKS = ("success", "failure")


@attrs.define(eq=False)
class RunRecord:
    """One run of one task, as the world saw it."""

    task_id: str
    sentinel: int
    slot: int
    began: float
    ended: float | None = None
    died: bool = False


class Checker:
    """Sees everything; believes nobody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.specs: dict[str, TaskSpec] = {}
        self.numbered = {spec.number: spec for spec in world.tasks}
        self.hooks: dict[str, TaskSpec] = {}
        for spec in world.tasks:
            self.expect(spec)
        self.composed = CompositionChecker(world, self)
        self.runs: defaultdict[str, list[RunRecord]] = defaultdict(list)
        self.performed: Counter[str] = Counter()
        self.followed: Counter[str] = Counter()
        self.saves: Counter[tuple[str, bool]] = Counter()
        self.failed_in: Counter[str] = Counter()
        """The highest attempt of which a failure was saved."""
        self.deaths: Counter[str] = Counter()
        """Workers that died under a task, by its id."""
        self._runs_of: Counter[int] = Counter()
        self._running: dict[int, RunRecord] = {}
        self._receipts_run: set[str] = set()
        self._must_cut: set[int] = set()
        """Clusters whose stop cannot end without ending a task."""
        self._cut: set[int] = set()
        """Clusters whose sentinel has ended one that still had work to do."""

    def expect(self, spec: TaskSpec) -> None:
        """A task is asked for."""
        self.specs[spec.id] = spec
        if spec.hook:
            self.hooks |= {derived_id(spec.id, f"hook:{how}"): spec for how in HOOKS}

    def forget(self, task_id: str) -> None:
        """Nobody has asked for it after all."""
        if self.specs.pop(task_id).hook:
            for how in HOOKS:
                del self.hooks[derived_id(task_id, f"hook:{how}")]

    # Seen while it happens.

    def run_began(self, process: SimProcess, run: TaskRun) -> None:
        """A worker runs a task from now on."""
        delivery = run.delivery
        assert process.child is not None, "only a command is no child"
        assert process.parent is not None, "a child has a parent"
        self._known(delivery.task_id)
        allowed = self._attempts(delivery.task_id)
        if delivery.attempt > allowed:
            raise Violation(
                f"I3: {self._say(delivery.task_id)} runs in delivery {delivery.attempt}"
            )
        receipt = (delivery.receipt or "").rstrip("+")
        if receipt in self._receipts_run:
            raise Violation(f"I3: {self._say(delivery.task_id)} runs twice by receipt {receipt}")
        if receipt:
            self._receipts_run.add(receipt)
        record = RunRecord(
            delivery.task_id, process.parent.pid, process.child.slot, self._world.timeline.now
        )
        others = [r for r in self._running.values() if r.sentinel == record.sentinel]
        if any(other.slot == record.slot for other in others):
            raise Violation(f"I4: two generations of seat {record.slot} run a task at a time")
        if len(others) >= self._world.scene.workers:
            raise Violation(f"I4: more tasks run than there are workers ({len(others) + 1})")
        recycle = self._world.scene.recycle
        self._runs_of[process.pid] += 1
        if recycle is not None and self._runs_of[process.pid] > recycle:
            raise Violation(f"I12: {process.name} runs {self._runs_of[process.pid]} tasks")
        self._running[process.pid] = record
        self.runs[record.task_id].append(record)

    def run_ended(self, process: SimProcess, *, died: bool) -> None:
        """A worker has run its task to the end, or died in it."""
        record = self._running.pop(process.pid)
        record.ended, record.died = self._world.timeline.now, died
        assert process.parent is not None, "a worker has a parent"
        limit = self.limit(record.task_id)
        hits = self._world.chaos.hits
        if limit is None or not process.parent.is_alive or DELAYS & hits.keys():
            return
        seconds = record.ended - record.began
        if seconds > limit + LIMIT_SLACK_SECONDS:
            raise Violation(f"I9: {self._say(record.task_id)} was let run for {seconds:.2f} s")

    def saved(
        self,
        process: SimProcess,
        batch: Sequence[Finished],
        gathered: Sequence[Gathered],
        before: Kept,
    ) -> None:
        """The store has kept a batch; `before` is what it had kept until then."""
        for finished in batch:
            id, outcome = finished.message.id, finished.outcome
            self._known(id)
            self.saves[id, outcome.success] += 1
            if finished.message.iter is None:
                self._check_kept(id, outcome, before.tasks.get(id))
            if outcome.success:
                self._check_success(self.specs[id], finished)
            else:
                self.failed_in[id] = max(self.failed_in[id], finished.attempt)
                self._check_failure(self.specs[id], finished)
        self.composed.saved(process, batch, gathered, before)

    def handed_out(self, handed: Handed, counted: int) -> None:
        """The broker delivers a package; `counted` is which attempt that is by the world's own count."""
        if handed.message is not None and handed.attempt != counted:
            raise Violation(
                f"I3: {self._say(handed.message.id)} is delivered as attempt {handed.attempt}, "
                f"and it is number {counted}"
            )

    def acknowledged(self, handed: Handed) -> None:
        """The broker is told that a task has been processed."""
        message = handed.message
        if message is None:
            raise Violation("I6: poison was acknowledged")
        if message.kind is Kind.TASK and not self.composed.is_kept(message):
            raise Violation(f"I6: {self._say(message.id)} was acknowledged and is not saved")
        ran = message.kind is Kind.TASK or self.runs[message.id]
        if not ran and handed.attempt < self._world.scene.max_attempts:
            raise Violation(f"I8: {self._say(message.id)} was acknowledged and has not run")

    def released(self, handed: Handed, *, begun: bool) -> None:
        """A task is given back to the broker."""
        ran = handed.inner in self._receipts_run
        if handed.message is not None and ran and not begun and not self.is_disturbed:
            raise Violation(f"I3: {self._say(handed.message.id)} ran and is not counted")

    def failed(self, message: TaskMessage | None) -> None:
        """The broker is told that a package cannot be opened."""
        if message is not None:
            raise Violation(f"I13: the good package of {self._say(message.id)} was failed")

    def signalled(self, process: SimProcess) -> None:
        """A cluster has got a stop signal; the third ends what runs."""
        runs = [p.run for p in self._world.living(Role.WORKER) if p.cluster == process.cluster]
        now = self._world.timeline.now
        if process.signals == 3 and any(r and r.began + r.seconds > now + 0.1 for r in runs):
            self._must_cut.add(process.cluster)

    def cut(self, process: SimProcess) -> None:
        """A sentinel that stops has killed one that had not done its part."""
        self._cut.add(process.cluster)

    def cluster_ended(self, process: SimProcess, *, cut_short: bool) -> None:
        """The process that ran a cluster is done."""
        timely = self._world.scene.stop_timeout is None and process.signals < 3
        if cut_short and timely and not self._world.chaos.hits.keys() - {"ended"}:
            raise Violation("I10: a stop that nothing disturbed says that it was cut short")
        blows = self._world.chaos.hits.keys() - STOP_HITS
        if not cut_short and process.cluster in self._cut | (set() if blows else self._must_cut):
            raise Violation("I10: a stop that ended work before its time says that all went well")
        if cut_short:
            self._world.chaos.hits["cut_short"] += 1
        if not self.is_disturbed and self._world.scene.receipts:
            left = [self._say(id) for id in self._world.queue.leased_to(process.cluster)]
            if left and self._world.scene.ack_failures:
                raise Violation(f"I10: neither acknowledged nor given back: {', '.join(left)}")

    # Judged at the end.

    @property
    def is_disturbed(self) -> bool:
        """Something struck that may make a task run again."""
        return bool(self._world.chaos.hits.keys() - HARMLESS)

    def finish(self) -> None:
        """All is over."""
        may_be_lost = not self._world.scene.receipts and bool(self._world.chaos.hits)
        for spec in self.specs.values():
            if spec.id in self.composed.elements:
                if not self.is_disturbed:
                    self._check_runs(spec)
                continue
            record = self._world.store.find(spec.id)
            if record is None:
                # A slot may have come when the stop had begun.
                late = spec.number >= SCHEDULED_FROM and self._world.queue.has(spec.id)
                if not may_be_lost and not late:
                    raise Violation(f"I1: {self._say(spec.id)} has no outcome")
                continue
            if not self.is_disturbed:
                self._check_runs(spec)
                self._check_exactly(spec, record)
            if record.hook is not None and not may_be_lost:
                self._check_hook(spec, record)
        self.composed.finish(may_be_lost=may_be_lost)

    def limit(self, task_id: str) -> float | None:
        """Seconds that a run may take."""
        spec = self.specs.get(task_id)
        return self._world.scene.timeout if spec is None else spec.limit

    def has_failed_for_good(self, spec: TaskSpec) -> bool:
        """Whether a failure of the task was saved that is not tried again by the broker."""
        left = self._world.scene.receipts and not self._world.scene.ack_failures
        if not left or spec.behaviour is Behaviour.UNKEEPABLE:
            return self.saves[spec.id, False] > 0
        return self.failed_in[spec.id] >= spec.attempts

    def expected(self, spec: TaskSpec) -> tuple[int, bool]:
        """How often a task runs and whether it succeeds, where nothing strikes; not of what grazes."""
        allowed = spec.attempts if self._world.scene.receipts else 1
        if spec.errors and self._world.scene.ack_failures:
            return 1, False
        bad_runs = spec.kills + spec.errors
        return min(bad_runs + 1, allowed), bad_runs < allowed

    def _check_kept(self, id: str, outcome: Outcome, before: MemoryTask | None) -> None:
        kept = self._world.store.find(id)
        if kept is None or (not kept.success and outcome.success):
            raise Violation(f"I5: the outcome of {self._say(id)} was not kept")
        if before is not None and before.success and kept != before:
            raise Violation(f"I5: the success of {self._say(id)} was replaced")

    def _check_success(self, spec: TaskSpec, finished: Finished) -> None:
        if spec.behaviour is Behaviour.GIVEN:
            if not self.runs[spec.id]:
                raise Violation(f"I2: {self._say(spec.id)} has a result and never ran")
            return
        value = load_value(finished.outcome.value)
        if value != spec.number * 2 or not self.performed[spec.id]:
            raise Violation(f"I2: {self._say(spec.id)} has the invented result {value!r}")

    def _check_failure(self, spec: TaskSpec, finished: Finished) -> None:
        line = str(load_value(finished.outcome.value))
        kind = line.partition(":")[0]
        limit, now = spec.limit, self._world.timeline.now
        longest = max(((r.ended or now) - r.began for r in self.runs[spec.id]), default=0.0)
        allowed = {
            "TaskTimedOut": limit is not None and longest >= limit - LIMIT_SLACK_SECONDS,
            "WorkerDied": self.deaths[spec.id] > 0,
            "TooManyAttempts": finished.attempt > spec.attempts,
            "ChainStopped": self.composed.was_stopped(spec, line),
            ERROR_LINES.get(spec.behaviour): True,
        }
        if spec.behaviour is Behaviour.GIVEN and kind not in allowed and self.runs[spec.id]:
            return
        garbled = spec.behaviour is Behaviour.GARBLED and "UnpicklingError" in line
        if not garbled and not allowed.get(kind):
            raise Violation(f"I2: {self._say(spec.id)} has the invented failure {line!r}")

    def _check_runs(self, spec: TaskSpec) -> None:
        runs, (expected, _) = len(self.runs[spec.id]), self.expected(spec)
        if not self.composed.is_reached(spec):
            expected = 0
        hits, receipts = self._world.chaos.hits, self._world.scene.receipts
        if spec.number >= SCHEDULED_FROM and hits:
            # What a scheduler tries again it may send again, if it had to wait for long.
            return
        if spec.behaviour is Behaviour.GIVEN and receipts and not self._world.scene.ack_failures:
            # Who knows whether it fails.
            return
        if spec.behaviour is not Behaviour.GRAZES and runs != expected:
            raise Violation(f"I3: {self._say(spec.id)} ran {runs} times, not {expected}")

    def _check_exactly(self, spec: TaskSpec, record: MemoryTask) -> None:
        _, success = self.expected(spec)
        success = success and spec.behaviour is not Behaviour.UNKEEPABLE
        success = success and self.composed.is_reached(spec)
        if spec.behaviour not in UNFORESEEN and record.success is not success:
            raise Violation(f"I5: {self._say(spec.id)} ended with success {record.success}")

    def _check_hook(self, spec: TaskSpec, record: MemoryTask) -> None:
        id = derived_id(spec.id, "hook:success" if record.success else "hook:failure")
        runs, scene = len(self.runs[id]), self._world.scene
        excused = self._world.queue.attempts[id] >= scene.max_attempts and self._world.chaos.hits
        if not runs and not excused:
            raise Violation(f"I8: the hook of {self._say(spec.id)} was never called")
        if self.is_disturbed or STORE_AWAY & self._world.chaos.hits.keys():
            return
        called = runs if spec.behaviour is Behaviour.GIVEN else self.followed[id]
        if not runs == self.saves[spec.id, record.success] == called:
            raise Violation(f"I8: the hook of {self._say(spec.id)} was called {runs} times")

    def _known(self, task_id: str) -> None:
        if task_id not in self.specs and task_id not in self.hooks:
            raise Violation(f"I2: nobody enqueued {task_id}")

    def _attempts(self, task_id: str) -> int:
        spec = self.specs.get(task_id)
        return self._world.scene.max_attempts if spec is None else spec.attempts

    def name(self, task_id: str) -> str:
        """A few words for a task."""
        spec = self.specs.get(task_id) or self.hooks.get(task_id)
        if spec is None:
            return f"task {task_id[:8]}"
        return spec.title if task_id in self.specs else f"the hook of {spec.title}"

    def _say(self, task_id: str) -> str:
        spec = self.specs.get(task_id)
        if spec is None:
            spec = self.hooks[task_id]
            return f"hook {task_id[:8]} of {spec.title}"
        return f"{spec.title} (it {spec.behaviour.value})"
