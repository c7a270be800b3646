"""Makes text that others chose safe to show: what would steer a terminal is shown instead of obeyed.

Names of tasks and hosts, errors and tracebacks may hold anything, escape sequences too.
"""

from __future__ import annotations

import unicodedata

UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Kinds of characters without a picture of their own: controls, directions, halves of pairs, …"""
TAB_COLUMNS = 4


def visible(text: str) -> str:
    r"""One line: each character that has no picture stands there as its escape, such as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(_seen(each) for each in text)


def visible_lines(text: str) -> str:
    """As `visible`, line by line; tabs become blanks."""
    return "\n".join(visible(line.expandtabs(TAB_COLUMNS)) for line in text.split("\n"))


def shortened(text: str, width: int) -> str:
    """A text of so many characters at most: what is cut out of its middle is a `…`.

    Names of hosts and of functions tell most at their ends.
    """
    if len(text) <= width:
        return text
    tail = width // 2
    return f"{text[: width - tail - 1]}…{text[len(text) - tail :]}"


def _seen(character: str) -> str:
    if unicodedata.category(character) in UNSEEN:
        return character.encode("unicode_escape").decode("ascii")
    return character
