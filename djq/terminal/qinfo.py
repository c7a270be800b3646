"""What `qinfo` shows: the documented summary (the manual, 1.10.2), ids, and the settings as they are used.

Sums are over all clusters that have not stopped. What could not be read is `-`, and a line below says
why; so is an average of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from djq.core.config import BROKER_KEYS
from djq.monitor import Stat
from djq.overview import Overview

__all__ = [
    "Rate",
    "Summary",
    "at_host",
    "one_line",
    "rate_of",
    "reasons",
    "running",
    "setting_lines",
    "summary_lines",
    "summed",
]

TITLE = "-- djq summary --"
AWAY = "-"
OF_ONE_BROKER = frozenset({*BROKER_KEYS, "disque_auth", "mongo_db"})
HOURS, MINUTES, SECONDS = 24, 24 * 60, 24 * 60 * 60
"""In a day: with more tasks than these in a day, the rate is told for that unit."""


@attrs.frozen(kw_only=True)
class Rate:
    """How many tasks ended, in the time that is best to read."""

    tasks: float
    unit: str
    """`second`, `minute`, `hour` or `day`."""


@attrs.frozen(kw_only=True)
class Summary:
    """What the rows of the summary tell, summed over all clusters; None: it could not be read."""

    clusters: int | None
    workers: int | None
    restarts: int | None
    queued: int | None
    successes: int | None
    failures: int | None
    schedules: int | None
    rate: Rate | None
    """Of the last 24 hours."""
    average_seconds: float | None
    """Of the same. None: no task ended either."""


def rate_of(count: int) -> Rate:
    """Give what so many tasks in 24 hours are per second, minute, hour or day, depending on the amount."""
    for unit, in_a_day in (("second", SECONDS), ("minute", MINUTES), ("hour", HOURS)):
        if count > in_a_day:
            return Rate(tasks=count / in_a_day, unit=unit)
    return Rate(tasks=count, unit="day")


def at_host(overview: Overview, host: str) -> Overview:
    """Leave out the clusters of other hosts."""
    clusters = overview.clusters
    here = None if clusters is None else tuple(stat for stat in clusters if stat.host == host)
    return attrs.evolve(overview, clusters=here)


def running(overview: Overview) -> tuple[Stat, ...] | None:
    """The clusters that have not stopped. None: they could not be read."""
    if overview.clusters is None:
        return None
    return tuple(stat for stat in overview.clusters if stat.status != "Stopped")


def summed(overview: Overview) -> Summary:
    """Sum up an overview of the parts queue, clusters, results, day and schedules."""
    clusters, queue, schedules = running(overview), overview.queue, overview.schedules
    results, day = overview.results, overview.day
    return Summary(
        clusters=None if clusters is None else len(clusters),
        workers=None if clusters is None else sum(len(stat.workers) for stat in clusters),
        restarts=None if clusters is None else sum(stat.reincarnations for stat in clusters),
        queued=None if queue is None else queue.size,
        successes=None if results is None else results.successes,
        failures=None if results is None else results.failures,
        schedules=None if schedules is None else schedules.count,
        rate=None if day is None else rate_of(day.count),
        average_seconds=None if day is None else day.average_seconds,
    )


def summary_lines(summary: Summary, *, aligned: bool) -> list[str]:
    """The title and the three rows; in columns for people, else with tabs as in the manual."""
    rate = summary.rate
    unit = "day" if rate is None else rate.unit
    rows = (
        ("Clusters", summary.clusters, "Workers", summary.workers, "Restarts", summary.restarts),
        ("Queued", summary.queued, "Successes", summary.successes, "Failures", summary.failures),
        (
            "Schedules",
            summary.schedules,
            f"Tasks/{unit}",
            rate and f"{rate.tasks:.2f}",
            "Avg time",
            None if summary.average_seconds is None else f"{summary.average_seconds:.4f}",
        ),
    )
    cells = [[AWAY if cell is None else str(cell) for cell in row] for row in rows]
    return [TITLE, *(_in_columns(cells) if aligned else map("\t".join, cells))]


def reasons(errors: Mapping[str, str]) -> list[str]:
    """Why parts could not be read, a line each."""
    return [f"{part}: {one_line(why)}" for part, why in errors.items()]


def setting_lines(settings: Mapping[str, Any]) -> Iterable[str]:
    """The settings, a line each; what concerns brokers that are not used is left out."""
    for key, value in settings.items():
        if value is not None or key not in OF_ONE_BROKER:
            yield f"{key}: {value!r}"


def one_line(text: str) -> str:
    """Put text of several lines, as databases give it, on one."""
    return " ".join(text.split())


def _in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]
