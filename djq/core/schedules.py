"""What becomes of a schedule that is due: which slots make tasks, and how its row goes on.

A row is looked at when it is due, and the answer is a `Decision`: the tasks to send, and the `Change`
to write. Both are decided from the row and the time alone, and the id of a task follows from the row
as it was: whoever decides the same row again decides the same tasks, and when the change is written the
row is another one, which decides others. So writing the change *is* taking the slots.

Where tasks and rows are not in one transaction, the change also says what is being sent (`pending`)
and for how long nobody else is to touch the row. If the sender dies, the row comes due by that, and is
decided again: the same tasks with the same ids.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from itertools import islice, takewhile

import attrs

from djq.core.composition import derived_id
from djq.core.cron import parse_cron
from djq.core.message import ERROR_CHARACTERS_MAX, cut, plain
from djq.core.recurrence import (
    CRON,
    MINUTES,
    ONCE,
    TYPES,
    Rule,
    Slot,
    first_after,
    first_slot,
    following,
    slots,
)
from djq.exceptions import ScheduleRefused

ALLOW, SKIP = "allow", "skip"
OVERLAPS = (ALLOW, SKIP)

SENDING = timedelta(seconds=30)
"""How long a row waits for its sender to say that all was sent."""
HELD = timedelta(minutes=10)
"""How long a row that can make no task is left alone; changing it ends that."""
LOST = timedelta(hours=24)
"""A run without an outcome is taken for lost then, and holds up `skip` no longer."""
REPEATS_MIN = -(2**31)
RUN_FAILED = "The last run failed: "
"""Begins an error that a task had, and not its schedule."""
OVER = "There is no run to come: schedules run in the years 1970 to 2199."

ZoneOf = Callable[[str], tzinfo]
"""Finds a zone by its name. Raises ScheduleRefused when there is none."""


@attrs.frozen(kw_only=True)
class ScheduleRow:
    """A schedule as it is kept; texts are as somebody wrote them, right or wrong."""

    id: int
    name: str | None = None
    func: str
    hook: str | None = None
    args: str | None = None
    kwargs: str | None = None
    q_options: str = ""
    schedule_type: str = ONCE
    minutes: int | None = None
    repeats: int = -1
    """Runs that are left; negative: without end, counted down."""
    next_run: datetime | None = None
    cron: str | None = None
    time_zone: str = ""
    """Empty: as configured."""
    catch_up: bool | None = None
    """None: as configured."""
    overlap: str = ALLOW
    intended_date_kwarg: str | None = None
    task: str | None = None
    """Id of the last task."""
    last_error: str = ""
    anchor: str = ""
    """The wall time that was meant by `next_run`, while that is as the scheduler wrote it."""
    pending: str = ""
    """What is being sent: a token, then a moment and a task id for each task."""
    unfinished: str = ""
    """Id of the last task, until it ends; of `skip` alone."""
    sent_at: datetime | None = None
    """When the last task was made."""
    held: bool = False
    """It came due by its `held_until`, not by `next_run`."""


@attrs.frozen(kw_only=True)
class Change:
    """What is written to a row."""

    id: int
    next_run: datetime | None
    repeats: int
    task: str | None
    last_error: str
    anchor: str
    pending: str = ""
    held_until: datetime | None = None
    """When the row comes due instead of at `next_run`. None: at `next_run`."""
    unfinished: str
    sent_at: datetime | None
    delete: bool = False
    """The row has done its part: it goes, once its task is sent."""


@attrs.frozen
class Run:
    """One task to be sent."""

    task_id: str
    at: datetime
    """The slot that it is made for."""


@attrs.frozen
class ScheduleEnd:
    """How one task of a schedule ended."""

    schedule: int
    """Primary key of the schedule."""
    task_id: str
    error: str
    """The failure's line; empty for a success."""


@attrs.frozen(kw_only=True)
class Decision:
    """What becomes of one row."""

    row: ScheduleRow
    runs: tuple[Run, ...] = ()
    change: Change | None = None
    """None: nothing is to be written."""
    skipped: bool = False
    """Its last run has not ended, so a slot made no task."""


