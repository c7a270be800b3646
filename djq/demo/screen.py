"""Writes the demo's words: one line redrawn on a terminal, a few plain lines anywhere else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import TextIO

COLUMNS_MAX = 80
BAR_CELLS = 24
QUARTERS = 4

BOLD, DIM, RED, GREEN = "1", "2", "31", "32"


class Screen:
    """What a newcomer looks at while the demo runs."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str]) -> None:
        """`environment` tells of NO_COLOR and TERM."""
        self._stream = stream
        self._redraws = stream.isatty() and environment.get("TERM", "dumb") != "dumb"
        self._colours = self._redraws and not environment.get("NO_COLOR")
        self._signs = _can_write(stream, "✓✗━─")
        self._drawn = False
        self._quarters_told = 0

    def say(self, *lines: str) -> None:
        """Write lines, in the place of the progress if there is one."""
        self.clear()
        for line in lines:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def progress(self, *, done: int, total: int, seconds: float, failed: int) -> None:
        """Show how far the tasks are; where nothing can be redrawn, at each quarter."""
        words = f"{done:,} of {total:,} tasks   {seconds:.1f} s   {failed} failed"
        if self._redraws:
            self.redraw(f"{self._bar(done, total)}  {words}")
            return
        quarter = QUARTERS * done // total if total else 0
        if quarter > self._quarters_told:
            self._quarters_told = quarter
            self.say(f"  {words}")

    def redraw(self, words: str) -> None:
        """Show words that the next ones take the place of; nothing where that cannot be."""
        if not self._redraws:
            return
        columns = min(shutil.get_terminal_size().columns, COLUMNS_MAX)
        self._stream.write(f"\r\x1b[K  {words}"[: columns + len("\r\x1b[K") - 1])
        self._stream.flush()
        self._drawn = True

    def clear(self) -> None:
        """Take the progress away."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._drawn = False

    def title(self, words: str) -> str:
        """Words as a heading."""
        return self._styled(words, BOLD)

    def quiet(self, words: str) -> str:
        """Words that may be passed over."""
        return self._styled(words, DIM)

    def mark(self, *, good: bool) -> str:
        """One sign for kept or broken."""
        if good:
            return self._styled("✓" if self._signs else "+", GREEN)
        return self._styled("✗" if self._signs else "!", RED)

    def verdict(self, words: str, *, good: bool) -> str:
        """Words that say how all of it went."""
        return self._styled(words, f"{BOLD};{GREEN if good else RED}")

    def _bar(self, done: int, total: int) -> str:
        cells = BAR_CELLS * done // total if total else 0
        full, empty = ("━", "─") if self._signs else ("#", ".")
        return f"[{full * cells}{empty * (BAR_CELLS - cells)}]"

    def _styled(self, words: str, style: str) -> str:
        return f"\x1b[{style}m{words}\x1b[0m" if self._colours else words


def _can_write(stream: TextIO, signs: str) -> bool:
    try:
        signs.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
