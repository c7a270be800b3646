"""One run from its seed: a phase in which everything may go wrong, and one in which all must heal.

In the safety phase faults strike and the checker watches. Then the faults end, and within a bounded
time everything must be done and every seat filled. Then a stop is asked for, and within a bounded
time nothing may be left.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from djq_testing.sim.case import FAULT_FIELDS, Case, Strike
from djq_testing.sim.compositions import CHAIN_MAX, Single
from djq_testing.sim.faults import FaultPlan, Violation
from djq_testing.sim.healing import is_healed, pending
from djq_testing.sim.nemesis import Nemesis
from djq_testing.sim.parts import Parts
from djq_testing.sim.scene import Scene
from djq_testing.sim.story import tell
from djq_testing.sim.workload import STAGE
from djq_testing.sim.world import World

HEAL_SECONDS = 120.0
STOP_SECONDS = 200.0
TOGETHER_MAX = 20


@attrs.frozen(kw_only=True)
class Run:
    """What came of one seed."""

    case: Case
    """What was played."""
    scene: Scene
    """The cluster."""
    plan: FaultPlan
    """The rates of its faults."""
    numbers: tuple[int, ...]
    """The numbers of its tasks."""
    scheduled: int
    """How many tasks its schedules made."""
    together: list[str]
    """Which of its tasks belong together: chains and iters."""
    hits: dict[str, int]
    """What struck, and how often."""
    struck: tuple[Strike, ...] = attrs.field(repr=False)
    """Each fault that struck, in order."""
    chances: Mapping[str, int] = attrs.field(repr=False)
    """How often each kind of fault could have struck."""
    seconds: float
    """Simulated time that passed."""
    failure: str | None
    """The invariant that did not hold. None: all did."""
    trace: list[str] = attrs.field(repr=False)
    """What happened, all of it."""
    story: list[str] = attrs.field(repr=False)
    """Of a failure, what bears on it."""

    @property
    def seed(self) -> int:
        """The number that everything follows from."""
        return self.case.seed

    @property
    def faults(self) -> int:
        """How many faults of the plan struck; what tasks do and what a stop ends is none of them."""
        return sum(count for name, count in self.hits.items() if name in FAULT_FIELDS)

    def describe(self) -> str:
        """The plan first, then what came of it."""
        scene = ", ".join(f"{k}={v}" for k, v in attrs.asdict(self.scene).items())
        faults = ", ".join(f"{k}={v}" for k, v in attrs.asdict(self.plan).items() if v)
        hits = ", ".join(f"{k} {v}" for k, v in sorted(self.hits.items()))
        together = "; ".join(self.together[:TOGETHER_MAX])
        together += "; ..." if len(self.together) > TOGETHER_MAX else ""
        what = "--verbose" if self.failure is None else "--shrink"
        return "\n".join(
            (
                str(self.case),
                f"scene: {scene}",
                f"faults: {faults or 'none'}",
                f"together: {together or 'none'}",
                f"struck: {hits or 'nothing'}",
                f"ended after {self.seconds:.1f} s: {self.failure or 'all invariants hold'}",
                f"replay: python -m djq_testing.sim {self.case.options} {what}",
            )
        )


def simulate(what: Case | int, parts: Parts | None = None, *, traced: bool = True) -> Run:
    """Run one seed, or a case, to its end; never raises for a broken invariant, the run tells."""
    case = Case.of(what)
    world = World(case, parts or Parts())
    token = STAGE.set(world)
    failure = None
    try:
        _play(world)
    except Violation as violation:
        failure = str(violation)
    finally:
        STAGE.reset(token)
    return Run(
        case=case,
        scene=world.scene,
        plan=world.chaos.plan,
        numbers=tuple(spec.number for spec in world.tasks),
        scheduled=len(world.checker.specs) - len(world.tasks),
        together=[one.describe() for one in world.compositions if not isinstance(one, Single)],
        hits=dict(world.chaos.hits),
        struck=tuple(world.chaos.struck),
        chances=dict(world.chaos.chances),
        seconds=world.timeline.now,
        failure=failure,
        trace=world.trace.lines() if traced else [],
        story=tell(world, failure) if failure else [],
    )


def _play(world: World) -> None:
    nemesis = Nemesis(world)
    nemesis.begin()
    world.timeline.run(world.scene.seconds, lambda: False)

    world.chaos.is_on = False
    world.set_clocks_right()
    attempts = max((spec.attempts for spec in world.tasks), default=1)
    work = sum(min(spec.seconds, spec.limit or spec.seconds) for spec in world.tasks)
    # The links of a chain wait for one another, each for its leases.
    leases = world.scene.lease_seconds * CHAIN_MAX
    bound = HEAL_SECONDS + (leases + work) * (attempts + 1)
    if not world.timeline.run(world.timeline.now + bound, lambda: is_healed(world)):
        raise Violation(f"I9: still not healed after {bound:.0f} s: {pending(world)}")

    world.scheduling.checker.finish()

    world.restarts = False
    for command in world.living(None):
        command.signals += 1
        world.note(command, "gets a signal", None)
        world.wake(command)
    if not world.timeline.run(world.timeline.now + STOP_SECONDS, lambda: not world.processes):
        left = ", ".join(process.name for process in world.processes.values())
        raise Violation(f"I11: not gone {STOP_SECONDS:.0f} s after the stop: {left}")
    world.checker.finish()
