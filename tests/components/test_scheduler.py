"""The scheduler: what a schedule that is due makes, and how its row goes on."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from djq.core.call import load_call
from djq.core.events import ChildStopped, ScheduleSent, ScheduleSkipped, SchedulesSent
from djq.core.protocol import Ready, Stop, StopLevel
from djq.core.schedules import ScheduleEnd, ScheduleRow, decide
from djq.ports import Wait
from tests.components.parts import NOON
from tests.components.schedule_parts import Scheduling, zone_of

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(params=[True, False], ids=["one transaction", "two"])
def scene(request):
    return Scheduling(shared=request.param)


def test_a_schedule_that_is_due_makes_its_task(scene):
    id = scene.add("math.copysign", args="2, -2", kwargs="x=1", hook="hooks.print_result")

    scene.run()

    (message,) = scene.sent()
    assert load_call(message.body) == ("math.copysign", (2, -2), {"x": 1})
    assert (message.hook, message.group, message.schedule) == ("hooks.print_result", "1", id)
    assert message.enqueued_at == NOON


def test_the_row_goes_on_to_its_next_slot(scene):
    scene.add(schedule_type="D", repeats=-1)

    scene.run()

    (message,) = scene.sent()
    row = scene.row()
    assert (row.next_run, row.repeats, row.task) == (NOON + DAY, -2, message.id)
    assert (row.pending, row.held, row.sent_at) == ("", False, NOON)


def test_a_schedule_runs_again_at_its_next_slot_and_not_before(scene):
    scene.add(schedule_type="H", intended_date_kwarg="when")
    scene.run()
    scene.clock.advance(hours=0.999)
    scene.run()
    assert len(scene.slots()) == 1

    scene.clock.advance(hours=0.001)
    scene.run()

    assert scene.slots() == ["2026-11-23T13:00:00+00:00"]


def test_it_waits_for_what_is_due_next_but_looks_every_second(scene):
    assert scene.run() == Wait(1.0)
    scene.add(next_run=NOON + timedelta(seconds=1.5))
    assert scene.run() == Wait(1.0)

    scene.clock.advance(1.0)

    assert scene.run() == Wait(0.5)


def test_each_missed_slot_makes_its_task_oldest_first(scene):
    scene.add(schedule_type="H", next_run=NOON - 3 * HOUR, intended_date_kwarg="when")

    scene.run()

    assert [when[11:13] for when in scene.slots()] == ["09", "10", "11", "12"]
    assert (scene.row().next_run, scene.row().repeats) == (NOON + HOUR, -5)


def test_missed_slots_come_in_bounded_batches(scene):
    scene.add(schedule_type="I", next_run=NOON - 25 * HOUR, intended_date_kwarg="when")

    steps = 0
    while scene.scheduler.step() == Wait(0.0):
        steps += 1

    assert len(set(scene.slots())) == 25 * 60 + 1
    assert steps >= 4


def test_without_catching_up_it_runs_once_and_goes_on_with_its_grid():
    scene = Scheduling(catch_up=False)
    scene.add(schedule_type="H", next_run=NOON - 9.5 * HOUR, intended_date_kwarg="when")

    scene.run()

    assert scene.slots() == ["2026-11-23T02:30:00+00:00"]
    assert (scene.row().next_run, scene.row().repeats) == (NOON + HOUR / 2, -2)


@pytest.mark.parametrize("configured", [True, False])
def test_a_schedule_may_decide_for_itself_whether_it_catches_up(configured):
    scene = Scheduling(catch_up=configured)
    scene.add(schedule_type="H", next_run=NOON - 2 * HOUR, catch_up=not configured)

    scene.run()

    assert len(scene.sent()) == (1 if configured else 3)


def test_cron_catches_up_as_well():
    scene = Scheduling(zone="Europe/Berlin")
    start = NOON - 3 * DAY
    scene.add(schedule_type="C", cron="30 2 * * *", next_run=start, intended_date_kwarg="when")

    scene.run()

    assert scene.slots() == [f"2026-11-{day}T02:30:00+01:00" for day in (21, 22, 23)]


def test_a_cron_row_off_its_grid_makes_no_task_and_is_put_on_it(scene):
    scene.add(schedule_type="C", cron="0 3 * * *")

    scene.run()

    assert scene.sent() == []
    assert (scene.row().next_run, scene.row().repeats) == (NOON.replace(day=24, hour=3), -1)


@pytest.mark.parametrize(("repeats", "runs"), [(1, 1), (3, 3), (9, 5), (0, 0)])
def test_repeats_bound_the_runs(scene, repeats, runs):
    scene.add(schedule_type="H", next_run=NOON - 4 * HOUR, repeats=repeats)

    scene.run()

    assert len(scene.sent()) == runs
    assert scene.row().repeats == repeats - runs


def test_repeats_below_zero_count_down_and_never_over_the_edge(scene):
    scene.add(schedule_type="H", repeats=-(2**31))

    scene.run()

    assert scene.row().repeats == -(2**31)


def test_once_without_a_count_goes_after_its_run(scene):
    scene.add(schedule_type="O", repeats=-1)

    scene.run()

    assert len(scene.sent()) == 1
    assert scene.row() is None


@pytest.mark.parametrize("repeats", [1, 5])
def test_once_with_a_count_runs_once_and_is_kept(scene, repeats):
    scene.add(schedule_type="O", repeats=repeats)

    scene.run()
    scene.run()

    (message,) = scene.sent()
    assert (scene.row().repeats, scene.row().task) == (0, message.id)
    assert scene.row().next_run == NOON


def test_a_schedule_set_back_makes_new_tasks_for_the_same_slot(scene):
    scene.add(schedule_type="O", repeats=1)
    scene.run()
    kept = scene.store.rows[1]
    kept.row = attrs.evolve(kept.row, repeats=1)

    scene.run()

    first, second = scene.sent()
    assert first.id != second.id


def test_name_is_the_group_of_its_tasks(scene):
    scene.add(name="nightly")
    scene.add()
    scene.add(name="other", q_options="group='mine'")

    scene.run()

    assert [message.group for message in scene.sent()] == ["nightly", "2", "mine"]


def test_options_travel_with_its_tasks(scene):
    options = "timeout=30, save=False, max_attempts=2, task_name='daily', hook='a.b', sync=False"
    scene.add(q_options=options, kwargs="{'q_options': {'timeout': 5, 'group': 'old'}, 'y': 2}")
    scene.add(q_options=options, hook="row.hook")

    scene.run()

    first, second = scene.sent()
    assert (first.timeout, first.save, first.max_attempts) == (30, False, 2)
    assert (first.name, first.hook, first.group) == ("daily", "a.b", "old")
    assert load_call(first.body)[2] == {"y": 2}
    assert second.hook == "row.hook"


def test_tasks_may_go_to_another_queue(scene):
    scene.add(q_options="broker='reports'")
    scene.add()

    scene.run()

    assert [message.schedule for message in scene.sent("reports")] == [1]
    assert [message.schedule for message in scene.sent()] == [2]
    assert scene.row(2) is None


def test_intended_time_is_told_in_the_schedule_s_zone(scene):
    scene.add(schedule_type="D", time_zone="Asia/Kathmandu", intended_date_kwarg="when")

    scene.run()

    assert scene.slots() == ["2026-11-23T17:45:00+05:45"]


def test_a_run_moved_out_of_a_gap_moves_none_after_it():
    scene = Scheduling(zone="Europe/Berlin")
    at = NOON.replace(month=3, day=28, hour=1, minute=30)
    scene.add(schedule_type="D", next_run=at, intended_date_kwarg="when", repeats=3)

    scene.run()

    assert [when[:16] for when in scene.slots()] == [
        *("2026-03-28T02:30", "2026-03-29T03:00", "2026-03-30T02:30")
    ]


def test_a_gap_is_remembered_in_the_row_between_two_runs():
    scene = Scheduling(zone="Europe/Berlin")
    row = ScheduleRow(
        id=1,
        func="math.floor",
        schedule_type="D",
        next_run=NOON.replace(month=3, day=28, hour=1, minute=30),
    )
    seen = []

    for _ in range(3):
        decision = decide(row, row.next_run, scene.custom, zone_of, 1)
        seen += [run.at.strftime("%d %H:%M") for run in decision.runs]
        row = attrs.evolve(row, next_run=decision.change.next_run, anchor=decision.change.anchor)

    assert seen == ["28 01:30", "29 01:00", "30 00:30"]


def test_overlapping_runs_are_allowed_unless_said_otherwise(scene):
    scene.add(schedule_type="H")
    scene.run()
    scene.clock.advance(hours=1)
    scene.run()

    assert len(scene.sent()) == 2


def test_skip_makes_no_task_while_the_last_run_is_unfinished(scene):
    scene.add(schedule_type="H", overlap="skip")
    scene.run()
    scene.clock.advance(hours=2)

    scene.run()

    assert len(scene.sent()) == 1
    assert (scene.row().next_run, scene.row().repeats) == (NOON + 3 * HOUR, -2)
    assert scene.observer.of(ScheduleSkipped) == [ScheduleSkipped(1, "math.floor")]


def test_skip_goes_on_when_the_last_run_has_ended(scene):
    scene.add(schedule_type="H", overlap="skip")
    scene.run()
    scene.store.ended([ScheduleEnd(1, scene.row().task, "ValueError: no")])
    scene.clock.advance(hours=2)

    scene.run()

    assert len(scene.sent()) == 2
    assert scene.row().last_error.endswith("ValueError: no")


def test_skip_makes_up_for_one_missed_slot_at_most(scene):
    scene.add(schedule_type="H", overlap="skip", next_run=NOON - 5 * HOUR)

    scene.run()

    assert len(scene.sent()) == 1
    assert scene.row().next_run == NOON + HOUR


def test_a_run_that_never_ends_is_taken_for_lost_after_a_day(scene):
    scene.add(schedule_type="H", overlap="skip")
    scene.run()
    scene.clock.advance(hours=24)

    scene.run()

    assert len(scene.sent()) == 2


def test_a_clock_that_goes_back_repeats_no_slot():
    scene = Scheduling()
    scene.add(schedule_type="H", intended_date_kwarg="when")
    scene.run()
    behind = Scheduling()
    behind.store.rows, behind.queues = scene.store.rows, scene.queues
    behind.store._clock = type("Back", (), {"now": lambda _: NOON - 5 * HOUR})()

    assert behind.run() == Wait(1.0)

    assert len(scene.slots()) == 1


def test_ready_is_said_at_once(scene):
    scene.scheduler.step()

    assert scene.heard(Ready) == [Ready(7)]


def test_a_cluster_that_runs_once_hears_ready_when_nothing_is_due_any_more():
    scene = Scheduling(greets_late=True)
    scene.add()

    assert scene.scheduler.step() == Wait(0.0)
    assert scene.heard(Ready) == []
    scene.scheduler.step()

    assert scene.heard(Ready) == [Ready(7)]


def test_it_leaves_when_it_is_told_to(scene):
    scene.add()
    scene.sentinel.send(Stop(StopLevel.GENTLE))

    assert scene.scheduler.step() is None
    assert scene.sent() == []
    assert len(scene.observer.of(ChildStopped)) == 1


def test_it_leaves_when_the_sentinel_is_gone(scene):
    scene.sentinel.close()
    scene.link._closed = True

    assert scene.scheduler.step() is None


def test_few_tasks_are_told_one_by_one_and_many_as_a_number(scene):
    scene.add(name="nightly")
    scene.run()
    (message,) = scene.sent()
    assert scene.observer.of(ScheduleSent) == [ScheduleSent(1, "nightly", message.id, "math.floor")]

    for _ in range(11):
        scene.add(id=len(scene.store.rows) + 50)
    scene.run()

    assert scene.observer.of(SchedulesSent) == [SchedulesSent(11)]