@attrs.frozen(kw_only=True)
class Custom:
    """What the settings say where a row says nothing."""

    catch_up: bool
    time_zone: str
    """Name of the zone."""
    cached: bool | float = False
    """Whether the outcomes of its tasks go to the cache, or for how many seconds."""


def decide(
    row: ScheduleRow, now: datetime, custom: Custom, zone_of: ZoneOf, allowance: int
) -> Decision:
    """Say what becomes of a row that is due; at most `allowance` tasks at a time.

    Raises:
        ScheduleRefused: The row says by no rule when it runs.
    """
    if row.pending:
        return _again(row, now)
    rule = rule_of(row, custom, zone_of)
    zone_name = row.time_zone or custom.time_zone
    slot = slot_of(row, rule, zone_name)
    if slot is None:
        return Decision(row=row, change=attrs.evolve(_change(row, None, ""), last_error=OVER))
    if slot.at > now:
        moved = row.held or slot.at != row.next_run
        return Decision(row=row, change=_change(row, slot, zone_name) if moved else None)
    if _is_busy(row, now):
        later = first_after(rule, slot, now)
        return Decision(row=row, change=_change(row, later, zone_name), skipped=True)
    catch_up = custom.catch_up if row.catch_up is None else row.catch_up
    due, later = _due(rule, slot, now, _most(row, allowance, catch_up=catch_up))
    if not catch_up or row.overlap == SKIP:
        later = first_after(rule, slot, now)
    return _runs(row, due, later, zone_name, now)


def refused(row: ScheduleRow, now: datetime, reason: str) -> Decision:
    """Mark a row that can make no task, and leave it alone for a while; its slots are not lost."""
    error = error_text(reason)
    # What it was sending is to be sent once it can be read again.
    held = attrs.evolve(_keep(row), last_error=error, held_until=now + HELD, pending=row.pending)
    return Decision(row=row, change=held)


def error_text(reason: str) -> str:
    """An error as every database can keep it, and an admin page can show it."""
    return cut(plain(reason), ERROR_CHARACTERS_MAX)


def rule_of(row: ScheduleRow, custom: Custom, zone_of: ZoneOf) -> Rule:
    """By what a row repeats.

    Raises:
        ScheduleRefused: Its type, zone or cron is none.
    """
    if row.schedule_type not in TYPES:
        raise ScheduleRefused(
            f"schedule_type is {row.schedule_type!r}; it must be one of {', '.join(TYPES)}"
        )
    zone = zone_of(row.time_zone or custom.time_zone)
    if row.schedule_type == CRON:
        return Rule(type=CRON, zone=zone, cron=parse_cron(row.cron or ""))
    minutes = max(row.minutes or 1, 1) if row.schedule_type == MINUTES else 1
    return Rule(type=row.schedule_type, zone=zone, minutes=minutes)


def slot_of(row: ScheduleRow, rule: Rule, zone_name: str) -> Slot | None:
    """The slot that `next_run` stands for. None: there is none in the years kept."""
    if row.next_run is None:
        return None
    at, wall = anchored(row.anchor, zone_name)
    return first_slot(rule, row.next_run, wall if at == row.next_run else None)


def anchor_of(slot: Slot, zone_name: str) -> str:
    """Write down which wall time is meant by the moment of a slot."""
    return f"{slot.at.isoformat()} {slot.wall.isoformat()} {zone_name}"


def anchored(anchor: str, zone_name: str | None = None) -> tuple[datetime | None, datetime | None]:
    """Read an anchor: the moment, and the wall time meant by it; of another zone it says nothing."""
    at, _, rest = anchor.partition(" ")
    wall, _, zone = rest.partition(" ")
    if not zone or zone_name not in {None, zone}:
        return None, None
    try:
        return datetime.fromisoformat(at), datetime.fromisoformat(wall)
    except ValueError:
        return None, None


