"""When a schedule should run, found by walking through real minutes and looking at the clock.

Nothing of djq is used here, no arithmetic on zones either: the only question that is put to a zone is
what its clocks show at a moment. Slow and plain on purpose.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import timedelta

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
DAYS = {"D": 1, "W": 7, "BW": 14}
MONTHS = {"M": 1, "BM": 2, "Q": 3, "Y": 12}


def shown(moment, zone):
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def runs(kind, anchor, zone, until, *, minutes=1, cron=None):
    """The moments of a schedule from `anchor` up to `until`, by the minute."""
    if kind == "C":
        return cron_runs(cron, anchor, zone, until)
    if kind == "O":
        return [anchor]
    if kind in {"I", "H"}:
        step, found = (60 if kind == "H" else minutes) * MINUTE, []
        while anchor <= until:
            found.append(anchor)
            anchor += step
        return found
    return calendar_runs(kind, anchor, zone, until)


def calendar_runs(kind, anchor, zone, until):
    """The first real minute at which the clocks have reached each wall time that is meant."""
    found, moment, meant = [anchor], anchor + MINUTE, step(kind, shown(anchor, zone))
    while moment <= until:
        if shown(moment + DAY, zone) + DAY < meant:
            moment += DAY
            continue
        reached = False
        while meant <= shown(moment, zone):
            reached = True
            meant = step(kind, meant)
        if reached:
            found.append(moment)
        moment += MINUTE
    return found


def step(kind, wall):
    if kind in DAYS:
        return wall + DAYS[kind] * DAY
    year, month = divmod(wall.year * 12 + wall.month - 1 + MONTHS[kind], 12)
    month += 1
    return wall.replace(year=year, month=month, day=min(wall.day, monthrange(year, month)[1]))


def cron_runs(cron, anchor, zone, until):
    """By the clocks when it runs every hour; otherwise each time that it names comes just once."""
    parts = [numbers(*part) for part in zip(cron.split(), RANGES, strict=True)]
    both = cron.split()[2].startswith("*") or cron.split()[4].startswith("*")
    by_the_clocks = parts[1] == set(range(24))
    # From the day before: the anchor may lie in an overlap, and its times may have come already.
    found, moment = [], anchor.replace(second=0, microsecond=0) - DAY
    meant = shown(moment, zone)
    while moment <= until:
        wall = shown(moment, zone)
        if by_the_clocks:
            hit = names(parts, wall, both=both)
        else:
            hit = False
            while meant <= wall:
                hit = names(parts, meant, both=both) or hit
                meant += MINUTE
        if hit and moment >= anchor:
            found.append(moment)
        moment += MINUTE
    return found


RANGES = [range(60), range(24), range(1, 32), range(1, 13), range(7)]


def numbers(text, every):
    """The numbers that a field names: lists, ranges and steps of numbers."""
    found = set()
    for part in text.split(","):
        span, _, stride = part.partition("/")
        first, _, last = span.partition("-")
        low = every.start if span == "*" else int(first)
        high = every.stop - 1 if span == "*" or (stride and not last) else int(last or first)
        found.update(range(low, high + 1, int(stride or 1)))
    return found


def names(parts, wall, *, both):
    minutes, hours, days, months, weekdays = parts
    if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
        return False
    of_the_month, of_the_week = wall.day in days, wall.isoweekday() % 7 in weekdays
    return (of_the_month and of_the_week) if both else (of_the_month or of_the_week)
