"""What may go wrong in a run, how often, and the hand that lets it happen.

A seed draws its own mixture (swarm testing): each kind of fault is off in about half of the runs,
since faults that are always on hide one another. One run in four has no faults at all: what must
hold exactly is held against those.
"""

from __future__ import annotations

import random
from collections import Counter

import attrs

from djq.exceptions import BrokerUnavailable, StoreUnavailable

COPY_SECONDS_MAX = 4.0
OFTEN_FULL = 0.2
"""How often there is not room for all that a worker is offered."""


class KilledError(BaseException):
    """The process that crosses a port dies here; nothing of djq may catch it."""


class Violation(Exception):
    """An invariant does not hold."""


@attrs.frozen(kw_only=True)
class Scene:
    """What kind of cluster the seed puts on the stage."""

    clusters: int
    """Clusters that start at the beginning, on one queue."""
    workers: int
    """Workers of each."""
    tasks: int
    """Tasks that are enqueued in the safety phase."""
    seconds: float
    """Length of the safety phase."""
    receipts: bool
    """The broker keeps a package until it is acknowledged."""
    new_receipts: bool
    """The broker gives a new receipt whenever a lease is extended."""
    one_unit: bool
    """Store and broker share a database: saving and acknowledging are one transaction."""
    ack_failures: bool
    """A failed task counts as delivered."""
    max_attempts: int
    """Deliveries of one task without an outcome before it is a failure."""
    timeout: float | None
    """Seconds for a task that says nothing itself. None: no limit."""
    lease_seconds: float
    """The broker's `retry`."""
    recycle: int | None
    """Tasks that a worker runs before it is replaced. None: any number."""
    queue_limit: int | None
    """Most tasks in memory. None: as the pace says."""
    bulk: int | None
    """Most packages in one fetch. None: as the credit allows."""
    stop_timeout: float | None
    """Seconds that a stop may take. None: as long as the tasks do."""
    run_once: bool
    """Clusters stop by themselves when the queue is empty."""
    stop_signals: int
    """Stop signals that the clusters get at random moments of the safety phase."""
    quick: bool
    """All tasks take less than a few milliseconds, so that workers are given some ahead."""


@attrs.frozen(kw_only=True)
class FaultPlan:
    """How often each kind of fault strikes; 0 is never."""

    kill_worker: float = 0.0
    """Random deaths of workers, a second."""
    kill_pusher: float = 0.0
    """Random deaths of pushers, a second."""
    kill_monitor: float = 0.0
    """Random deaths of monitors, a second."""
    kill_sentinel: float = 0.0
    """Random deaths of sentinels, a second."""
    kill_command: float = 0.0
    """Random deaths of the process that runs the cluster, a second."""
    pause_process: float = 0.0
    """Processes that stand still for a while (SIGSTOP, a busy machine), a second."""
    clock_jump: float = 0.0
    """Jumps of the time of day, a second."""
    crash_point: float = 0.0
    """Deaths at a port, before or after the effect, a crossing."""
    spawn_failure: float = 0.0
    """Children that the system has no room for, a spawn."""
    death_at_start: float = 0.0
    """Children that end before they are ready, a spawn."""
    broker_error_before: float = 0.0
    """The broker does not answer and nothing was done, a verb."""
    broker_error_after: float = 0.0
    """The broker did it and its answer is lost, a verb."""
    store_error_before: float = 0.0
    """The store does not answer and nothing was kept, a save."""
    store_error_after: float = 0.0
    """The store kept it and its answer is lost, a save."""
    duplicate: float = 0.0
    """Packages that the broker delivers twice, at once or some seconds later, a package."""
    slow_message: float = 0.0
    """Messages between two boxes that take up to seconds, a message."""
    task_raises: float = 0.0
    """Tasks that fail: each time, the first time, or each time but the first, a task."""
    task_overruns: float = 0.0
    """Tasks that run (far) beyond their time limit, or just about reach it, a task."""
    task_kills: float = 0.0
    """Tasks that end their own worker, once, a few times or always, a task."""
    task_unkeepable: float = 0.0
    """Tasks that the store can never keep as they are, a task."""
    poison: float = 0.0
    """Packages that cannot be opened, a task."""


CALM = FaultPlan()

