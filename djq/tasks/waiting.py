"""Waits for something that others will bring about, with pauses that grow."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeVar

from djq.ports import Clock

PAUSE_SECONDS_FIRST = 0.001
PAUSE_SECONDS_MAX = 0.05

Found = TypeVar("Found")


class Waiter:
    """Looks for something until it is there, with pauses that grow from 1 ms to 50 ms."""

    def __init__(self, clock: Clock, pause: Callable[[float], None]) -> None:
        """`pause` is given seconds, and returns when they have passed."""
        self._clock = clock
        self._pause = pause

    def wait(self, look: Callable[[], Found | None], milliseconds: float) -> Found | None:
        """Give what `look` finds, at once when it finds it; None at the end of the wait.

        It looks at least once, and once more when the time is up. A negative wait has no end.
        """
        seconds = milliseconds / 1000 if milliseconds >= 0 else inf
        deadline = self._clock.monotonic() + seconds
        paused_seconds, next_seconds = 0.0, PAUSE_SECONDS_FIRST
        while (found := look()) is None:
            # The pauses count too: a test that froze the clock would wait for ever.
            left = min(deadline - self._clock.monotonic(), seconds - paused_seconds)
            if left <= 0:
                return None
            self._pause(min(next_seconds, left))
            paused_seconds += next_seconds
            next_seconds = min(next_seconds * 2, PAUSE_SECONDS_MAX)
        return found
