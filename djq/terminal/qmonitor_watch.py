"""Keeps the newest answer about each part of an overview; each part is asked about at its own pace.

For plain lines one thread asks about what is due. For the screen each part has a thread of its own:
a broker or a database that hangs then holds up neither the other parts nor whoever looks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from djq import assembly
from djq.core.disclosure import without_logins
from djq.overview import Overview
from djq.ports import Clock
from djq.runtime import scope
from djq.terminal.qmonitor_table import silence

LEAST_SECONDS: Mapping[str, float] = {"clusters": 0, "queue": 0, "failures": 2, "results": 5}
"""The parts that are shown, and the least seconds between two looks at each."""
RESTS: Mapping[str, float] = {"results": 10}
"""After an answer these rest so many times as long as it took, the others once: `results` counts every
row that is kept, and whoever watches is not to take much of a database."""
SILENT_SECONDS = 3.0
"""An answer that takes longer is told to be missing."""


class Watch:
    """The newest answers; any thread may look."""

    def __init__(
        self,
        take: Callable[[Collection[str]], Overview],
        *,
        clock: Clock,
        seconds: float,
    ) -> None:
        """Make it; nothing is asked yet.

        Args:
            take: Reads these parts.
            clock: Measures how long that takes.
            seconds: Between two looks at a part, at least.
        """
        self._take = take
        self._clock = clock
        self._seconds = seconds
        self._answers: dict[str, Overview] = {}
        self._asked_at: dict[str, float] = {}
        """Parts whose answer is waited for, and since when."""
        self._due_at: dict[str, float] = {}

    def ask(self, part: str) -> float:
        """Read one part; gives the seconds until it is to be read again."""
        began = self._clock.monotonic()
        self._asked_at[part] = began
        try:
            answer = self._take([part])
        except Exception as error:  # noqa: BLE001 - the top of a thread; a driver may raise anything
            words = without_logins(f"{type(error).__name__}: {error}")
            answer = Overview(at=self._clock.now(), errors={part: words})
        self._answers[part] = answer
        del self._asked_at[part]
        took = self._clock.monotonic() - began
        # What is away is to be seen again soon after it is back.
        rest = 0 if answer.errors else RESTS.get(part, 1) * took
        return max(self._seconds, LEAST_SECONDS[part], rest)

    def ask_due(self) -> None:
        """Read, in this thread, the parts whose time has come."""
        for part in LEAST_SECONDS:
            if self._clock.monotonic() >= self._due_at.get(part, float("-inf")):
                seconds = self.ask(part)
                self._due_at[part] = self._clock.monotonic() + seconds

    def works(self) -> Mapping[str, Callable[[], float]]:
        """What threads have to do, by their names; see `djq.runtime.repeating`."""
        return {f"djq watch {part}": partial(self.ask, part) for part in LEAST_SECONDS}

    def look(self) -> Overview:
        """All that is known now; never waits.

        A part whose answer does not come is what it was, and `errors` says so.
        """
        found: dict[str, Any] = {}
        errors: dict[str, str] = {}
        now = self._clock.monotonic()
        for part in LEAST_SECONDS:
            answer = self._answers.get(part)
            if answer is not None:
                found[part] = getattr(answer, part)
                errors.update(answer.errors)
            asked_at = self._asked_at.get(part)
            if asked_at is not None and now - asked_at >= SILENT_SECONDS:
                errors[part] = silence(now - asked_at)
        return Overview(at=self._clock.now(), errors=errors, **found)


def let_go_of_this_thread() -> None:
    """Close what this thread has opened: broker, board, databases, caches."""
    assembly.broker_of_this_thread().close()
    board = assembly.board_of_this_thread()
    if board is not None:
        board.close()
    scope.close_own()
