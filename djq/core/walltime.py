"""What a clock on the wall shows and when it shows it: zones, gaps and overlaps.

A wall time is a datetime without a zone. Where clocks go forward, some wall times never come: they
stand for the first moment after the gap. Where clocks go back, some come twice: they stand for the
first of the two. So every wall time stands for exactly one moment.

Moments are aware and in UTC here; a zone is any `tzinfo` that follows PEP 495, as `zoneinfo` does.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, tzinfo

MICROSECOND = timedelta(microseconds=1)
LOOK_EVERY = timedelta(hours=12)
"""No zone changes its offset twice within that time and comes back to where it was."""


class Kind(enum.Enum):
    """How often a wall time comes."""

    PLAIN = "once"
    GAP = "never: clocks go forward over it"
    OVERLAP = "twice: clocks go back over it"


def wall_of(moment: datetime, zone: tzinfo) -> datetime:
    """What the clocks of the zone show at a moment."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def kind_of(wall: datetime, zone: tzinfo) -> Kind:
    """Whether the wall time comes once, twice or never."""
    earlier, later = _readings(wall, zone)
    if earlier == later:
        return Kind.PLAIN
    return Kind.OVERLAP if wall_of(earlier, zone) == wall else Kind.GAP


def moment_of(wall: datetime, zone: tzinfo) -> datetime:
    """The one moment that a wall time stands for."""
    earlier, later = _readings(wall, zone)
    if earlier == later or wall_of(earlier, zone) == wall:
        return earlier
    # In a gap the readings lie on both sides of the change, the later reading before it.
    return _change(later, earlier, zone)


def next_change(after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    """The first moment in (after, until] from which on the zone has another offset. None: none."""
    offset, low = after.astimezone(zone).utcoffset(), after
    while low < until:
        high = min(low + LOOK_EVERY, until)
        if high.astimezone(zone).utcoffset() != offset:
            return _change(low, high, zone)
        low = high
    return None


def _readings(wall: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return first, wall.replace(tzinfo=zone, fold=1).astimezone(UTC)


def _change(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    """The first moment at which the offset is not that of `low` any more; it is at `high`."""
    offset = low.astimezone(zone).utcoffset()
    while high - low > MICROSECOND:
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
