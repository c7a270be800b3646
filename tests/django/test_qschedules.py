"""`manage.py qschedules`: what it shows and what it does."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from djq.models import OrmQ, Schedule
from tests.django.frozen import freeze_time

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon():
    with freeze_time(NOON):
        yield


@pytest.fixture
def nightly():
    return Schedule.objects.create(
        func="math.floor",
        name="nightly",
        schedule_type="D",
        time_zone="Europe/Berlin",
        next_run=datetime(2027, 3, 27, 1, 30, tzinfo=UTC),
    )


def run(*arguments):
    out = StringIO()
    call_command("qschedules", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("arguments", [(), ("list",)])
def test_all_schedules_are_listed_with_their_state(nightly, arguments):
    Schedule.objects.create(func="math.ceil", enabled=False)
    Schedule.objects.create(func="math.ceil", repeats=0)
    Schedule.objects.create(func="math.ceil", last_error="args is 'x'\nand so on", next_run=None)

    lines = sorted(line.split(maxsplit=2)[2] for line in run(*arguments).splitlines())

    assert lines == [
        "FUNCTION    TYPE   REPEATS  NEXT RUN                   STATE",
        "math.ceil   Once   -1       -                          args is 'x'",
        "math.ceil   Once   -1       2026-11-23 12:00:00 +0000  paused",
        "math.ceil   Once   0        2026-11-23 12:00:00 +0000  used up",
        "math.floor  Daily  -1       2027-03-27 01:30:00 +0000",
    ]


@pytest.mark.parametrize("by", ["name", "pk"])
def test_next_runs_of_one_are_shown_with_gaps_marked(nightly, by):
    lines = run("next", str(getattr(nightly, by)), "-n", "2").splitlines()

    assert lines[0].endswith(" nightly")
    assert lines[1] == "  Sat 2027-03-27 02:30:00 +0100"
    assert lines[2].startswith("  Sun 2027-03-28 03:00:00 +0200 (gap: 02:30 does not exist")


def test_next_runs_of_all_are_shown_and_a_bad_row_stops_no_other(nightly):
    Schedule.objects.create(func="math.ceil", schedule_type="C", cron="x")
    Schedule.objects.create(func="math.ceil", repeats=0)

    shown = run("next")

    assert "cron is 'x'" in shown
    assert "no run: " in shown
    assert "2027-03-31" in shown


def test_pause_resume_and_run(nightly):
    assert run("pause", "nightly") == "nightly is paused.\n"
    nightly.refresh_from_db()
    assert not nightly.enabled

    assert run("resume", "nightly").startswith("nightly goes on; its next run is at 2027-03-27")
    nightly.refresh_from_db()
    assert nightly.enabled

    assert run("run", "nightly").startswith("nightly was sent as task ")
    assert OrmQ.objects.count() == 1


@pytest.mark.parametrize("verb", ["next", "pause", "resume", "run"])
def test_a_schedule_that_is_not_there_is_said_so(verb):
    with pytest.raises(CommandError, match="no schedule"):
        run(verb, "nobody")


def test_a_schedule_that_cannot_run_says_why():
    Schedule.objects.create(func="math.floor", name="bad", args="x")

    with pytest.raises(CommandError, match="args is 'x'"):
        run("run", "bad")
