"""Waits for something that others will bring about, with pauses that grow from 1 ms to 50 ms."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

from djq.ports import Clock
from djq.wiring import wiring

PAUSE_SECONDS_FIRST = 0.001
PAUSE_SECONDS_MAX = 0.05
FOREVER = -1.0

Found = TypeVar("Found")


class Waiter:
    """Looks for something until it is there."""

    def __init__(self, clock: Clock, pause: Callable[[float, float], None]) -> None:
        """`pause` is a clock's: it is given seconds and how long it may take at most."""
        self._clock = clock
        self._pause = pause

    def wait(self, look: Callable[[], Found | None], milliseconds: float) -> Found | None:
        """Give what `look` finds, at once when it finds it; None at the end of the wait.

        It looks at least once, and once more when the time is up. A negative wait has no end.
        """
        pauses = Pauses(self._clock, milliseconds)
        while (found := look()) is None and (pause := pauses.next()) is not None:
            self._pause(*pause)
        return found


class AsyncWaiter:
    """As `Waiter`, for coroutines: the event loop goes on meanwhile."""

    def __init__(self, clock: Clock, pause: Callable[[float, float], Awaitable[None]]) -> None:
        """What `pause`, a clock's, gives is awaited."""
        self._clock = clock
        self._pause = pause

    async def wait(
        self, look: Callable[[], Awaitable[Found | None]], milliseconds: float
    ) -> Found | None:
        """Give what `look` finds, at once when it finds it; None at the end of the wait."""
        pauses = Pauses(self._clock, milliseconds, alone=False)
        while (found := await look()) is None and (pause := pauses.next()) is not None:
            await self._pause(*pause)
        return found


class Pauses:
    """The pauses between looks, until the time is up."""

    def __init__(self, clock: Clock, milliseconds: float, *, alone: bool = True) -> None:
        """The time runs from now on; a negative one has no end.

        `alone`: nobody else in this thread does anything between two pauses.
        """
        self._clock = clock
        self._alone = alone
        self._seconds = milliseconds / 1000 if milliseconds >= 0 else inf
        self._deadline = clock.monotonic() + self._seconds
        self._paused = 0.0
        self._next = PAUSE_SECONDS_FIRST

    def next(self) -> tuple[float, float] | None:
        """How long to pause now, and how long at most. None: the time is up."""
        refuse = wiring().endless
        if refuse is not None and self._seconds == inf:
            refuse(self._alone and self._paused > 0)
        # The pauses count too: a test that froze the clock would wait for ever.
        left = min(self._deadline - self._clock.monotonic(), self._seconds - self._paused)
        if left <= 0:
            return None
        pause = min(self._next, left)
        self._paused += self._next
        self._next = min(self._next * 2, PAUSE_SECONDS_MAX)
        return pause, left
