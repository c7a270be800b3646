"""Two schedulers on one database at a time: what one has taken, the other passes over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connections

from djq.exceptions import StoreUnavailable
from djq.models import Schedule
from djq.schedules.database import DatabaseScheduleStore
from djq_testing.clock import ManualClock
from djq_testing.contract.schedules import NOON, change_of


@pytest.fixture
def second(server_database, add_database):
    """A connection of its own to the same database."""
    return add_database("second", dict(connections[server_database].settings_dict))


def store_on(alias):
    return DatabaseScheduleStore(alias=alias, clock=ManualClock(NOON))


def make(alias, count):
    rows = Schedule.objects.using(alias)
    return [
        rows.create(func="f.g", schedule_type="H", next_run=NOON + timedelta(seconds=number)).pk
        for number in range(-count, 0)
    ]


def ids(rows):
    return [row.id for row in rows]


def test_rows_in_the_hands_of_one_are_passed_over_by_another(server_database, second):
    made = make(server_database, 4)
    ours, theirs = store_on(server_database), store_on(second)

    with ours.unit():
        assert ids(ours.take(NOON, 2)) == made[:2]
        with theirs.unit():
            assert ids(theirs.take(NOON, 2)) == made[2:]
            assert ids(theirs.take(NOON, 10)) == made[2:]


def test_what_another_has_written_is_not_taken_as_it_was(server_database, second):
    made = make(server_database, 3)
    ours, theirs = store_on(server_database), store_on(second)

    with ours.unit():
        taken = ours.take(NOON, 2)
        ours.put([change_of(row, next_run=NOON + timedelta(hours=1)) for row in taken])

    with theirs.unit():
        assert ids(theirs.take(NOON, 10)) == made[2:]


def test_whoever_makes_or_finds_schedules_waits_for_no_scheduler(server_database, second):
    make(server_database, 3)
    ours, theirs = store_on(server_database), store_on(second)

    with ours.unit():
        ours.take(NOON, 10)
        added = Schedule.objects.using(second).create(func="f.g", next_run=NOON)
        assert theirs.next_due() is not None
        added.delete()


def test_an_open_transaction_of_sqlite_lets_nobody_else_begin(add_database, tmp_path):
    options = {"timeout": 0.05, "init_command": "PRAGMA journal_mode=WAL"}
    settings = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "db.sqlite3"),
        "OPTIONS": options,
    }
    first = add_database("first", settings, Schedule)
    second = add_database("second", dict(settings))
    make(first, 2)
    ours, theirs = store_on(first), store_on(second)

    with ours.unit():
        taken = ours.take(NOON, 10)
        with pytest.raises(StoreUnavailable), theirs.unit():
            theirs.take(NOON, 10)
        ours.put([change_of(row, next_run=None) for row in taken])

    with theirs.unit():
        assert theirs.take(NOON, 10) == []


def test_a_time_that_comes_twice_is_told_apart_where_times_have_no_zone(database, settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "America/New_York"
    store = store_on(database)
    second_time = NOON.replace(month=11, day=1, hour=6, minute=30)
    row = Schedule.objects.using(database).create(func="f.g", schedule_type="H")
    anchor = f"{second_time.isoformat()} 2026-11-01T01:30:00 America/New_York"
    with store.unit():
        (taken,) = store.take(NOON.replace(year=2030), 10)
        assert taken.id == row.pk
        store.put([change_of(taken, next_run=second_time, anchor=anchor)])

    with store.unit():
        (taken,) = store.take(NOON.replace(year=2030), 10)

    assert taken.next_run == second_time
