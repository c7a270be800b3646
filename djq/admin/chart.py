"""The chart of what ended, minute by minute in the last hour: numbers for an SVG, words for everybody.

What succeeded stands on a line and what failed hangs below it, so that nobody needs colours to tell one
from the other. Both have one scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from djq.core.tally import NONE, Count
from djq.monitor import Stat

MINUTES = 60
WIDTH, HEIGHT = 600, 120
STEP = WIDTH / MINUTES
BAR = 0.8 * STEP
LEAST = 2
"""How high a bar is at least, or one failure among thousands of successes would not be seen."""
GATHERED = 5
"""Minutes in a row of the table."""


@attrs.frozen(kw_only=True)
class Bar:
    """A minute. Lengths are in units of the picture, as text: no language is to write a comma there."""

    x: str
    succeeded_y: str
    succeeded_height: str
    failed_height: str
    words: str


@attrs.frozen(kw_only=True)
class Row:
    """Some minutes, in the table."""

    when: str
    count: Count


@attrs.frozen(kw_only=True)
class Chart:
    """All that the template needs."""

    line_y: str
    """Where the line is, from above."""
    bars: tuple[Bar, ...]
    rows: tuple[Row, ...]
    """The youngest first."""
    most: int
    """The most that ended in one minute."""
    total: Count
    width: int = WIDTH
    height: int = HEIGHT
    bar_width: str = f"{BAR:.1f}"


def chart_of(clusters: Iterable[Stat]) -> Chart:
    """The chart of several clusters together, those that are told of no minutes left out."""
    minutes = _together([stat.minutes for stat in clusters if stat.minutes])
    highest = max(count.succeeded for count in minutes)
    lowest = max(count.failed for count in minutes)
    # Room for the shortest bars on either side of the line.
    unit = (HEIGHT - 2 * LEAST) / max(highest + lowest, 1)
    line = LEAST + (highest * unit if highest + lowest else HEIGHT - 2 * LEAST)
    bars = tuple(_bar(MINUTES - number, count, unit, line) for number, count in enumerate(minutes))
    return Chart(
        line_y=_length(line),
        bars=bars,
        rows=_rows(minutes),
        most=max(count.total for count in minutes),
        total=sum(minutes, NONE),
    )


def _together(hours: Sequence[Sequence[Count]]) -> list[Count]:
    """The sum, minute by minute; the last of each are the same minute."""
    minutes = [NONE] * MINUTES
    for hour in hours:
        for number, count in enumerate(reversed(hour[-MINUTES:])):
            minutes[-1 - number] += count
    return minutes


def _bar(ago: int, count: Count, unit: float, line: float) -> Bar:
    up, down = _height(count.succeeded, unit), _height(count.failed, unit)
    when = (
        _("this minute")
        if ago == 1
        else ngettext("%(count)d minute ago", "%(count)d minutes ago", ago - 1) % {"count": ago - 1}
    )
    words = _("%(when)s: %(succeeded)d succeeded, %(failed)d failed")
    return Bar(
        x=_length((MINUTES - ago) * STEP + (STEP - BAR) / 2),
        succeeded_y=_length(line - up),
        succeeded_height=_length(up),
        failed_height=_length(down),
        words=words % {"when": when, "succeeded": count.succeeded, "failed": count.failed},
    )


def _height(number: int, unit: float) -> float:
    return max(number * unit, LEAST) if number else 0


def _length(units: float) -> str:
    return f"{units:.1f}"


def _rows(minutes: Sequence[Count]) -> tuple[Row, ...]:
    rows = []
    for start in range(0, MINUTES, GATHERED):
        count = sum(minutes[MINUTES - start - GATHERED : MINUTES - start], NONE)
        words = _("%(from)d to %(to)d minutes ago") % {"from": start, "to": start + GATHERED}
        rows.append(Row(when=words, count=count))
    return tuple(rows)