_RANGES: dict[str, tuple[float, float]] = {
    "kill_worker": (0.05, 1.0),
    "kill_pusher": (0.05, 0.7),
    "kill_monitor": (0.05, 0.7),
    "kill_sentinel": (0.03, 0.3),
    "kill_command": (0.02, 0.2),
    "pause_process": (0.05, 0.5),
    "clock_jump": (0.05, 0.5),
    "crash_point": (0.001, 0.03),
    "spawn_failure": (0.05, 0.5),
    "death_at_start": (0.05, 0.5),
    "broker_error_before": (0.01, 0.3),
    "broker_error_after": (0.01, 0.2),
    "store_error_before": (0.02, 0.5),
    "store_error_after": (0.02, 0.3),
    "duplicate": (0.02, 0.3),
    "slow_message": (0.005, 0.1),
    "task_raises": (0.05, 0.4),
    "task_overruns": (0.05, 0.3),
    "task_kills": (0.05, 0.3),
    "task_unkeepable": (0.02, 0.2),
    "poison": (0.05, 0.4),
}
TASK_FAULTS = ("task_raises", "task_overruns", "task_kills", "task_unkeepable", "poison")


def draw_faults(rng: random.Random) -> FaultPlan:
    """Draw which kinds of fault are on, and their rates."""
    world_is_calm = rng.random() < 0.25
    rates = {}
    for name, (low, high) in _RANGES.items():
        on, rate = rng.random() < 0.4, rng.uniform(low, high)
        if on and (name in TASK_FAULTS or not world_is_calm):
            rates[name] = round(rate, 4)
    return FaultPlan(**rates)


def draw_scene(rng: random.Random) -> Scene:
    """Draw the cluster and its settings."""
    receipts = rng.random() < 0.75
    return Scene(
        clusters=rng.choice((1, 1, 1, 2)),
        workers=rng.randint(1, 4),
        tasks=rng.randint(5, 25),
        seconds=round(rng.uniform(2.0, 12.0), 2),
        receipts=receipts,
        new_receipts=receipts and rng.random() < 0.3,
        one_unit=receipts and rng.random() < 0.2,
        ack_failures=rng.random() < 0.7,
        max_attempts=rng.choice((1, 2, 3, 3)),
        timeout=rng.choice((None, 4.0, 6.0)),
        lease_seconds=rng.choice((3.0, 6.0, 12.0)),
        recycle=rng.choice((None, None, 1, 2, 3)),
        queue_limit=rng.choice((None, None, 1, 3, 8)),
        bulk=rng.choice((None, None, 1, 2)),
        stop_timeout=rng.choice((None, None, 1.0, 4.0)),
        run_once=rng.random() < 0.1,
        stop_signals=rng.choice((0, 0, 1, 1, 2, 2, 3, 5)),
        quick=rng.random() < 0.3,
    )


class Chaos:
    """Draws what strikes, while it is on, and counts what struck."""

    def __init__(self, rng: random.Random, plan: FaultPlan) -> None:
        self.rng = rng
        self.plan = plan
        self.is_on = True
        self.hits: Counter[str] = Counter()
        """What struck, by its name. Empty: the world did nothing wrong."""

    def strikes(self, name: str) -> bool:
        """Whether a fault of this kind strikes now; it is counted when it does."""
        rate: float = getattr(self.plan, name)
        if not self.is_on or rate == 0.0 or self.rng.random() >= rate:
            return False
        self.hits[name] += 1
        return True

    def crash(self) -> None:
        """A point at which the process may die."""
        if self.strikes("crash_point"):
            raise KilledError

    def broker(self, when: str) -> None:
        """Before or after a verb of the broker."""
        self.crash()
        if self.strikes(f"broker_error_{when}"):
            raise BrokerUnavailable(f"simulated, {when} the effect")

    def store(self, when: str) -> None:
        """Before or after a save."""
        self.crash()
        if self.strikes(f"store_error_{when}"):
            raise StoreUnavailable(f"simulated, {when} the effect")

    def sent(self, count: int) -> int | None:
        """How many of these messages leave before the sender dies. None: it lives."""
        return self.rng.randint(0, count) if self.strikes("crash_point") else None

    def room(self, count: int) -> int:
        """For how many of these messages there is room on offer."""
        return self.rng.randint(0, count) if self.rng.random() < OFTEN_FULL else count

    def copy_seconds(self) -> float:
        """How much later a package comes that is delivered a second time."""
        return self.rng.choice((0.0, self.rng.uniform(0.0, COPY_SECONDS_MAX)))

    def message_seconds(self) -> float:
        """How long a message takes."""
        if self.strikes("slow_message"):
            return self.rng.uniform(0.01, 3.0)
        return self.rng.uniform(0.00002, 0.0005)

    def start_seconds(self) -> float:
        """How long a process takes to start."""
        return self.rng.uniform(0.001, 0.03)

    def step_seconds(self) -> float:
        """How long a step takes."""
        return self.rng.uniform(0.00002, 0.0005)

    def kill_seconds(self) -> float:
        """How long after the order a kill strikes."""
        return self.rng.uniform(0.0, 0.001)

    def notice_seconds(self) -> float:
        """How long after a death its parent learns of it."""
        return self.rng.uniform(0.0002, 0.01)
