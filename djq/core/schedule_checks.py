"""What is wrong with a schedule, field by field, and when it will run: for those who write one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from itertools import islice

import attrs

from djq.core.call import func_path
from djq.core.cron import parse_cron
from djq.core.literals import read_args, read_keywords
from djq.core.recurrence import CRON, FIRST, LAST, MINUTES, TYPES, Slot, first_after, slots
from djq.core.schedule_calls import call_of
from djq.core.schedules import (
    OVERLAPS,
    REPEATS_MIN,
    SKIP,
    Custom,
    ScheduleRow,
    ZoneOf,
    rule_of,
    slot_of,
)
from djq.core.walltime import Kind, kind_of
from djq.exceptions import DjqError, ScheduleRefused

MINUTES_MAX = 32_767
REPEATS_MAX = 2**31 - 1

Check = Callable[[ScheduleRow, Custom, ZoneOf], object]
"""Raises what is wrong with one field."""


@attrs.frozen
class UpcomingRun:
    """One run to come."""

    at: datetime
    """Aware, in the schedule's zone."""

    kind: Kind
    """GAP: no clock shows the time that was meant, and it runs at the first moment after the gap.
    OVERLAP: clocks show this time twice."""

    meant: datetime
    """The wall time that was meant; without a zone."""

    @property
    def note(self) -> str:
        """What is special about it. Empty: nothing."""
        if self.kind is Kind.GAP:
            return f"gap: {self.meant:%H:%M} does not exist that day, clocks go forward"
        if self.kind is Kind.OVERLAP:
            return f"overlap: {self.meant:%H:%M} comes twice that day, clocks go back"
        return ""

    def __str__(self) -> str:
        moment = f"{self.at:%a %Y-%m-%d %H:%M:%S %z}"
        return f"{moment} ({self.note})" if self.note else moment


def problems_of(row: ScheduleRow, custom: Custom, zone_of: ZoneOf) -> dict[str, str]:
    """Everything that is wrong with a schedule: a sentence a field. Empty: nothing is."""
    found = {}
    for field, check in _CHECKS.items():
        try:
            check(row, custom, zone_of)
        except DjqError as error:
            found[field] = str(error)
    if not found:
        try:
            call_of(row)
        except ScheduleRefused as error:
            found["q_options"] = str(error)
    return found


def upcoming(
    row: ScheduleRow, now: datetime, custom: Custom, zone_of: ZoneOf, count: int
) -> list[UpcomingRun]:
    """The next runs, those included that were missed and will be caught up with.

    Raises:
        ScheduleRefused: The schedule says by no rule when it runs.
    """
    rule = rule_of(row, custom, zone_of)
    first = slot_of(row, rule, row.time_zone or custom.time_zone)
    catch_up = custom.catch_up if row.catch_up is None else row.catch_up
    left = min(count, row.repeats) if row.repeats >= 0 else count

    def runs() -> Iterator[Slot]:
        if first is None:
            return
        if first.at > now or (catch_up and row.overlap != SKIP):
            yield from slots(rule, first)
        else:
            yield first
            yield from slots(rule, first_after(rule, first, now))

    return [_upcoming(slot, rule.zone) for slot in islice(runs(), max(left, 0))]


def _upcoming(slot: Slot, zone: tzinfo) -> UpcomingRun:
    return UpcomingRun(slot.at.astimezone(zone), kind_of(slot.wall, zone), slot.wall)


def _must(fits: object, sentence: str) -> None:
    if not fits:
        raise ScheduleRefused(sentence)


def _type(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    kinds = ", ".join(TYPES)
    _must(row.schedule_type in TYPES, f"{row.schedule_type!r:.100} is no type; there are {kinds}.")


def _minutes(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    if row.schedule_type == MINUTES and row.minutes is not None:
        _must(
            _is_whole(row.minutes, 1, MINUTES_MAX), _whole("minutes", row.minutes, 1, MINUTES_MAX)
        )


def _repeats(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    fits = _is_whole(row.repeats, REPEATS_MIN, REPEATS_MAX)
    _must(fits, _whole("repeats", row.repeats, REPEATS_MIN, REPEATS_MAX))


def _next_run(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    if row.next_run is not None:
        _must(
            FIRST <= row.next_run <= LAST,
            f"next_run is {row.next_run.isoformat()}; it must lie in the years 1970 to 2199.",
        )


def _cron(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    if row.cron:
        parse_cron(row.cron)
    else:
        _must(row.schedule_type != CRON, "The type Cron needs an expression, such as '0 3 * * *'.")


def _zone(row: ScheduleRow, _custom: Custom, zone_of: ZoneOf) -> None:
    if row.time_zone:
        zone_of(row.time_zone)


def _overlap(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    _must(row.overlap in OVERLAPS, f"overlap is {row.overlap!r:.100}; it must be allow or skip.")


def _intended(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    name = row.intended_date_kwarg
    if not name:
        return
    _must(name.isidentifier(), f"{name!r:.100} cannot be the name of a keyword.")
    taken = name in read_keywords("kwargs", row.kwargs or "")
    _must(not taken, f"{name!r:.100} is among the keywords already.")


def _name(row: ScheduleRow, _custom: Custom, _zone_of: ZoneOf) -> None:
    name = row.name or ""
    _must(name.isprintable(), f"{name!r:.100} has characters that cannot be printed.")


_CHECKS: dict[str, Check] = {
    "name": _name,
    "func": lambda row, _custom, _zone_of: func_path(row.func),
    "hook": lambda row, _custom, _zone_of: func_path(row.hook) if row.hook else None,
    "args": lambda row, _custom, _zone_of: read_args(row.args or ""),
    "kwargs": lambda row, _custom, _zone_of: read_keywords("kwargs", row.kwargs or ""),
    "q_options": lambda row, _custom, _zone_of: read_keywords("q_options", row.q_options),
    "schedule_type": _type,
    "minutes": _minutes,
    "repeats": _repeats,
    "next_run": _next_run,
    "cron": _cron,
    "time_zone": _zone,
    "overlap": _overlap,
    "intended_date_kwarg": _intended,
}


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _whole(field: str, value: object, low: int, high: int) -> str:
    return f"{field} is {value!r:.100}; it must be a whole number from {low} to {high}."
