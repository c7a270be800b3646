"""What may go wrong in a run, and how often.

A seed draws its own mixture (swarm testing): each kind of fault is off in about half of the runs,
since faults that are always on hide one another. One run in four has no faults at all: what must
hold exactly is held against those.
"""

from __future__ import annotations

import random

import attrs


class KilledError(BaseException):
    """The process that crosses a port dies here; nothing of djq may catch it."""


class Violation(Exception):
    """An invariant does not hold."""


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
    broker_outage: float = 0.0
    """The broker is away for seconds, for one cluster or for everybody, a second."""
    store_outage: float = 0.0
    """The store is away for seconds, for one cluster or for everybody, a second."""
    pause_cluster: float = 0.0
    """Whole clusters that stand still for up to three leases, a second."""
    clock_skew: float = 0.0
    """Hosts whose clock has always been minutes wrong, a cluster."""
    slow_start: float = 0.0
    """Children that take seconds to start, or longer than they may, a spawn."""
    crash_aside: float = 0.0
    """Deaths at the calls of a port that change nothing outside the caller, before or after, a call."""
    enqueue_unknown: float = 0.0
    """Callers that do not learn whether the broker took a task, and send it again, an enqueue."""


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
LATER: dict[str, tuple[float, float]] = {
    "broker_outage": (0.02, 0.25),
    "store_outage": (0.02, 0.25),
    "pause_cluster": (0.02, 0.2),
    "clock_skew": (0.3, 1.0),
    "slow_start": (0.05, 0.4),
    "crash_aside": (0.0005, 0.008),
    "enqueue_unknown": (0.05, 0.4),
}
"""Ranges of those that are drawn by numbers of their own: another one changes no story without it."""


def draw_faults(rng: random.Random, seed: int) -> FaultPlan:
    """Draw which kinds of fault are on, and their rates."""
    world_is_calm = rng.random() < 0.25
    rates = {}
    for name, (low, high) in _RANGES.items():
        on, rate = rng.random() < 0.4, rng.uniform(low, high)
        if on and (name in TASK_FAULTS or not world_is_calm):
            rates[name] = round(rate, 4)
    for name, (low, high) in LATER.items():
        own = random.Random(f"{name} {seed}")
        if own.random() < 0.25 and not world_is_calm:
            rates[name] = round(own.uniform(low, high), 4)
    return FaultPlan(**rates)
