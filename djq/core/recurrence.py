"""When a schedule is due: from one slot to the next, and to those that were missed.

A *slot* is a moment at which a schedule makes one task. Three kinds of steps lead from slot to slot:

- MINUTES and HOURLY are elapsed time: so many real seconds, whatever the clocks on the wall do.
- DAILY and longer keep their wall time. The step is taken on the calendar, and the wall time that it
  leads to stands for one moment, as `walltime` says: in a gap the first moment after it, in an overlap
  the first of the two. The wall time that was meant goes on with the slot, so that a run moved out
  of a gap moves none after it. Months are chained: the 31st of January leads to the 28th of
  February, and that to the 28th of March, as documented.
- CRON names wall times by itself, by the same rules; one that runs in every hour goes by elapsed
  time through gaps and overlaps. Only what it names is a slot: an anchor between two of its
  times stands for the later one.

Slots come later and later: two wall times that stand for one moment (a schedule of every day, where
the clocks skip a day) are one slot. They lie in the years 1970 to 2199.

arrow takes the steps on the calendar, on wall times. Its steps of hours are wall-clock steps too,
and wrong in an overlap, so elapsed time is plain arithmetic here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

import attrs
from arrow import Arrow

from djq.core.cron import Cron
from djq.core.walltime import moment_of, next_change, wall_of

ONCE, MINUTES, HOURLY, CRON = "O", "I", "H", "C"
DAYS = {"D": 1, "W": 7, "BW": 14}
MONTHS = {"M": 1, "BM": 2, "Q": 3, "Y": 12}
TYPES = (ONCE, MINUTES, HOURLY, *DAYS, *MONTHS, CRON)

FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
WALL_LAST = datetime(2200, 1, 2)  # noqa: DTZ001 - later than LAST on every wall


@attrs.frozen(kw_only=True)
class Rule:
    """By what a schedule repeats."""

    type: str
    """One of `TYPES`."""

    zone: tzinfo
    """Where its wall time is kept."""

    minutes: int = 1
    """The step of MINUTES, at least 1."""

    cron: Cron | None = None
    """What CRON goes by; None for the other types."""


@attrs.frozen
class Slot:
    """One moment at which a schedule makes a task."""

    at: datetime
    """Aware, UTC."""

    wall: datetime
    """The wall time that was meant: in a gap no clock ever shows it."""


def first_slot(rule: Rule, anchor: datetime, wall: datetime | None = None) -> Slot | None:
    """The first slot from `anchor` on: the anchor itself, but for CRON. None: there is none.

    `wall` is the wall time that was meant by the anchor. None: what the clocks show then.
    """
    anchor = anchor.astimezone(UTC)
    if rule.type == CRON:
        return _cron_slot(rule, anchor - timedelta(microseconds=1))
    return _within(Slot(anchor, wall_of(anchor, rule.zone) if wall is None else wall))


def following(rule: Rule, slot: Slot) -> Slot | None:
    """The next slot; always later. None: there is none."""
    if rule.type == ONCE:
        return None
    if rule.type == CRON:
        return _cron_slot(rule, slot.at)
    step = _elapsed(rule)
    if step is not None:
        return _within(_at(rule, slot.at + step))
    wall, at = slot.wall, slot.at
    while at <= slot.at:
        wall = _calendar_step(rule, wall)
        at = moment_of(wall, rule.zone)
    return _within(Slot(at, wall))


def first_after(rule: Rule, slot: Slot, moment: datetime) -> Slot | None:
    """The first slot of the same grid after `moment`, and after `slot`. None: there is none."""
    found: Slot | None = slot
    if moment > slot.at:
        found = _near(rule, slot, min(moment, LAST))
    while found is not None and (found.at <= moment or found.at <= slot.at):
        found = following(rule, found)
    return found


def slots(rule: Rule, slot: Slot | None) -> Iterator[Slot]:
    """This slot and all after it."""
    while slot is not None:
        yield slot
        slot = following(rule, slot)


def _near(rule: Rule, slot: Slot, moment: datetime) -> Slot:
    """A slot of the grid not after `moment`, and not far from it."""
    step = _elapsed(rule)
    if step is not None:
        return _at(rule, slot.at + (moment - slot.at) // step * step)
    if rule.type == CRON:
        return _at(rule, moment)
    if rule.type in DAYS:
        days = DAYS[rule.type]
        # Three days short: the two walls may be a day apart, and clocks may have skipped one.
        whole = (wall_of(moment, rule.zone) - slot.wall - timedelta(days=3)) // timedelta(days=days)
        if whole > 0:
            wall = slot.wall + timedelta(days=whole * days)
            return Slot(moment_of(wall, rule.zone), wall)
    return slot


def _elapsed(rule: Rule) -> timedelta | None:
    """The real time of one step. None: steps are not of one length."""
    if rule.type == MINUTES:
        return timedelta(minutes=rule.minutes)
    return timedelta(hours=1) if rule.type == HOURLY else None


def _calendar_step(rule: Rule, wall: datetime) -> datetime:
    if rule.type in DAYS:
        return wall + timedelta(days=DAYS[rule.type])
    moved: datetime = Arrow.fromdatetime(wall, UTC).shift(months=MONTHS[rule.type]).naive
    return moved


def _cron_slot(rule: Rule, after: datetime) -> Slot | None:
    """The first slot after a moment that the cron expression names."""
    assert rule.cron is not None, "CRON has an expression"
    if after < FIRST:
        after = FIRST - timedelta(microseconds=1)
    if rule.cron.every_hour:
        return _cron_by_elapsed_time(rule.cron, rule.zone, after)
    wall = rule.cron.after(wall_of(after, rule.zone))
    while (at := moment_of(wall, rule.zone)) <= after:
        wall = rule.cron.after(wall)
    return _within(Slot(at, wall))


def _cron_by_elapsed_time(cron: Cron, zone: tzinfo, after: datetime) -> Slot | None:
    """The first real moment after this one at which the clocks show what the expression names."""
    moment, wall = after, cron.after(wall_of(after, zone))
    while wall < WALL_LAST:
        # As if the clocks went on as they do at `moment`, up to their next change.
        at = moment + (wall - wall_of(moment, zone))
        change = next_change(moment, at, zone)
        if change is None:
            return _within(Slot(at, wall))
        moment, wall = change, cron.at_or_after(wall_of(change, zone))
    return None


def _at(rule: Rule, at: datetime) -> Slot:
    return Slot(at, wall_of(at, rule.zone))


def _within(slot: Slot) -> Slot | None:
    return slot if FIRST <= slot.at <= LAST else None
