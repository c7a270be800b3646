"""Time and identity that a test holds in its hand."""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from math import inf, isfinite
from typing import Protocol

from asgiref.sync import sync_to_async

from djq.runtime.clock import SystemClock

START = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Player(Protocol):
    """Whoever lets things happen as a clock moves: the cluster in process."""

    def play_until(self, moment: datetime) -> None:
        """Let everything happen that happens up to then; the clock is moved with it."""
        ...

    def quiet_seconds(self) -> float:
        """For how long nothing happens by itself; infinite: for ever."""
        ...


class ManualClock:
    """A clock that stands still until it is moved; both of its times move together.

    Whoever waits on it moves it: a wait for a result takes no time. While freezegun has frozen the
    time, the clock is freezegun's: it shows the frozen time, and moving either of them moves both.
    """

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError(f"{start!r} has no time zone; give an aware datetime")
        self._moment = start.astimezone(UTC)
        self._elapsed = timedelta()
        self._player: Player | None = None
        self._freeze: Frozen | None = None
        """Which of freezegun's freezes was on when somebody last looked."""

    def now(self) -> datetime:
        """The time of day, aware, UTC."""
        self._follow()
        return self._moment

    def monotonic(self) -> float:
        """Seconds since the clock was made; it never goes back, not even with the time of day."""
        self._follow()
        return self._elapsed.total_seconds()

    def advance(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Move on by the sum of what is given, rounded up to a microsecond: never by less.

        A cluster on this clock does what falls into that time.
        """
        total = seconds + 60 * minutes + 3_600 * hours + 86_400 * days
        if not isfinite(total):
            raise ValueError(f"{total} s never pass; give numbers that end")
        if total < 0:
            raise ValueError(f"a clock cannot go back, by {total} s neither; give positive numbers")
        step = timedelta(seconds=total)
        # Who waits for less than the clock can show would otherwise wait for ever.
        missing = step.total_seconds() < total
        self._play(self.now() + (step + MICROSECOND if missing else step))

    def advance_to(self, moment: datetime) -> None:
        """Move on to a moment; one that has passed is refused."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment!r} has no time zone; give an aware datetime")
        if moment < self.now():
            raise ValueError(f"a clock cannot go back: it is {self.now()}, {moment} has passed")
        self._play(moment.astimezone(UTC))

    def pause(self, seconds: float, longest: float | None = None) -> None:
        """Move on: for a caller that waits for a result.

        With `longest` it moves on to the next thing that happens, by so much at most, and to the end
        of that time when nothing does: whoever waits need not look while nothing happens.
        """
        quiet = inf if self._player is None else self._player.quiet_seconds()
        jump = min(quiet, seconds if longest is None else longest)
        self.advance(max(seconds, jump) if isfinite(jump) else seconds)

    async def apause(self, seconds: float, longest: float | None = None) -> None:  # noqa: ARG002
        """Move on by no more than `seconds`: other coroutines may do something meanwhile.

        What happens in that time may use the database.
        """
        await sync_to_async(self.advance)(seconds)

    def drive(self, player: Player | None) -> Player | None:
        """Let `player` play whatever happens while the clock moves. None: nobody. Gives who did before."""
        before, self._player = self._player, player
        return before

    def move(self, moment: datetime) -> None:
        """Show another time; nothing happens meanwhile. For players, who go from event to event."""
        step = moment - self.now()
        if step > timedelta():
            self._moment = moment
            self._elapsed += step
            if self._freeze is not None:
                self._freeze.tick(step)

    def _play(self, moment: datetime) -> None:
        # Who moves the clock while something happens on it only moves it.
        player, self._player = self._player, None
        try:
            if player is not None:
                player.play_until(moment)
        finally:
            self._player = player
        self.move(moment)

    def _follow(self) -> None:
        before, self._freeze = self._freeze, _frozen()
        if self._freeze is None:
            return
        # As everybody else reads the time there: with freezegun's `tz_offset` that is not its own UTC.
        moment = SystemClock().now()
        if before is self._freeze:
            self._elapsed += max(moment - self._moment, timedelta())
        # Otherwise the freeze is new, and the time was set: none has passed.
        self._moment = moment


def clock_at(start: datetime | str | None) -> ManualClock:
    """Make a clock that starts at a moment, an aware datetime or ISO text. None: at the present one.

    Raises:
        ValueError: It has no time zone, or is no moment at all.
    """
    if isinstance(start, str):
        with suppress(ValueError):
            start = datetime.fromisoformat(start)
    if start is not None and not isinstance(start, datetime):
        raise ValueError(
            f"{start!r} is no moment; give an aware datetime, or text such as '2026-03-29T01:59+01:00'"
        )
    return ManualClock(SystemClock().now() if start is None else start)


class Frozen(Protocol):
    """What freezegun holds the time with."""

    def tick(self, delta: timedelta) -> object:
        """Let time pass."""
        ...


def _frozen() -> Frozen | None:
    """The innermost freeze of freezegun. None: the time is not frozen, or freezegun is not used."""
    api = sys.modules.get("freezegun.api")
    freezes: list[Frozen] = [] if api is None else api.freeze_factories
    return freezes[-1] if freezes else None


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
