"""The scenes of simulated schedulers: how many there are, what schedules there are, what strikes."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import attrs

from djq_testing.clock import START

FUNC = "djq_testing.sim.workload.tick"
BAD: tuple[dict[str, Any], ...] = (
    {"args": '__import__("os").system("true")'},
    {"schedule_type": "C", "cron": "0 0 31 2 *"},
    {"time_zone": "Mars/Olympus"},
    {"func": "no path"},
    {"schedule_type": "T"},
)


@attrs.frozen(kw_only=True)
class ScheduleScene:
    """What the seed puts on the stage."""

    schedulers: int
    """On one store and one queue."""
    seconds: float
    """Length of the safety phase."""
    shared: bool
    """The queue lives in the database of the schedules."""
    own_clocks: bool
    """Schedules go by the clock of each host, and not by the server's."""
    catch_up: bool
    rows: tuple[dict[str, Any], ...] = attrs.field(repr=False)
    """The fields of the schedules."""


@attrs.frozen(kw_only=True)
class ScheduleFaults:
    """How often each kind of fault strikes; 0 is never."""

    kill: float = 0.0
    """Random deaths, a second."""
    pause: float = 0.0
    """Processes that stand still for up to a minute, a second."""
    clock_jump: float = 0.0
    """Jumps of the time of day of a host, a second."""
    crash_point: float = 0.0
    """Deaths at a port, before or after the effect, a crossing."""
    store_error_before: float = 0.0
    """The store does not answer and nothing was done, a verb."""
    store_error_after: float = 0.0
    """The store did it and its answer is lost, a verb; of a transaction, its end too."""
    broker_error_before: float = 0.0
    """The broker does not answer and nothing was sent, a verb."""
    broker_error_after: float = 0.0
    """The broker did it and its answer is lost, a verb."""


_RANGES = {
    "kill": (0.02, 0.4),
    "pause": (0.01, 0.1),
    "clock_jump": (0.01, 0.1),
    "crash_point": (0.005, 0.08),
    "store_error_before": (0.02, 0.3),
    "store_error_after": (0.02, 0.3),
    "broker_error_before": (0.05, 0.4),
    "broker_error_after": (0.05, 0.4),
}


def draw_schedule_faults(rng: random.Random) -> ScheduleFaults:
    """Draw which kinds of fault are on, and their rates; in one run in four none is."""
    calm = rng.random() < 0.25
    rates = {}
    for name, (low, high) in _RANGES.items():
        on, rate = rng.random() < 0.5, rng.uniform(low, high)
        if on and not calm:
            rates[name] = round(rate, 4)
    return ScheduleFaults(**rates)


def draw_schedule_scene(rng: random.Random) -> ScheduleScene:
    """Draw the schedulers and their schedules."""
    return ScheduleScene(
        schedulers=rng.randint(1, 4),
        seconds=round(rng.uniform(20.0, 150.0), 2),
        shared=rng.random() < 0.5,
        own_clocks=rng.random() < 0.5,
        catch_up=rng.random() < 0.7,
        rows=tuple(draw_row(rng, -600.0, 90.0) for _ in range(rng.randint(2, 7))),
    )


def draw_row(rng: random.Random, earliest: float, latest: float) -> dict[str, Any]:
    """Draw a schedule that comes due for the first time between these seconds of the world."""
    kind = rng.choice(("O", "O", "I", "I", "I", "H", "D", "C"))
    first = START + timedelta(seconds=round(rng.uniform(earliest, latest), 3))
    row: dict[str, Any] = {
        "func": FUNC,
        "args": "1",
        "schedule_type": kind,
        "next_run": first,
        "repeats": rng.choice((-1, -1, -1, 1, 3, 8)),
        "catch_up": rng.choice((None, None, True, False)),
        "overlap": rng.choice(("allow", "allow", "skip")),
        "cron": "* * * * *" if kind == "C" else None,
    }
    return row | (rng.choice(BAD) if rng.random() < 0.15 else {})
