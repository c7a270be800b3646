"""The system's clocks and its randomness: the one place in djq that reads the time."""

from __future__ import annotations

import asyncio
import datetime
import random
import time
import uuid
from typing import Protocol

from djq.ports import Clock


class CallersClock(Clock, Protocol):
    """A clock for callers too: they can wait on it."""

    def pause(self, seconds: float, longest: float | None = None) -> None:
        """Let time pass: for a caller that waits for a result, never for a component.

        A clock that knows that nothing can happen by then may let more of it pass, `longest` at most.
        """
        ...

    async def apause(self, seconds: float, longest: float | None = None) -> None:
        """As `pause`; the event loop goes on meanwhile."""
        ...


class SystemClock:
    """The real clocks. They are read when asked, so freezegun and time-machine move them."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float, longest: float | None = None) -> None:  # noqa: ARG002
        """Block the calling thread: for a caller that waits for a result, never for a component."""
        time.sleep(seconds)

    async def apause(self, seconds: float, longest: float | None = None) -> None:  # noqa: ARG002
        """Let the event loop go on for a while."""
        await asyncio.sleep(seconds)


class SystemIds:
    """Real identity and chance."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def task_id(self) -> str:
        return uuid.uuid4().hex

    def jitter(self) -> float:
        return self._random.random()
