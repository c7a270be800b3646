"""Hypothesis strategies for what goes into djq: schedules, zones, moments, calls, faults, histories.

@given(schedules())
def test_every_schedule_can_be_made(fields):
    assert schedule("reports.tasks.write", **fields).upcoming(1) is not None
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import attrs
from hypothesis import strategies as st

from djq.core.literals import write_keywords
from djq.core.recurrence import CRON, MINUTES, TYPES
from djq.core.schedules import OVERLAPS, ScheduleRow
from djq.core.walltime import next_change
from djq_testing.histories import (
    Acknowledge,
    Delete,
    Dequeue,
    Enqueue,
    EnqueueLater,
    Extend,
    Fail,
    Purge,
    Release,
    Step,
    Wait,
)
from djq_testing.sim.faults import FaultPlan

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
YEARS = (2005, 2040)
"""Near enough for zones to have changes of their own, and some that are past."""

WITHOUT_CHANGES = ("UTC", "Asia/Tokyo", "Asia/Kathmandu", "America/Phoenix", "Pacific/Kiritimati")
WITH_CHANGES = ("Europe/Berlin", "America/New_York", "Europe/London", "Australia/Sydney")
PECULIAR = (
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # had no 30 December 2011
    "Africa/Casablanca",  # goes back for Ramadan
    "Europe/Dublin",  # its winter time is the special one
    "America/St_Johns",  # has changed at one minute past midnight
    "Africa/Cairo",  # changes at midnight: the day begins at one
)


# When.


def time_zones() -> st.SearchStrategy[ZoneInfo]:
    """A time zone, mostly one whose clocks change, and often one that does so in a peculiar way.

    One of four is any zone that this machine knows.
    """
    names = (WITHOUT_CHANGES, WITH_CHANGES, PECULIAR, _every_zone())
    return st.one_of(*map(st.sampled_from, names)).map(ZoneInfo)


@cache
def _every_zone() -> list[str]:
    return sorted(available_timezones() - {"localtime"})


@st.composite
def moments(
    draw: st.DrawFn,
    zone: ZoneInfo | None = None,
    *,
    years: tuple[int, int] = YEARS,
    whole_minutes: bool = False,
) -> datetime:
    """A moment, aware and in UTC, where schedules go wrong: about changes of the clocks of a zone.

    Otherwise the ends of months, leap days, or any minute of these years. Without a zone it is any of
    `time_zones`. With `whole_minutes` none lies a microsecond beside one.
    """
    zone = draw(time_zones()) if zone is None else zone
    year = draw(st.integers(*years))
    changes = changes_of(zone, year)
    kind = draw(
        st.sampled_from([*["change"] * (5 if changes else 0), "any", "end of a month", "leap day"])
    )
    minutes = draw(st.integers(-240, 240))
    if kind == "change":
        moment = draw(st.sampled_from(changes)) + minutes * MINUTE
    elif kind == "any":
        minute = draw(st.integers(0, 365 * 1_440 - 1))
        moment = datetime(year, 1, 1, tzinfo=UTC) + minute * MINUTE
    else:
        month = draw(st.integers(1, 12)) if kind == "end of a month" else 2
        last = datetime(year, month, monthrange(year, month)[1], tzinfo=zone)
        moment = last.astimezone(UTC) + (720 + minutes) * MINUTE
    aside = 0 if whole_minutes else draw(st.sampled_from([0, 0, -1, 1]))
    return moment + aside * timedelta(microseconds=1)


@cache
def changes_of(zone: ZoneInfo, year: int) -> Sequence[datetime]:
    """The moments of a year from which on the clocks of a zone show another time, in UTC."""
    moment, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    found = []
    while (change := next_change(moment, end, zone)) is not None:
        found.append(change)
        moment = change
    return found


# Schedules.


def cron_expressions() -> st.SearchStrategy[str]:
    """A cron expression of numbers, mostly for the hours of the night in which clocks change."""
    nightly = st.sampled_from(
        [
            *(
                "30 2 * * *",
                "*/15 2 * * *",
                "0 0 * * *",
                "0,30 1-3 * * *",
                "59 23 * * *",
                "*/30 * * * *",
            ),
            *(
                "0 * * * *",
                "5 */2 * * *",
                "*/20 0 1 * *",
                "15 1 28-31 * *",
                "0 2 1,15 * 5",
                "0 3 * * 0",
            ),
        ]
    )
    minutes, hours = _cron_field(0, 59), _cron_field(0, 23)
    # Any month has these days.
    days = _cron_field(1, 28)
    free = st.tuples(minutes, hours, days, _cron_field(1, 12), _cron_field(0, 6)).map(" ".join)
    return nightly | free


def _cron_field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    spans = st.lists(number, min_size=2, max_size=2, unique=True).map(
        lambda two: f"{min(two)}-{max(two)}"
    )
    steps = st.builds("{}/{}".format, st.just("*") | spans, st.integers(1, high))
    lists = st.lists(number, min_size=1, max_size=3, unique=True).map(
        lambda some: ",".join(map(str, sorted(some)))
    )
    return st.just("*") | lists | spans | steps


@st.composite
def schedules(
    draw: st.DrawFn,
    *,
    types: Sequence[str] = TYPES,
    zones: st.SearchStrategy[ZoneInfo] | None = None,
) -> dict[str, Any]:
    """Keywords for `djq.tasks.schedule` that make a schedule: of all types, in all zones, with all options.

    `types` and `zones` leave the others out. `next_run` is there, and mostly near a change of the clocks.
    """
    zone = draw(time_zones() if zones is None else zones)
    kind = draw(st.sampled_from(types))
    fields: dict[str, Any] = {
        "schedule_type": kind,
        "next_run": draw(moments(zone)),
        "time_zone": zone.key,
    }
    if kind == MINUTES:
        fields["minutes"] = draw(st.sampled_from([1, 7, 60, 90, 1_441]) | st.integers(1, 32_767))
    if kind == CRON:
        fields["cron"] = draw(cron_expressions())
    optional: dict[str, st.SearchStrategy[Any]] = {
        "repeats": st.sampled_from([-1, 1, 2, 10, 0]),
        "catch_up": st.sampled_from([True, False]),
        "overlap": st.sampled_from(OVERLAPS),
        "intended_date_kwarg": st.just("intended"),
        "hook": st.just("builtins.id"),
        "q_options": task_options(),
        "enabled": st.sampled_from([True, True, False]),
    }
    return fields | draw(st.fixed_dictionaries({}, optional=optional))


def schedule_rows(**only: Any) -> st.SearchStrategy[ScheduleRow]:
    """A schedule as a store gives it to the scheduler; `only` are the keywords of `schedules`."""

    def row_of(fields: dict[str, Any]) -> ScheduleRow:
        fields = {key: value for key, value in fields.items() if key != "enabled"}
        options = write_keywords("q_options", fields.pop("q_options", {}))
        return ScheduleRow(id=1, func="builtins.dict", q_options=options, **fields)

    return schedules(**only).map(row_of)


WRONG: dict[str, dict[str, Any]] = {
    "schedule_type": {"schedule_type": "T"},
    "minutes": {"schedule_type": MINUTES, "minutes": 0},
    "repeats": {"repeats": 2**31},
    "next_run": {"next_run": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)},
    "cron": {"schedule_type": CRON, "cron": "61 * * * *"},
    "time_zone": {"time_zone": "Mars/Olympus"},
    "overlap": {"overlap": "queue"},
    "intended_date_kwarg": {"intended_date_kwarg": "no name"},
    "hook": {"hook": "no path"},
    "q_options": {"q_options": {"tiemout": 3}},
}
"""What makes a schedule wrong, by the field that is to blame."""


def invalid_schedules() -> st.SearchStrategy[tuple[dict[str, Any], str]]:
    """As `schedules`, with one field wrong, and the name of that field."""

    def spoil(fields: dict[str, Any], wrong: str) -> tuple[dict[str, Any], str]:
        # Only a cron schedule may have an expression.
        kept = {key: value for key, value in fields.items() if key != "cron"}
        if "schedule_type" not in WRONG[wrong]:
            kept["schedule_type"] = "D"
        return kept | WRONG[wrong], wrong

    return st.builds(spoil, schedules(), st.sampled_from(sorted(WRONG)))


# Calls.


@attrs.frozen(kw_only=True)
class TaskCall:
    """A call that can be queued.

    async_task(call.func, *call.args, **call.kwargs, q_options=call.options)
    """

    func: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = attrs.field(factory=dict)
    options: dict[str, Any] = attrs.field(factory=dict)


_Parts = tuple[str, st.SearchStrategy[Any], st.SearchStrategy[Any]]
"""A function, and how its arguments are drawn."""


def values() -> st.SearchStrategy[Any]:
    """A value that pickles, and is equal to what comes back."""
    plain = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
    return st.recursive(
        plain | st.floats(allow_nan=False) | st.datetimes(timezones=st.none() | st.just(UTC)),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner) | st.sets(plain)
        ),
        max_leaves=8,
    )


def task_options() -> st.SearchStrategy[dict[str, Any]]:
    """Options of a task, as `q_options` takes them."""
    optional: dict[str, st.SearchStrategy[Any]] = {
        "group": st.sampled_from(["letters", "Grüße", "g" * 100]),
        "hook": st.just("builtins.id"),
        "save": st.booleans(),
        "timeout": st.sampled_from([60, 0.5, 86_400]),
        "max_attempts": st.integers(1, 5),
        "task_name": st.text(
            st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=100
        ),
    }
    return st.fixed_dictionaries({}, optional=optional)


def task_calls(
    arguments: st.SearchStrategy[Any] | None = None, *, fails: bool | None = None
) -> st.SearchStrategy[TaskCall]:
    """A call that can be queued, of a function that every Python has, with any options.

    `arguments` makes the values that are passed. Half of the calls fail; with `fails` all or none.
    """
    value = values() if arguments is None else arguments
    keywords = st.dictionaries(st.sampled_from(["key", "func", "name", "x", "y"]), value)
    whole = st.integers(-9, 9)
    good: tuple[_Parts, ...] = (
        ("builtins.dict", st.just(()), keywords),
        ("builtins.repr", st.tuples(value), st.just({})),
        ("builtins.list", st.tuples(st.lists(value)), st.just({})),
        ("math.copysign", st.tuples(whole, whole), st.just({})),
    )
    bad: tuple[_Parts, ...] = (
        ("math.sqrt", st.tuples(st.integers(-9, -1)), st.just({})),
        ("operator.truediv", st.tuples(whole, st.just(0)), st.just({})),
        ("builtins.len", st.tuples(whole), st.just({})),
        ("builtins.callable", st.just(()), keywords),
    )
    chosen = {None: (*good, *bad), True: bad, False: good}[fails]
    build: Callable[..., st.SearchStrategy[TaskCall]] = st.builds
    return st.one_of(
        [
            build(TaskCall, func=st.just(func), args=args, kwargs=kwargs, options=task_options())
            for func, args, kwargs in chosen
        ]
    )


# Faults.


def fault_plans(*names: str, most: float = 0.3) -> st.SearchStrategy[FaultPlan]:
    """What may go wrong in a simulation, and how often: up to `most` of the times that it could.

    Each kind of fault is on or off. `names` are the kinds that may be on; all of them when left out.
    """
    kinds = names or tuple(field.name for field in attrs.fields(FaultPlan))
    rates = st.integers(1, 1_000).map(lambda share: round(share * most / 1_000, 6))
    return st.fixed_dictionaries({}, optional=dict.fromkeys(kinds, rates)).map(
        lambda plan: FaultPlan(**plan)
    )


# Brokers.


STEPS = (
    *(Enqueue, Enqueue, EnqueueLater, Dequeue, Dequeue, Dequeue, Dequeue, Wait, Wait, Wait, Wait),
    *(Extend, Extend, Extend, Release, Release, Release, Acknowledge, Acknowledge),
    *(Fail, Delete, Purge),
)
"""What is asked of a broker, as often as it stands here: where all is deleted nothing can go wrong."""


def broker_steps(retry_seconds: float = 60.0) -> st.SearchStrategy[Step]:
    """One thing to be asked of a broker whose leases last so long, or a pause."""
    number = st.integers(0, 5)
    some = st.lists(number, min_size=1, max_size=4).map(tuple)
    pauses = st.sampled_from([0.001, 1, retry_seconds / 2, retry_seconds])
    steps: dict[type[Step], st.SearchStrategy[Step]] = {
        Enqueue: st.builds(Enqueue, st.integers(0, 4)),
        EnqueueLater: st.builds(EnqueueLater, st.integers(0, 2), pauses),
        Dequeue: st.builds(Dequeue, st.integers(1, 4)),
        Acknowledge: st.builds(Acknowledge, some),
        Extend: st.builds(Extend, some),
        Release: st.builds(Release, some, st.booleans()),
        Fail: st.builds(Fail, number),
        Delete: st.builds(Delete, number),
        Purge: st.builds(Purge),
        Wait: st.builds(Wait, pauses),
    }
    return st.sampled_from(STEPS).flatmap(steps.__getitem__)


def broker_histories(
    retry_seconds: float = 60.0, *, max_size: int = 30
) -> st.SearchStrategy[tuple[Step, ...]]:
    """What is asked of a broker whose leases last so long, in which order.

    As values, to be played by `djq_testing.histories.play` on any broker with an empty queue.
    """
    return st.lists(broker_steps(retry_seconds), max_size=max_size).map(tuple)
