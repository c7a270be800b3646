"""Time and identity that a test holds in its hand."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class ManualClock:
    """A clock that stands still until it is moved; both of its times move together."""

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError(f"{start!r} has no time zone; give an aware datetime")
        self._start = start.astimezone(UTC)
        self._elapsed = timedelta()

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        return self._start + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed.total_seconds()

    def advance(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Move on by the sum of what is given, rounded up to a microsecond: never by less."""
        total = seconds + 60 * minutes + 3_600 * hours + 86_400 * days
        if total < 0:
            raise ValueError(f"a clock cannot go back, by {total} s neither; give positive numbers")
        step = timedelta(seconds=total)
        # Who waits for less than the clock can show would otherwise wait for ever.
        missing = step.total_seconds() < total
        self._elapsed += step + MICROSECOND if missing else step

    def advance_to(self, moment: datetime) -> None:
        """Move on to a moment; one that has passed is refused."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone; give an aware datetime")
        if moment < self.now():
            raise ValueError(f"a clock cannot go back: it is {self.now()}, {moment} has passed")
        self._elapsed = moment - self._start


class SeededIds:
    """Identity and chance that a seed gives again."""

    def __init__(self, seed: int | str = 0) -> None:
        self._random = random.Random(seed)

    def task_id(self) -> str:
        """32 hex digits."""
        return f"{self._random.getrandbits(128):032x}"

    def jitter(self) -> float:
        """A number from 0 up to 1."""
        return self._random.random()