def with_token(decision: Decision, token: str, now: datetime) -> Decision:
    """The same decision, for a row whose tasks are sent after it was written."""
    change = decision.change
    if change is None or not decision.runs:
        return decision
    words = [token, *(word for run in decision.runs for word in (run.at.isoformat(), run.task_id))]
    change = attrs.evolve(change, pending=" ".join(words), held_until=now + SENDING)
    return attrs.evolve(decision, change=change)


def _again(row: ScheduleRow, now: datetime) -> Decision:
    """Its sender fell silent: the same tasks again."""
    _, *words = row.pending.split(" ")
    try:
        runs = tuple(
            Run(id, datetime.fromisoformat(at))
            for at, id in zip(words[::2], words[1::2], strict=True)
        )
    except ValueError:
        runs = ()
    change = attrs.evolve(_keep(row), pending="", delete=_goes(row) and row.next_run is None)
    return Decision(row=row, runs=runs, change=attrs.evolve(change, sent_at=now))


def _is_busy(row: ScheduleRow, now: datetime) -> bool:
    if row.overlap != SKIP or not row.unfinished or row.schedule_type == ONCE:
        return False
    return row.sent_at is None or now - row.sent_at < LOST


def _most(row: ScheduleRow, allowance: int, *, catch_up: bool) -> int:
    if not catch_up or row.overlap == SKIP:
        return 1
    return min(allowance, row.repeats) if row.repeats > 0 else allowance


def _due(rule: Rule, slot: Slot, now: datetime, most: int) -> tuple[list[Slot], Slot | None]:
    """The slots that are due, oldest first and at most so many, and the one after them."""
    due = list(islice(takewhile(lambda each: each.at <= now, slots(rule, slot)), most))
    return due, following(rule, due[-1])


def _runs(
    row: ScheduleRow, due: list[Slot], later: Slot | None, zone_name: str, now: datetime
) -> Decision:
    runs, previous = [], row.task or ""
    for slot in due:
        # The last task is part of it: whoever sets a schedule back to run again gets new tasks.
        previous = derived_id(f"schedule:{row.id}:{previous}", slot.at.isoformat())
        runs.append(Run(previous, slot.at))
    change = attrs.evolve(
        _change(row, later, zone_name),
        repeats=max(row.repeats - len(runs), REPEATS_MIN),
        task=previous,
        unfinished=previous if row.overlap == SKIP else "",
        sent_at=now,
    )
    if row.schedule_type == ONCE and not _goes(row):
        change = attrs.evolve(change, repeats=0, next_run=row.next_run, anchor=row.anchor)
    elif row.schedule_type == ONCE:
        change = attrs.evolve(change, repeats=row.repeats, delete=True)
    elif later is None and change.repeats != 0:
        change = attrs.evolve(change, last_error=OVER)
    return Decision(row=row, runs=tuple(runs), change=change)


def _goes(row: ScheduleRow) -> bool:
    """Whether the row is deleted when its task is sent, as documented."""
    return row.schedule_type == ONCE and row.repeats < 0


def _change(row: ScheduleRow, slot: Slot | None, zone_name: str) -> Change:
    """The row with another slot to come."""
    anchor = "" if slot is None else anchor_of(slot, zone_name)
    error = row.last_error if row.last_error.startswith(RUN_FAILED) else ""
    next_run = None if slot is None else slot.at
    return attrs.evolve(_keep(row), next_run=next_run, anchor=anchor, last_error=error)


def _keep(row: ScheduleRow) -> Change:
    return Change(
        id=row.id,
        next_run=row.next_run,
        repeats=row.repeats,
        task=row.task,
        last_error=row.last_error,
        anchor=row.anchor,
        unfinished=row.unfinished,
        sent_at=row.sent_at,
    )


def intended(at: datetime, zone: tzinfo) -> str:
    """How the time of a slot is told to a function: ISO 8601, in the schedule's zone."""
    return at.astimezone(zone).isoformat()
