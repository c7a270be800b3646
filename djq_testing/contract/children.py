"""What runs in the children of the runtime contract: each does one thing, and tells of it on its link."""

from __future__ import annotations

from collections.abc import Sequence

from djq.core.lifecycle import ChildId
from djq.ports import Clock, Link, Wait

CHATTER_SECONDS = 0.001


class Echo:
    """Says all that it hears; leaves with its parent."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def step(self) -> Wait | None:
        """Answer what has come."""
        self._link.send(*self._link.receive())
        return None if self._link.ended else Wait(None)


class Introducer:
    """Says who it is, and leaves."""

    def __init__(self, child: ChildId, label: str, link: Link) -> None:
        self._words = (child, label)
        self._link = link

    def step(self) -> None:
        """Say it."""
        self._link.send(self._words)


class Speaker:
    """Says what it was told to say, and leaves."""

    def __init__(self, link: Link, messages: Sequence[object]) -> None:
        self._link = link
        self._messages = messages

    def step(self) -> None:
        """Say all of it, half of it in one go."""
        half = len(self._messages) // 2
        self._link.send(*self._messages[:half])
        for message in self._messages[half:]:
            self._link.send(message)


class Crasher:
    """Says something, and crashes."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def step(self) -> Wait | None:
        """Crash."""
        self._link.send("last words")
        raise RuntimeError("a crash that the contract asks for")


class Chatterbox:
    """Counts aloud until nobody is there."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._count = 0

    def step(self) -> Wait | None:
        """Say the next few numbers."""
        for number in range(self._count, self._count + 5):
            self._link.send(number)
        self._count += 5
        self._link.receive()
        return None if self._link.ended else Wait(CHATTER_SECONDS)


class Sluggard:
    """Says that it is busy, and reads nothing, whatever comes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._has_spoken = False

    def step(self) -> Wait:
        """Be busy."""
        if not self._has_spoken:
            self._has_spoken = True
            self._link.send("busy")
        return Wait(CHATTER_SECONDS)


class Heavyweight:
    """Says much before it reads anything; then says whether it has heard the same."""

    def __init__(self, link: Link, pieces: Sequence[bytes]) -> None:
        self._link = link
        self._pieces = pieces
        self._heard: list[object] | None = None

    def step(self) -> Wait | None:
        """Say it, or hear some."""
        if self._heard is None:
            self._heard = []
            self._link.send(*self._pieces)
        self._heard.extend(self._link.receive())
        if len(self._heard) < len(self._pieces) and not self._link.ended:
            return Wait(None)
        is_whole = self._heard == list(self._pieces)
        self._link.send(("whole" if is_whole else "broken", len(self._heard)))
        return None


class Taker:
    """From a message on, takes one offer a step and tells of it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._takes = False

    def step(self) -> Wait | None:
        """Take one, if there is one."""
        self._takes = bool(self._link.receive()) or self._takes
        if self._link.ended:
            return None
        offered = self._link.take() if self._takes else None
        if offered is None:
            return Wait(None)
        self._link.send(offered)
        return Wait(0.0)


class Clockwatcher:
    """Waits for a moment, and says what ended its wait."""

    def __init__(self, link: Link, clock: Clock, seconds: float) -> None:
        self._link = link
        self._clock = clock
        self._seconds = seconds
        self._moment: float | None = None
        self._waits = 0

    def step(self) -> Wait | None:
        """Look at the clock."""
        now = self._clock.monotonic()
        if self._moment is None:
            self._moment = now + self._seconds
            self._link.send("waiting")
        if self._link.receive():
            self._link.send("woken")
            return None
        if now >= self._moment:
            self._link.send(("time is up", self._waits))
            return None
        self._waits += 1
        return Wait(self._moment - now)
