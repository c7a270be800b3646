"""Decisions about rows, where the component's tests do not look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from djq.core.schedule_checks import problems_of, upcoming
from djq.core.schedules import (
    Custom,
    ScheduleRow,
    anchored,
    decide,
    error_text,
    refused,
    slot_of,
    with_token,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CUSTOM = Custom(catch_up=True, time_zone="UTC")


def row(**fields):
    return ScheduleRow(**{"id": 1, "func": "f.g", "schedule_type": "H", "next_run": NOON, **fields})


@pytest.mark.parametrize(
    "anchor", ["", "x", "2026-01-01T12:00:00+00:00", "x y UTC", "2026-01-01T12:00:00+00:00 y UTC"]
)
def test_an_anchor_that_cannot_be_read_says_nothing(anchor):
    assert anchored(anchor) == (None, None)


def test_an_anchor_of_another_zone_says_nothing():
    anchor = "2026-01-01T12:00:00+00:00 2026-01-01T12:00:00 UTC"

    assert anchored(anchor, "Europe/Berlin") == (None, None)
    assert anchored(anchor, "UTC") == (NOON, NOON.replace(tzinfo=None))


def test_a_row_without_a_time_has_no_slot():
    assert slot_of(row(next_run=None), None, "UTC") is None


def test_the_same_row_is_decided_in_the_same_way_and_the_next_one_otherwise():
    first = decide(row(), NOON, CUSTOM, ZoneInfo, 5)

    assert first == decide(row(), NOON, CUSTOM, ZoneInfo, 5)
    other = decide(row(task=first.change.task), NOON, CUSTOM, ZoneInfo, 5)
    assert other.runs[0].task_id != first.runs[0].task_id


def test_what_is_not_sent_needs_no_token():
    held = refused(row(), NOON, "no")

    assert with_token(held, "t" * 32, NOON) == held


def test_errors_are_kept_as_every_database_can_keep_them():
    text = error_text("a\0b\ud800" + "c" * 5_000)

    assert text.startswith("a\\x00b\\ud800c")
    assert len(text) <= 1_000


def test_a_row_without_a_time_has_no_run_to_come():
    assert upcoming(row(next_run=None), NOON, CUSTOM, ZoneInfo, 3) == []


@pytest.mark.parametrize(
    ("fields", "hours"),
    [({}, [0, 1, 2]), ({"overlap": "skip"}, [0, 4, 5]), ({"catch_up": False}, [0, 4, 5])],
)
def test_missed_runs_are_to_come_where_they_are_caught_up_with(fields, hours):
    now = NOON + timedelta(hours=3, minutes=30)

    found = upcoming(row(**fields), now, CUSTOM, ZoneInfo, 3)

    assert [run.at for run in found] == [NOON + timedelta(hours=each) for each in hours]


@pytest.mark.parametrize("fields", [{"next_run": None}, {"time_zone": "Europe/Berlin"}])
def test_what_may_be_left_out_is_no_problem(fields):
    assert problems_of(row(**fields), CUSTOM, ZoneInfo) == {}


@pytest.mark.parametrize(
    ("zone", "next_run", "note"),
    [
        ("Europe/Berlin", datetime(2026, 3, 28, 1, 30, tzinfo=UTC), "gap: 02:30 does not exist"),
        ("Europe/Berlin", datetime(2026, 10, 24, 0, 30, tzinfo=UTC), "overlap: 02:30 comes twice"),
        ("UTC", NOON, ""),
    ],
)
def test_what_is_special_about_a_run_is_noted(zone, next_run, note):
    daily = row(schedule_type="D", time_zone=zone, next_run=next_run)

    _, second = upcoming(daily, NOON.replace(month=1, day=1), CUSTOM, ZoneInfo, 2)

    assert second.note.startswith(note)
    assert str(second).endswith(f"({second.note})" if note else f"{second.at:%z}")


@pytest.mark.parametrize(
    ("fields", "wrong", "sentence"),
    [
        ({"schedule_type": "T"}, "schedule_type", "'T' is no type"),
        ({"schedule_type": "C"}, "cron", "needs an expression"),
        ({"schedule_type": "C", "cron": "61 * * * *"}, "cron", "Bad minute"),
        ({"schedule_type": "I", "minutes": 0}, "minutes", "a whole number from 1"),
        ({"overlap": "queue"}, "overlap", "must be allow or skip"),
        ({"intended_date_kwarg": "a b"}, "intended_date_kwarg", "cannot be the name"),
        ({"repeats": 2**31}, "repeats", "a whole number from"),
        (
            {"kwargs": "x=1", "intended_date_kwarg": "x"},
            "intended_date_kwarg",
            "among the keywords",
        ),
        ({"name": "a\n"}, "name", "cannot be printed"),
        ({"q_options": "timeout=-1"}, "q_options", "timeout"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_for_its_field(fields, wrong, sentence):
    ((field, text),) = problems_of(row(**fields), CUSTOM, ZoneInfo).items()

    assert field == wrong
    assert sentence in text
