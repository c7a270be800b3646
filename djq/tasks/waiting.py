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

    def __init__(self, clock: Clock, pause: Callable[[float], None]) -> None:
        """`pause` is given seconds, and returns when they have passed."""
        self._clock = clock
        self._pause = pause

    def wait(self, look: Callable[[], Found | None], milliseconds: float) -> Found | None:
        """Give what `look` finds, at once when it finds it; None at the end of the wait.

        It looks at least once, and once more when the time is up. A negative wait has no end.
        """
        pauses = Pauses(self._clock, milliseconds)
        while (found := look()) is None and (seconds := pauses.next_seconds()) > 0:
            self._pause(seconds)
        return found


class AsyncWaiter:
    """As `Waiter`, for coroutines: the event loop goes on meanwhile."""

    def __init__(self, clock: Clock, pause: Callable[[float], Awaitable[None]]) -> None:
        """What `pause` gives for a number of seconds is awaited."""
        self._clock = clock
        self._pause = pause

    async def wait(
        self, look: Callable[[], Awaitable[Found | None]], milliseconds: float
    ) -> Found | None:
        """Give what `look` finds, at once when it finds it; None at the end of the wait."""
        pauses = Pauses(self._clock, milliseconds)
        while (found := await look()) is None and (seconds := pauses.next_seconds()) > 0:
            await self._pause(seconds)
        return found


class Pauses:
    """The pauses between looks, until the time is up."""

    def __init__(self, clock: Clock, milliseconds: float) -> None:
        """The time runs from now on; a negative one has no end."""
        self._clock = clock
        self._seconds = milliseconds / 1000 if milliseconds >= 0 else inf
        self._deadline = clock.monotonic() + self._seconds
        self._paused = 0.0
        self._next = PAUSE_SECONDS_FIRST

    def next_seconds(self) -> float:
        """How long to pause now; 0 or less when the time is up."""
        refuse = wiring().endless
        if refuse is not None and self._seconds == inf:
            refuse()
        # The pauses count too: a test that froze the clock would wait for ever.
        left = min(self._deadline - self._clock.monotonic(), self._seconds - self._paused)
        pause = min(self._next, left)
        self._paused += self._next
        self._next = min(self._next * 2, PAUSE_SECONDS_MAX)
        return pause
