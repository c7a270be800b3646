"""Puts up the picture of a cluster for other processes, while its command runs.

It stands around the command, in the command's own process, and works after each of its steps. A board
that is slow or away must cost the command nothing: an attempt is given up after a moment, the pauses
between attempts grow, and meanwhile the picture up there ends by itself, as it does when the cluster
dies. Before that nobody misses anything, so a failure now and then is not spoken of: a SQLite file that
everybody writes to is locked every now and then. What is put up is only what is new: a sentinel that has
fallen silent is not made to look alive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol

from djq.components.backoff import Backoff
from djq.components.command import Command
from djq.exceptions import BoardUnavailable
from djq.ports import Surroundings, Wait

CYCLES_KEPT = 3
SECONDS_KEPT_LEAST = 3.0


class Board(Protocol):
    """Where pictures of clusters are put up, as texts. What it raises is `BoardUnavailable`."""

    cycle_seconds: ClassVar[float]
    """Least seconds between two texts of one place, where it is not to be written more often. 0: none."""

    def put(self, place: str, text: str, seconds: float) -> None:
        """Put a text up for so long, instead of what was there; every cluster has its own place."""
        ...

    def read(self) -> Sequence[str]:
        """The texts of all places that have not ended, in any order."""
        ...

    def close(self) -> None:
        """Let go of connections; the next verb connects anew. Called before a fork."""
        ...


class Publisher:
    """Steps the command, and is done when that is."""

    def __init__(
        self,
        *,
        command: Command,
        board: Board,
        place: str,
        picture: Callable[[bool], str],
        around: Surroundings,
        guard_cycle: float,
        bounded: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Make it around a command that has not begun.

        Args:
            command: What is driven.
            board: Where the picture goes.
            place: A name that no other cluster has.
            picture: Makes the text; it is told whether the cluster has stopped.
            around: Time and the observer.
            guard_cycle: Least seconds between two pictures, if the board has not more.
            bounded: Ends what takes too long with a `TimeoutError`.
        """
        self._command = command
        self._board = board
        self._place = place
        self._picture = picture
        self._clock = around.clock
        self._guard_cycle = max(guard_cycle, board.cycle_seconds)
        self._bounded = bounded
        self._seconds = max(CYCLES_KEPT * self._guard_cycle, SECONDS_KEPT_LEAST)
        self._backoff = Backoff("board of the statistics", around, silent_seconds=self._seconds)
        self._next_at = around.clock.monotonic()
        self._shown: tuple[object] | None = None
        """The report that is up there, and was not None by chance. None: nothing yet."""

    def step(self) -> Wait | None:
        """Step the command, then put up what is new, if it is time."""
        wait = self._command.step()
        if wait is None:
            if not self._backoff.seconds_left():
                self._put(stopped=True)
            self._board.close()
            return None
        if not self._has_news():
            return wait
        if not self._seconds_left():
            self._put(stopped=False)
            return wait
        left = self._seconds_left()
        return Wait(left if wait.seconds is None else min(wait.seconds, left))

    def _has_news(self) -> bool:
        return self._shown is None or self._shown[0] is not self._command.report

    def _seconds_left(self) -> float:
        pause = self._next_at - self._clock.monotonic()
        return max(pause, self._backoff.seconds_left(), 0.0)

    def _put(self, *, stopped: bool) -> None:
        report = self._command.report
        try:
            with self._bounded():
                self._board.put(self._place, self._picture(stopped), self._seconds)
        except (BoardUnavailable, TimeoutError) as error:
            self._backoff.failed(error)
        else:
            self._backoff.answered()
            self._shown = (report,)
        self._next_at = self._clock.monotonic() + self._guard_cycle
