"""The timeline of a cluster in process: what happens there moves the manual clock, and nothing else does."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf

from djq.core.events import Event
from djq.signals import line_of
from djq_testing.clock import ManualClock
from djq_testing.sim.timeline import SimClock, Timeline
from djq_testing.sim.trace import Trace, say

EARLY = 4e-7
"""Less than half of what the clock can show: two events so near to each other are at one moment."""
NOTES_MAX = 5_000
CHATTER = frozenset({"sends", "offers"})
"""What the boxes of a cluster say to one another is no part of the story."""


class ClockTimeline(Timeline):
    """Events on the manual clock. The clock shows microseconds, and an event may lie between two."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.moment = clock.now()
        """The time of day that is `now`."""
        self.follow()

    def follow(self) -> None:
        """Notice that somebody else may have moved the clock: a test, a task, freezegun."""
        self.now = max(self.now, self._clock.monotonic())
        self.moment = self._clock.now()

    def go_to(self, now: float) -> None:
        """Move on to a moment, and the clock with it."""
        if now > self.now:
            self.now = now
            missing = timedelta(seconds=now - self._clock.monotonic())
            if missing > timedelta():
                self._clock.move(self.moment + missing)
            self.moment = self._clock.now()

    def seconds_to(self, moment: datetime) -> float:
        """From now to a time of day; negative when it has passed."""
        return (moment - self.moment).total_seconds()

    def quiet_seconds(self) -> float:
        """For how long nothing happens by itself; infinite: for ever."""
        return max(self._events[0][0] - self.now, 0.0) if self._events else inf

    def play(
        self, until: float, look: Callable[[], bool], done: Callable[[], bool] | None = None
    ) -> bool:
        """Let things happen up to a moment, that one included.

        Args:
            until: The last moment, which has come when it ends.
            look: Asked whenever nothing is left to happen at a moment; True: now there is again.
            done: Asked then too. True: enough has happened. None: it plays up to the end.

        Returns:
            Whether `done` held.
        """
        self.follow()
        while True:
            while self._events and self._events[0][0] <= self.now + EARLY:
                moment, _, action, args = heapq.heappop(self._events)
                self.go_to(moment)
                action(*args)
            if look():
                continue
            if done is not None and done():
                return True
            if not self._events or self._events[0][0] > until + EARLY:
                self.go_to(until)
                return False
            self.go_to(self._events[0][0])


class LocalClock(SimClock):
    """The clock of one process: the manual one, but for a task that has begun and not ended yet."""

    def __init__(self, timeline: ClockTimeline) -> None:
        super().__init__(timeline)
        self._own = timeline

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        return self._own.moment - timedelta(seconds=self.behind)


class Story(Trace):
    """The last of what happened, each line with its time of day."""

    def __init__(self, timeline: ClockTimeline) -> None:
        super().__init__(timeline)
        self._own = timeline
        self._kept: deque[tuple[datetime, str, str, object]] = deque(maxlen=NOTES_MAX)

    def add(self, who: str, what: str, detail: object) -> None:
        """Note that `who` does `what`."""
        if what not in CHATTER:
            self._kept.append((self._own.moment, who, what, detail))

    def lines(self) -> list[str]:
        """All of it as text."""
        return [
            f"{moment:%Y-%m-%d %H:%M:%S.%f}  {who:<24} {what} {_words(detail)}".rstrip()
            for moment, who, what, detail in self._kept
        ]


def _words(detail: object) -> str:
    return line_of(detail)[1] if isinstance(detail, Event) else say(detail)
