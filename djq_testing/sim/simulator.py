"""One run from its seed: a phase in which everything may go wrong, and one in which all must heal.

In the safety phase faults strike and the checker watches. Then the faults end, and within a bounded
time everything must be done and every seat filled. Then a stop is asked for, and within a bounded
time nothing may be left.
"""

from __future__ import annotations

import attrs

from djq.core.lifecycle import ChildState, ClusterState, Role
from djq_testing.sim.compositions import CHAIN_MAX, Single
from djq_testing.sim.faults import FaultPlan, Scene, Violation
from djq_testing.sim.nemesis import Nemesis
from djq_testing.sim.parts import Parts
from djq_testing.sim.spawn import SimProcess
from djq_testing.sim.workload import STAGE
from djq_testing.sim.world import World

HEAL_SECONDS = 120.0
STOP_SECONDS = 200.0


@attrs.frozen(kw_only=True)
class Run:
    """What came of one seed."""

    seed: int
    """The number that everything follows from."""
    scene: Scene
    """The cluster."""
    plan: FaultPlan
    """The rates of its faults."""
    together: list[str]
    """Which of its tasks belong together: chains and iters."""
    hits: dict[str, int]
    """What struck, and how often."""
    seconds: float
    """Simulated time that passed."""
    failure: str | None
    """The invariant that did not hold. None: all did."""
    trace: list[str] = attrs.field(repr=False)
    """What happened."""

    def describe(self) -> str:
        """The plan first, then what came of it."""
        scene = ", ".join(f"{k}={v}" for k, v in attrs.asdict(self.scene).items())
        faults = ", ".join(f"{k}={v}" for k, v in attrs.asdict(self.plan).items() if v)
        hits = ", ".join(f"{k} {v}" for k, v in sorted(self.hits.items()))
        return "\n".join(
            (
                f"seed {self.seed}",
                f"scene: {scene}",
                f"faults: {faults or 'none'}",
                f"together: {'; '.join(self.together) or 'none'}",
                f"struck: {hits or 'nothing'}",
                f"ended after {self.seconds:.1f} s: {self.failure or 'all invariants hold'}",
                f"replay: python -m djq_testing.sim --seed {self.seed} --verbose",
            )
        )


def simulate(seed: int, parts: Parts | None = None, *, traced: bool = True) -> Run:
    """Run one seed to its end; never raises for a broken invariant, the run tells."""
    world = World(seed, parts or Parts())
    token = STAGE.set(world)
    failure = None
    try:
        _play(world)
    except Violation as violation:
        failure = str(violation)
    finally:
        STAGE.reset(token)
    return Run(
        seed=seed,
        scene=world.scene,
        plan=world.chaos.plan,
        together=[one.describe() for one in world.compositions if not isinstance(one, Single)],
        hits=dict(world.chaos.hits),
        seconds=world.timeline.now,
        failure=failure,
        trace=world.trace.lines() if traced or failure else [],
    )


def _play(world: World) -> None:
    nemesis = Nemesis(world)
    nemesis.begin()
    world.timeline.run(world.scene.seconds, lambda: False)

    world.chaos.is_on = False
    attempts = max(spec.attempts for spec in world.tasks)
    work = sum(min(spec.seconds, spec.limit or spec.seconds) for spec in world.tasks)
    # The links of a chain wait for one another, each for its leases.
    leases = world.scene.lease_seconds * CHAIN_MAX
    bound = HEAL_SECONDS + (leases + work) * (attempts + 1)
    if not world.timeline.run(world.timeline.now + bound, lambda: _is_healed(world)):
        raise Violation(f"I9: still not healed after {bound:.0f} s: {pending(world)}")

    world.restarts = False
    for command in world.living(None):
        command.signals += 1
        world.note(command, "gets a signal", None)
        world.wake(command)
    if not world.timeline.run(world.timeline.now + STOP_SECONDS, lambda: not world.processes):
        left = ", ".join(process.name for process in world.processes.values())
        raise Violation(f"I11: not gone {STOP_SECONDS:.0f} s after the stop: {left}")
    world.checker.finish()


def pending(world: World) -> str:
    """Why it is not done."""
    reasons = [f"{world.queue.size} packages in the queue"] if world.queue.size else []
    reasons += [f"{p.name} runs a task" for p in world.processes.values() if p.run is not None]
    clusters = [p for p in world.living(Role.SENTINEL) if p.component is not None]
    for process in clusters:
        why = _why_not_whole(world, process)
        if why:
            reasons.append(f"{process.name}: {why}")
    if len(clusters) < world.scene.clusters and not world.scene.run_once:
        reasons.append(f"{len(clusters)} of {world.scene.clusters} clusters live")
    return ", ".join(reasons)


def _is_healed(world: World) -> bool:
    if world.queue.size or pending(world):
        return False
    links = (link for process in world.processes.values() for link in process.links)
    return all(link.inbox.is_empty for link in links)


def _why_not_whole(world: World, process: SimProcess) -> str:
    """What a sentinel still has to do. Empty: it is idle, and every seat is filled."""
    sentinel = process.component
    assert isinstance(sentinel, world.parts.sentinel), "that is what runs there"
    if sentinel.book.entries:
        return f"{len(sentinel.book.entries)} tasks in its book"
    if world.scene.run_once:
        return ""
    if sentinel.closing.state is not ClusterState.WORKING:
        return f"it is {sentinel.closing.state.value}"
    for role, seats in world.plan().seats.items():
        children = sentinel.supervision.of(role)
        running = [child for child in children if child.state is ChildState.RUNNING]
        if not len(running) == len(children) == seats:
            return f"{len(running)} of {len(children)} {role.value}s run, {seats} are wanted"
    return ""
