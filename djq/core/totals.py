"""What has ended since a cluster began, by function, and how long it ran: sums that only grow.

Who counts does not keep the sums. A sentinel gives away what it has counted with each of its reports,
and the command adds that up, so a sentinel that dies takes along only what it had not told yet.

There is room for so many functions as `FUNCS_MAX` says, the first that come; all others are one, `OTHER`.
A function has its place for good, since a sum that moved from one name to another would shrink.
"""

from __future__ import annotations

from bisect import bisect_left

import attrs

from djq.core.lifecycle import Cause
from djq.core.protocol import FuncTotal, Restarts
from djq.core.tally import Count

DURATION_BOUNDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0)
"""Seconds. A run belongs to the first that it does not exceed."""
FUNCS_MAX = 30
"""So a picture of a cluster stays a small one: `tests/django/test_stat.py` has the figures."""
OTHER = "other"


@attrs.define(eq=False)
class Sum:
    """What a `FuncTotal` is made of."""

    succeeded: int = 0
    failed: int = 0
    seconds: float = 0.0
    durations: list[int] = attrs.Factory(lambda: [0] * (len(DURATION_BOUNDS) + 1))


class Totals:
    """Counts by function."""

    def __init__(self) -> None:
        self._sums: dict[str, Sum] = {}
        self._places: set[str] = set()
        """Functions that are told by their names."""
        self._succeeded = self._failed = 0
        """What was given away included."""

    def count(self, func: str, *, success: bool, seconds: float) -> None:
        """One more has ended; it ran for so long."""
        total = self._sums.get(func) or self._sum_of(func)
        if success:
            self._succeeded += 1
            total.succeeded += 1
        else:
            self._failed += 1
            total.failed += 1
        total.seconds += seconds
        total.durations[bisect_left(DURATION_BOUNDS, seconds)] += 1

    def add(self, more: FuncTotal) -> None:
        """What somebody else has counted."""
        self._succeeded += more.succeeded
        self._failed += more.failed
        total = self._sum_of(more.func)
        total.succeeded += more.succeeded
        total.failed += more.failed
        total.seconds += more.seconds
        for place, count in enumerate(more.durations):
            total.durations[place] += count

    def all(self) -> tuple[FuncTotal, ...]:
        """Every function's sums, in the order in which they came."""
        return tuple(
            FuncTotal(func, total.succeeded, total.failed, total.seconds, tuple(total.durations))
            for func, total in self._sums.items()
        )

    def take(self) -> tuple[FuncTotal, ...]:
        """Give the sums away, and begin again at nothing; each function keeps its place."""
        taken = self.all()
        self._sums.clear()
        return taken

    @property
    def ended(self) -> Count:
        """How many there were, what was given away included; one that comes again is one each time."""
        return Count(self._succeeded, self._failed)

    def _sum_of(self, func: str) -> Sum:
        if func not in self._places:
            if len(self._places) < FUNCS_MAX:
                self._places.add(func)
            else:
                func = OTHER
        if func not in self._sums:
            self._sums[func] = Sum()
        return self._sums[func]


def one_more(restarts: Restarts, cause: Cause) -> Restarts:
    """Another child was followed by the next, for this reason."""
    count = getattr(restarts, cause.value)
    return attrs.evolve(restarts, **{cause.value: count + 1})
