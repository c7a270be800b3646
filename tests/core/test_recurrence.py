"""When schedules are due: the documented cases, and the corners of calendars and clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.cron import NEVER, parse_cron
from djq.core.recurrence import FIRST, LAST, TYPES, Rule, first_after, first_slot, following, slots
from djq.core.walltime import Kind, kind_of, moment_of, next_change, wall_of
from djq.exceptions import ScheduleRefused

BERLIN = ZoneInfo("Europe/Berlin")
APIA = ZoneInfo("Pacific/Apia")
NEW_YORK = ZoneInfo("America/New_York")


def rule(kind, zone=UTC, **fields):
    cron = fields.pop("cron", None)
    return Rule(type=kind, zone=zone, cron=None if cron is None else parse_cron(cron), **fields)


def local(zone, *parts):
    return datetime(*parts, tzinfo=zone).astimezone(UTC)


def walls(rule, anchor, count):
    """What the clocks show at the first runs: month, day, hour, minute."""
    found = islice(slots(rule, first_slot(rule, anchor)), count)
    return [wall_of(slot.at, rule.zone).strftime("%m-%d %H:%M") for slot in found]


def test_months_are_chained_as_documented():
    monthly = rule("M", BERLIN)

    assert walls(monthly, local(BERLIN, 2026, 1, 31, 8), 4) == [
        *("01-31 08:00", "02-28 08:00", "03-28 08:00", "04-28 08:00")
    ]


@pytest.mark.parametrize(
    ("kind", "start", "expected"),
    [
        ("Q", (2026, 11, 30), ["11-30", "02-28", "05-28"]),
        ("BM", (2027, 12, 31), ["12-31", "02-29", "04-29"]),
        ("Y", (2028, 2, 29), ["02-29", "02-28", "02-28"]),
        ("W", (2026, 12, 28), ["12-28", "01-04", "01-11"]),
        ("BW", (2026, 12, 28), ["12-28", "01-11", "01-25"]),
        ("D", (2028, 2, 28), ["02-28", "02-29", "03-01"]),
    ],
)
def test_longer_steps_go_by_the_calendar(kind, start, expected):
    found = walls(rule(kind), datetime(*start, 9, tzinfo=UTC), 3)

    assert found == [f"{day} 09:00" for day in expected]


def test_a_run_moved_out_of_a_gap_moves_none_after_it():
    daily = rule("D", BERLIN)

    assert walls(daily, local(BERLIN, 2026, 3, 28, 2, 30), 3) == [
        *("03-28 02:30", "03-29 03:00", "03-30 02:30")
    ]


def test_a_time_that_comes_twice_runs_once_and_the_first_time():
    daily = rule("D", BERLIN)
    found = islice(slots(daily, first_slot(daily, local(BERLIN, 2026, 10, 24, 2, 30))), 3)

    assert [slot.at.strftime("%d %H:%M") for slot in found] == ["24 00:30", "25 00:30", "26 01:30"]


def test_hours_are_elapsed_time_through_gap_and_overlap():
    hourly = rule("H", BERLIN)

    assert walls(hourly, local(BERLIN, 2026, 10, 25, 1), 4)[1:] == [
        *("10-25 02:00", "10-25 02:00", "10-25 03:00")
    ]
    assert walls(hourly, local(BERLIN, 2026, 3, 29, 1), 2)[1:] == ["03-29 03:00"]


def test_two_wall_times_of_one_moment_are_one_slot():
    daily = rule("D", APIA)

    found = walls(daily, local(APIA, 2011, 12, 29), 3)

    assert found == ["12-29 00:00", "12-31 00:00", "01-01 00:00"]


def test_cron_names_of_one_gap_are_one_slot():
    often = rule("C", BERLIN, cron="*/15 2 * * *")

    found = walls(often, local(BERLIN, 2026, 3, 28, 2, 30), 4)

    assert found == ["03-28 02:30", "03-28 02:45", "03-29 03:00", "03-30 02:00"]


def test_cron_of_every_hour_goes_by_elapsed_time():
    half_hours = rule("C", NEW_YORK, cron="*/30 * * * *")

    assert walls(half_hours, local(NEW_YORK, 2026, 11, 1, 1), 5) == [
        *("11-01 01:00", "11-01 01:30", "11-01 01:00", "11-01 01:30", "11-01 02:00")
    ]


def test_an_anchor_beside_the_grid_of_cron_stands_for_its_next_slot():
    nightly = rule("C", cron="0 3 * * *")
    asked = datetime(2026, 1, 1, 3, 0, 0, 1, tzinfo=UTC)

    assert first_slot(nightly, asked).at == datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert first_slot(nightly, asked.replace(microsecond=0)).at == asked.replace(microsecond=0)


def test_cron_does_not_go_back_to_the_first_of_two():
    nightly = rule("C", BERLIN, cron="30 2 * * *")
    second_time = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)

    assert first_slot(nightly, second_time).at == local(BERLIN, 2026, 10, 26, 2, 30)


def test_once_is_once():
    once = rule("O")

    assert following(once, first_slot(once, LAST - timedelta(days=9))) is None
    assert first_after(once, first_slot(once, FIRST), LAST) is None


@pytest.mark.parametrize("kind", [each for each in TYPES if each != "O"])
def test_no_slot_lies_beyond_the_years_kept(kind):
    last = rule(kind, BERLIN, cron="0 0 1 1 *" if kind == "C" else None)
    near = first_slot(last, LAST - timedelta(minutes=2))

    if near is None:
        assert kind == "C"
        return
    found = list(slots(last, near))
    assert len(found) <= 3
    assert first_after(last, near, datetime(9000, 1, 1, tzinfo=UTC)) is None


def test_first_slot_lies_in_the_years_kept():
    assert first_slot(rule("D"), FIRST - timedelta(seconds=1)) is None
    assert first_slot(rule("C", cron="@yearly"), FIRST - timedelta(days=90)).at == FIRST
    assert first_slot(rule("D"), FIRST).at == FIRST


def test_a_long_jump_is_quick_and_lands_on_the_grid():
    daily = rule("D", BERLIN)
    first = first_slot(daily, local(BERLIN, 1970, 1, 1, 2, 30))

    landed = first_after(daily, first, local(BERLIN, 2190, 3, 28, 2, 30))

    assert landed.wall == datetime(2190, 3, 29, 2, 30)


@given(st.datetimes(datetime(1973, 1, 1), datetime(2199, 1, 1)))
def test_every_wall_time_stands_for_one_moment(wall):
    wall = wall.replace(microsecond=0)
    moment = moment_of(wall, BERLIN)

    if kind_of(wall, BERLIN) is Kind.GAP:
        just_before = wall_of(moment - timedelta(microseconds=1), BERLIN)
        assert just_before < wall < wall_of(moment, BERLIN)
    else:
        assert wall_of(moment, BERLIN) == wall


def test_kinds_of_wall_times():
    assert kind_of(datetime(2026, 3, 29, 2, 30), BERLIN) is Kind.GAP
    assert kind_of(datetime(2026, 10, 25, 2, 30), BERLIN) is Kind.OVERLAP
    assert kind_of(datetime(2026, 10, 25, 3, 0), BERLIN) is Kind.PLAIN
    assert kind_of(datetime(2026, 3, 29, 3, 0), BERLIN) is Kind.PLAIN
    assert kind_of(datetime(2011, 12, 30, 12), APIA) is Kind.GAP


def test_change_of_the_clocks_is_found_to_the_microsecond():
    start = datetime(2026, 3, 1, tzinfo=UTC)

    assert next_change(start, start + timedelta(days=60), BERLIN) == datetime(
        2026, 3, 29, 1, tzinfo=UTC
    )
    assert next_change(start, start + timedelta(days=20), BERLIN) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 * * * * *", "6 fields"),
        ("@reboot", "1 fields"),
        ("61 * * * *", "Bad minute"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("0 0 */30 2 1#5", "names no day of the calendar"),
        ("R R * * *", "cannot be read"),
        ("1/0 * * * *", "cannot be read"),
        ("0 0 * * MON#9", "cannot be read"),
        ("0 0 L/2,² * *", "cannot be read"),
        ("0" * 101, "101 characters"),
    ],
)
def test_cron_that_cannot_be_read_is_refused_with_a_sentence(text, reason):
    with pytest.raises(ScheduleRefused, match=reason):
        parse_cron(text)


@pytest.mark.parametrize("text", ["@daily", "@HOURLY", "0 0 ? * 7", "5 4 LW * *", "0 0 * * 5#2"])
def test_spellings_of_others_are_read(text):
    assert parse_cron(text).after(datetime(2026, 1, 1)) > datetime(2026, 1, 1)


@given(st.text(alphabet="0123456789*/,-#LWR? @MON", max_size=20))
def test_no_text_breaks_the_reading_of_cron(text):
    try:
        read = parse_cron(text)
    except ScheduleRefused:
        return
    assert read.after(datetime(2026, 1, 1)) < NEVER


@pytest.mark.parametrize("cron", ["0 0 1 1 *", "0 * 1 1 *"])
def test_cron_ends_with_the_years_kept(cron):
    last = rule("C", BERLIN, cron=cron)

    assert first_slot(last, LAST) is None
    assert first_slot(last, datetime(2200, 6, 1, tzinfo=UTC)) is None


def test_a_day_that_clocks_skip_at_the_very_end_ends_the_search():
    daily = rule("D")
    last = first_slot(daily, LAST)

    assert following(daily, last) is None


def test_a_cron_schedule_that_was_missed_goes_on_with_its_next_time():
    nightly = rule("C", BERLIN, cron="30 2 * * *")
    first = first_slot(nightly, local(BERLIN, 2026, 3, 1))

    assert first_after(nightly, first, local(BERLIN, 2026, 3, 20, 12)).at == local(
        BERLIN, 2026, 3, 21, 2, 30
    )
