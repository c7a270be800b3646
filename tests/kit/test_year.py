"""A year of a project: fifty schedules, four zones, clocks that are set forward and back.

Each run of the tests lives through its first ninety-six days, in which the clocks of three zones are set;
with DJQ_TEST_YEAR=1 through all of it.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from djq_testing.clock import START
from djq_testing.cluster import LocalCluster
from tests.core import schedule_oracle
from tests.kit import year

pytestmark = pytest.mark.thorough

SECONDS_MAX = 10
ALL_OF_IT = bool(os.environ.get("DJQ_TEST_YEAR"))


def live(days, **options):
    """What ran in so many days, what should have, and the processor's seconds that it took."""
    made = year.schedules()
    with LocalCluster(**options) as cluster:
        for name, fields in made.items():
            cluster.schedule("tests.kit.local_samples.note", name, name=name, **fields)
        began = time.process_time()
        cluster.advance(days=days)
        seconds = time.process_time() - began
        ran = sorted((run.started, run.args[0]) for run in cluster.runs)
    return ran, year.all_expected(made, days), seconds


def test_every_schedule_runs_when_the_clocks_of_its_zone_say_so():
    ran, expected, seconds = live(365 if ALL_OF_IT else 96, store="memory")

    assert len(year.schedules()) == 50
    assert ran == expected
    assert len(ran) > 1_400
    if ALL_OF_IT:
        assert seconds < SECONDS_MAX, f"{len(ran)} runs took {seconds:.1f} s"


@pytest.mark.django_db
@pytest.mark.parametrize("broker", ["memory", "orm"])
def test_it_is_the_same_in_a_database(broker):
    ran, expected, _ = live(365 if ALL_OF_IT else 3, broker=broker)

    assert ran == expected


@pytest.mark.parametrize("name", ["daily 6", "weekdays 1", "office hours 0", "monthly 1"])
def test_two_oracles_agree(name):
    fields, until = year.schedules()[name], datetime(2026, 4, 8, tzinfo=UTC)
    zone = ZoneInfo(fields["time_zone"])
    first = until - timedelta(days=40)
    if "cron" in fields:
        cron = fields["cron"].replace("1-5", "1,2,3,4,5")
        minute_by_minute = schedule_oracle.runs("C", first, zone, until, cron=cron)
    else:
        kind, anchor = fields["schedule_type"], fields["next_run"]
        minute_by_minute = schedule_oracle.runs(kind, anchor, zone, until)

    assert [at for at in year.expected(fields, until) if at >= first] == [
        at for at in minute_by_minute if at >= first
    ]
    assert first > START
