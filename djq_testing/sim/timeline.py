"""Simulated time: a heap of what happens when, and the clocks that follow it.

Nothing here waits. Time jumps from one event to the next, so an hour costs what its events cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from djq_testing.clock import START

Action = Callable[..., object]


class Timeline:
    """The events to come, in order; two at one moment happen in the order in which they were set."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the world began."""
        self._events: list[tuple[float, int, Action, tuple[Any, ...]]] = []
        self._count = 0

    def at(self, moment: float, action: Action, *args: Any) -> None:
        """Let `action(*args)` happen at a moment; one that has passed means now."""
        self._count += 1
        heapq.heappush(self._events, (max(moment, self.now), self._count, action, args))

    def after(self, seconds: float, action: Action, *args: Any) -> None:
        """Let `action(*args)` happen so many seconds from now."""
        self.at(self.now + seconds, action, *args)

    def run(self, until: float, done: Callable[[], bool]) -> bool:
        """Let things happen until `done` holds (True) or the moment `until` has come (False)."""
        while not done():
            if not self._events or self._events[0][0] > until:
                self.now = max(self.now, until)
                return done()
            self.now, _, action, args = heapq.heappop(self._events)
            action(*args)
        return True


class SimClock:
    """A clock of one process or server: all run at the same speed; each may show its own time of day."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.behind = 0.0
        """Seconds by which its owner has not noticed yet that time has passed: a task is running."""
        self.shift = timedelta()
        """How wrong its time of day is; `monotonic` is never wrong."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        return START + self.shift + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds since the world began."""
        return self._timeline.now - self.behind
