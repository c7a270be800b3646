"""What the strategies draw is what they say: right, or wrong in one place, and near the changes of clocks."""

from __future__ import annotations

import importlib
import pickle
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from djq.brokers import Waiting
from djq.core.call import dump_call, load_call
from djq.core.cron import NEVER, parse_cron
from djq.core.options import split
from djq.core.recurrence import TYPES, first_slot
from djq.core.schedule_checks import problems_of
from djq.core.schedules import Custom, ScheduleRow, rule_of
from djq.core.walltime import Kind, kind_of, wall_of
from djq.exceptions import ScheduleRefused
from djq_testing import strategies
from djq_testing.clock import ManualClock
from djq_testing.histories import Dequeue, Enqueue, Wait, play
from djq_testing.memory import KINDS, MemoryBroker
from djq_testing.sim.faults import CALM, FaultPlan

CUSTOM = Custom(catch_up=True, time_zone="UTC")
BERLIN, LORD_HOWE, UTC_ZONE = map(ZoneInfo, ("Europe/Berlin", "Australia/Lord_Howe", "UTC"))
few = settings(max_examples=30, deadline=None)


def zone_of(name):
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ScheduleRefused(f"{name!r} is no time zone") from error


def drawn(strategy, count=150):
    """So many examples, the same ones each time."""
    found = []

    @settings(few, max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found


# Schedules.


@few
@given(strategies.schedule_rows())
def test_a_schedule_that_is_drawn_has_no_problem(row):
    assert problems_of(row, CUSTOM, zone_of) == {}


def test_every_type_and_every_option_is_drawn_and_left_out():
    found = drawn(strategies.schedules())

    assert {fields["schedule_type"] for fields in found} == set(TYPES)
    seen = {
        key: {fields.get(key) for fields in found} for key in ("catch_up", "overlap", "enabled")
    }
    assert seen == {
        "catch_up": {None, True, False},
        "overlap": {None, "allow", "skip"},
        "enabled": {None, True, False},
    }
    assert {None, -1, 0, 1} < {fields.get("repeats") for fields in found}


def test_types_and_zones_may_be_asked_for():
    found = drawn(strategies.schedules(types="DW", zones=st.just(BERLIN)), 30)

    assert {fields["schedule_type"] for fields in found} == {"D", "W"}
    assert {fields["time_zone"] for fields in found} == {"Europe/Berlin"}


@few
@given(strategies.invalid_schedules())
def test_a_wrong_schedule_is_wrong_in_the_one_field_that_is_named(drawn):
    fields, wrong = drawn
    fields.pop("enabled", None)
    options = fields.pop("q_options", {})
    text = ", ".join(f"{key}={value!r}" for key, value in options.items())

    row = ScheduleRow(id=1, func="builtins.dict", q_options=text, **fields)

    assert set(problems_of(row, CUSTOM, zone_of)) == {wrong}


@given(strategies.cron_expressions())
def test_a_cron_expression_that_is_drawn_names_a_time(text):
    assert parse_cron(text).after(wall_of(datetime(2026, 1, 1, tzinfo=UTC), UTC)) < NEVER


# Zones and moments.


def test_zones_of_every_sort_are_drawn():
    found = {zone.key for zone in drawn(strategies.time_zones())}

    assert found > {"UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"}


def test_changes_are_those_of_the_clocks():
    spring, autumn = strategies.changes_of(BERLIN, 2026)

    assert spring == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert autumn == datetime(2026, 10, 25, 1, tzinfo=UTC)
    assert strategies.changes_of(UTC_ZONE, 2026) == []


@few
@given(strategies.moments())
def test_a_moment_is_one_that_schedules_may_have(moment):
    rule = rule_of(ScheduleRow(id=1, func="f.g", schedule_type="D"), CUSTOM, zone_of)

    assert moment.tzinfo is UTC
    assert first_slot(rule, moment) is not None


@pytest.mark.parametrize("zone", [BERLIN, LORD_HOWE])
def test_moments_come_in_overlaps_and_an_hour_before_gaps(zone):
    walls = [wall_of(moment, zone) for moment in drawn(strategies.moments(zone))]

    assert Kind.OVERLAP in {kind_of(wall, zone) for wall in walls}
    assert Kind.GAP in {kind_of(wall + timedelta(hours=1), zone) for wall in walls}


def test_moments_come_on_leap_days_at_ends_of_months_and_a_microsecond_beside_a_minute():
    found = drawn(strategies.moments(UTC_ZONE), 250)

    assert {(each.month, each.day) for each in found} > {(2, 29), (2, 28), (4, 30), (12, 31)}
    assert {each.microsecond for each in found} == {0, 1, 999_999}


@few
@given(strategies.moments(BERLIN, years=(2026, 2027), whole_minutes=True))
def test_moments_stay_in_their_years_and_on_whole_minutes(moment):
    assert (moment.second, moment.microsecond) == (0, 0)
    assert 2026 <= moment.astimezone(BERLIN).year <= 2027


# Calls.


@few
@given(strategies.task_calls())
def test_a_call_can_be_queued_and_its_function_is_found(call):
    module, _, name = call.func.rpartition(".")

    assert callable(getattr(importlib.import_module(module), name))
    assert load_call(dump_call(call.func, call.args, call.kwargs)) == (
        call.func,
        call.args,
        call.kwargs,
    )
    assert split({"q_options": call.options})[1] == {}


def outcome(call):
    module, _, name = call.func.rpartition(".")
    try:
        getattr(importlib.import_module(module), name)(*call.args, **call.kwargs)
    except (TypeError, ValueError, ZeroDivisionError):
        return "fails"
    return "succeeds"


@few
@given(st.data(), st.booleans())
def test_calls_fail_as_they_are_asked_to(data, fails):
    call = data.draw(strategies.task_calls(fails=fails))

    assert outcome(call) == ("fails" if fails else "succeeds")


@few
@given(strategies.task_calls(st.just("mine"), fails=False))
def test_calls_are_made_of_the_arguments_that_are_given(call):
    passed = [*call.args, *call.kwargs.values()]
    inner = [each for value in passed for each in (value if isinstance(value, list) else [value])]

    assert {each for each in inner if not isinstance(each, int)} <= {"mine"}


@few
@given(strategies.values())
def test_a_value_comes_back_as_it_was(value):
    assert pickle.loads(pickle.dumps(value)) == value


# Faults.


def test_the_plainest_plan_is_without_faults():
    assert drawn(strategies.fault_plans(), 1) == [CALM]


def test_every_fault_is_drawn():
    names = {field.name for field in attrs.fields(FaultPlan)}

    found = drawn(strategies.fault_plans(), 50)

    assert {name for plan in found for name in names if getattr(plan, name)} == names


@few
@given(strategies.fault_plans("poison", "duplicate", most=0.1))
def test_only_the_faults_that_are_named_are_on(plan):
    rates = {name: rate for name, rate in attrs.asdict(plan).items() if rate}

    assert set(rates) <= {"poison", "duplicate"}
    assert all(0 < rate <= 0.1 for rate in rates.values())


# Histories.


@few
@given(strategies.broker_histories(), st.sampled_from(sorted(KINDS)))
def test_a_history_can_be_played_on_any_broker_and_again_with_the_same_answers(history, kind):
    answers = [
        play(history, MemoryBroker.like(kind, clock=clock), clock)
        for clock in (ManualClock(), ManualClock())
    ]

    assert answers[0] == answers[1]
    assert len(answers[0]) == len(history)


def test_a_history_is_played_as_it_stands():
    clock = ManualClock()
    broker = MemoryBroker(clock=clock, retry_seconds=60)
    history = [Enqueue(2), Dequeue(1), Wait(61), Dequeue(5)]

    answers = play(history, broker, clock)

    assert answers == [
        (2, 2, 0, [Waiting("package 0", 0)]),
        ([("package 0", 1)], 1, 1, [Waiting("package 1", 0)]),
        (None, 2, 0, [Waiting("package 1", 61)]),
        ([("package 1", 1), ("package 0", 2)], 0, 2, []),
    ]


def test_every_verb_is_asked():
    asked = {type(step) for history in drawn(strategies.broker_histories(), 30) for step in history}

    assert asked == {*strategies.STEPS}
