"""Whether a queue is well: checks of an overview, for the probes of whatever watches over clusters.

A check is passed, failed, or cannot be told: where a service that would say is away, a cluster may be
well all the same, and a probe that restarts it would only make things worse.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence

import attrs

from djq.monitor import Stat
from djq.overview import Overview
from djq.terminal.qinfo import one_line

__all__ = [
    "CHECKS",
    "MAX_AGE_SECONDS",
    "PARTS_OF",
    "Check",
    "Limits",
    "Verdict",
    "checked",
    "verdict_of",
]

MAX_AGE_SECONDS = 300.0
"""A task that has waited for so long was forgotten, or there are too few workers."""
TAKES_TASKS = frozenset({"Idle", "Working"})
NAMED_MAX = 3
"""Most clusters that a line names."""


class Verdict(enum.Enum):
    PASSED = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@attrs.frozen
class Check:
    """What came of one check."""

    name: str
    verdict: Verdict
    reason: str
    """What was seen; one line."""

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict.value}, {self.reason}"


@attrs.frozen(kw_only=True)
class Limits:
    """What is still well."""

    age_seconds: float | None = None
    """How long a task may wait. None: `MAX_AGE_SECONDS`, as far as the broker tells."""
    waiting: int | None = None
    """How many tasks may wait. None: any number."""


def checked(overview: Overview, names: Collection[str], limits: Limits) -> tuple[Check, ...]:
    """Make these checks, in the order of `CHECKS`; the overview has to have their `PARTS_OF`."""
    return tuple(CHECKS[name](overview, limits) for name in CHECKS if name in names)


def verdict_of(checks: Sequence[Check]) -> Verdict:
    """One verdict of all: failed if one has failed, and passed if all have passed."""
    verdicts = {check.verdict for check in checks}
    if Verdict.FAILED in verdicts:
        return Verdict.FAILED
    return Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts else Verdict.PASSED


def _cluster(overview: Overview, _: Limits) -> Check:
    """Some cluster takes tasks."""
    if overview.clusters is None:
        return _unknown("cluster", overview, "clusters")
    taking = _taking(overview)
    if taking:
        return Check("cluster", Verdict.PASSED, f"taking tasks: {_named(taking)}")
    if overview.clusters:
        return Check("cluster", Verdict.FAILED, f"none takes tasks: {_named(overview.clusters)}")
    return Check("cluster", Verdict.FAILED, "there is none")


def _broker(overview: Overview, _: Limits) -> Check:
    """The broker answers here, and to some cluster."""
    if overview.queue is None:
        return Check("broker", Verdict.FAILED, _why(overview, "queue"))
    taking = _taking(overview)
    cut_off = [stat for stat in taking if stat.broker_away_since is not None]
    what = one_line(overview.queue.broker)
    if taking and len(cut_off) == len(taking):
        return Check("broker", Verdict.FAILED, f"{what} answers here, and not to {_named(cut_off)}")
    return Check("broker", Verdict.PASSED, f"{what} answers")


def _store(overview: Overview, _: Limits) -> Check:
    """Some cluster can keep results."""
    if overview.clusters is None:
        return _unknown("store", overview, "clusters")
    taking = _taking(overview)
    cut_off = [stat for stat in taking if stat.store_away_since is not None]
    if not taking:
        return Check("store", Verdict.UNKNOWN, "no cluster takes tasks, so none tells")
    if len(cut_off) == len(taking):
        since = min(stat.store_away_since for stat in cut_off if stat.store_away_since is not None)
        return Check(
            "store",
            Verdict.FAILED,
            f"no results are kept since {since.isoformat(timespec='seconds')} by {_named(cut_off)}",
        )
    return Check("store", Verdict.PASSED, "results are kept")


def _age(overview: Overview, limits: Limits) -> Check:
    """No task has waited too long."""
    queue = overview.queue
    if queue is None:
        return _unknown("age", overview, "queue")
    if not queue.size:
        return Check("age", Verdict.PASSED, "nothing waits")
    seconds, most = queue.oldest_seconds, limits.age_seconds
    if seconds is None:
        verdict = Verdict.PASSED if most is None else Verdict.UNKNOWN
        return Check("age", verdict, f"{one_line(queue.broker)} does not tell how long tasks wait")
    most = MAX_AGE_SECONDS if most is None else most
    if seconds > most:
        return Check(
            "age", Verdict.FAILED, f"a task waits for {seconds:.1f} s, more than {most:g} s"
        )
    return Check("age", Verdict.PASSED, f"the oldest task waits for {seconds:.1f} s")


def _waiting(overview: Overview, limits: Limits) -> Check:
    """Not too many tasks wait."""
    queue, most = overview.queue, limits.waiting
    if queue is None:
        return _unknown("waiting", overview, "queue")
    if most is not None and queue.size > most:
        return Check("waiting", Verdict.FAILED, f"{queue.size} tasks wait, more than {most}")
    return Check("waiting", Verdict.PASSED, f"{queue.size} tasks wait")


CHECKS: Mapping[str, Callable[[Overview, Limits], Check]] = {
    "cluster": _cluster,
    "broker": _broker,
    "store": _store,
    "age": _age,
    "waiting": _waiting,
}
"""Every check that there is, by its name."""

PARTS_OF: Mapping[str, frozenset[str]] = {
    "cluster": frozenset({"clusters"}),
    "broker": frozenset({"clusters", "queue"}),
    "store": frozenset({"clusters"}),
    "age": frozenset({"queue"}),
    "waiting": frozenset({"queue"}),
}
"""The parts of an overview that each of them looks at."""


def _taking(overview: Overview) -> list[Stat]:
    return [stat for stat in overview.clusters or () if stat.status in TAKES_TASKS]


def _named(stats: Sequence[Stat]) -> str:
    named = [f"{stat.host} {stat.cluster_id} {stat.status}" for stat in stats[:NAMED_MAX]]
    more = [f"{len(stats) - NAMED_MAX} more"] if len(stats) > NAMED_MAX else []
    return ", ".join([*named, *more])


def _unknown(name: str, overview: Overview, part: str) -> Check:
    return Check(name, Verdict.UNKNOWN, _why(overview, part))


def _why(overview: Overview, part: str) -> str:
    return one_line(overview.errors.get(part, "it was not looked at"))
