"""How many tasks ended, well or not: in the last minute, hour and day, and minute by minute for an hour.

Counts lie in buckets of a fixed width, just as many as make up the span, so that memory stays the same
however long a cluster lives. The newest bucket is not full yet: a span covers what it says, or up to
one bucket less. What is told too late counts as of the newest bucket.

Time comes in as an argument: seconds from any moment, on a clock that does not go back.
"""

from __future__ import annotations

from collections import deque

import attrs

MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS = 60, 3_600, 86_400


@attrs.frozen
class Count:
    """Tasks that ended."""

    succeeded: int = 0
    failed: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.succeeded + other.succeeded, self.failed + other.failed)

    def __sub__(self, other: Count) -> Count:
        return Count(self.succeeded - other.succeeded, self.failed - other.failed)

    @property
    def total(self) -> int:
        """Both together."""
        return self.succeeded + self.failed


NONE = Count()


class Span:
    """The newest so many seconds, in buckets."""

    def __init__(self, seconds: int, *, buckets: int) -> None:
        self._width = seconds / buckets
        self._counts = deque([NONE] * buckets, maxlen=buckets)
        self._number = 0
        """Of the newest bucket, counted from the clock's zero."""

    def add(self, count: Count, now: float) -> None:
        self._turn(now)
        self._counts[-1] += count

    def counts(self, now: float) -> tuple[Count, ...]:
        """Each bucket's, the oldest first."""
        self._turn(now)
        return tuple(self._counts)

    def _turn(self, now: float) -> None:
        passed = int(now // self._width) - self._number
        if passed > 0:
            self._number += passed
            self._counts.extend([NONE] * min(passed, len(self._counts)))


@attrs.frozen
class Throughput:
    """What a tally says at one moment."""

    last_minute: Count = NONE
    last_hour: Count = NONE
    last_day: Count = NONE
    minutes: tuple[Count, ...] = ()
    """The last hour, minute by minute, the oldest first."""


class Tally:
    """Counts what ends, and forgets what is older than a day."""

    def __init__(self) -> None:
        self._minute = Span(MINUTE_SECONDS, buckets=60)
        self._hour = Span(HOUR_SECONDS, buckets=60)
        self._day = Span(DAY_SECONDS, buckets=144)

    def add(self, count: Count, now: float) -> None:
        """So many have ended."""
        if count != NONE:
            for span in (self._minute, self._hour, self._day):
                span.add(count, now)

    def throughput(self, now: float) -> Throughput:
        """The counts as of now."""
        minutes = self._hour.counts(now)
        return Throughput(
            last_minute=sum(self._minute.counts(now), NONE),
            last_hour=sum(minutes, NONE),
            last_day=sum(self._day.counts(now), NONE),
            minutes=minutes,
        )
