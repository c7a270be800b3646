"""Holds every type of schedule, in every zone, to an oracle that walks through the minutes."""

from __future__ import annotations

import os
import random
import zlib
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djq.core.cron import parse_cron
from djq.core.recurrence import LAST, Rule, first_after, first_slot, following, slots
from djq_testing.strategies import changes_of, cron_expressions, moments, time_zones
from tests.core import schedule_oracle as oracle

pytestmark = pytest.mark.thorough

ZONES = sorted(available_timezones() - {"localtime"})
DAYS_SEEN = {"O": 2, "I": 2, "H": 3, "C": 3, "D": 5, "W": 22, "BW": 44}
DAYS_SEEN |= {"M": 100, "BM": 190, "Q": 280, "Y": 1150}

SIX = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"),
    *("Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia"),
)
YEARS = range(2007, 2038)
ALL = bool(os.environ.get("DJQ_TEST_ALL_SCHEDULES"))
"""Set: whole years, minute by minute. Otherwise the days about some of the clocks' changes."""


def ours(rule, anchor, until):
    return [slot.at for slot in takewhile(lambda slot: slot.at <= until, run(rule, anchor))]


def run(rule, anchor):
    return slots(rule, first_slot(rule, anchor))


@st.composite
def situations(draw):
    """A type, a zone and a first moment, mostly a little before the clocks change."""
    zone, kind = draw(time_zones()), draw(st.sampled_from([*DAYS_SEEN]))
    seen = DAYS_SEEN[kind]
    moment = draw(moments(zone, years=(1973, 2198), whole_minutes=True))
    anchor = moment - timedelta(days=draw(st.integers(0, seen // 2)))
    cron = draw(cron_expressions()) if kind == "C" else None
    minutes = draw(st.sampled_from([1, 7, 60, 90, 1_441])) if kind == "I" else 1
    rule = Rule(
        type=kind, zone=zone, minutes=minutes, cron=None if cron is None else parse_cron(cron)
    )
    return rule, cron, anchor, min(anchor + timedelta(days=seen), LAST)


@settings(max_examples=2_000 if ALL else 60, deadline=None)
@given(situations())
def test_every_type_in_every_zone_runs_as_the_oracle_says(situation):
    rule, cron, anchor, until = situation

    found = ours(rule, anchor, until)

    assert found == oracle.runs(
        rule.type, anchor, rule.zone, until, minutes=rule.minutes, cron=cron
    )


@pytest.mark.parametrize("name", ZONES if ALL else random.Random(4).sample(ZONES, 12))
def test_every_zone_runs_every_type_as_the_oracle_says(name):
    zone, year = ZoneInfo(name), 1973 + zlib.crc32(name.encode()) % 60
    days = changes_of(zone, year) or [datetime(year, 2, 27, tzinfo=UTC)]
    for kind, seen in DAYS_SEEN.items():
        anchor = days[-1] - timedelta(days=1) + timedelta(hours=7, minutes=45)
        until = anchor + timedelta(days=seen)
        cron = "0,45 1-3 * * *" if kind == "C" else None
        rule = Rule(type=kind, zone=zone, cron=None if cron is None else parse_cron(cron))

        assert ours(rule, anchor, until) == oracle.runs(kind, anchor, zone, until, cron=cron)


@settings(max_examples=1_000 if ALL else 80, deadline=None)
@given(situations(), st.floats(0, 1))
def test_a_jump_over_missed_slots_lands_on_the_grid(situation, share):
    rule, _, anchor, until = situation
    moment = anchor + (until - anchor) * share
    first = first_slot(rule, anchor)

    landed = first_after(rule, first, moment)

    *_, last = takewhile(lambda slot: slot == first or slot.at <= moment, slots(rule, first))
    assert landed == following(rule, last)


def spans(zone):
    """Stretches of time to look at: everything, or a few days about changes of the clocks."""
    if ALL:
        return [(datetime(2007, 1, 1, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC))]
    years = [*random.Random(zone.key).sample(YEARS, 2), 2011]
    found = [day for year in years for day in changes_of(zone, year)[:2]]
    found += [datetime(2024, 2, 28, tzinfo=UTC)]
    return [(day - timedelta(days=1.4), day + timedelta(days=2.2)) for day in found]


@pytest.mark.parametrize("name", SIX)
@pytest.mark.parametrize(
    ("kind", "cron"), [("D", None), ("H", None), ("C", "30 2 * * *"), ("M", None)]
)
def test_thirty_years_run_as_the_oracle_says(name, kind, cron):
    zone = ZoneInfo(name)
    for start, until in spans(zone):
        wall = {"D": (2, 30), "M": (2, 30)}.get(kind, (0, 0))
        local = start.astimezone(zone).replace(hour=wall[0], minute=wall[1], tzinfo=zone)
        if kind == "M":
            local = local.replace(year=local.year, month=1, day=31)
            until = max(until, datetime(local.year, 6, 1, tzinfo=UTC))  # noqa: PLW2901
        anchor = local.astimezone(UTC)
        rule = Rule(type=kind, zone=zone, cron=None if cron is None else parse_cron(cron))

        found = ours(rule, anchor, until)

        assert found == oracle.runs(kind, anchor, zone, until, cron=cron)
        assert found
