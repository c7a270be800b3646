"""Runs the examples of the page about schedules, then the schedules that they have made."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.db import connection, connections

from djq import assembly, inline
from djq.components.scheduler import Scheduler
from djq.conf import get_config, get_zone, schedule_defaults
from djq.models import OrmQ, Schedule, Task
from djq.ports import Wait
from djq.schedules.database import DatabaseScheduleStore
from djq_testing.clock import ManualClock
from tests.components.parts import PairLink
from tests.django.frozen import freeze_time

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture
def page():
    """The rows that the page's examples make."""
    examples = doctest.DocTestParser().get_doctest(
        PAGE.read_text().replace("```", ""), {"__name__": "__main__"}, PAGE.name, str(PAGE), 0
    )
    report = StringIO()
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    with freeze_time(START):
        runner.run(examples, out=report.write)
    assert len(examples.examples) > 10
    assert runner.failures == 0, report.getvalue()
    return Schedule.objects.order_by("pk")


def step_until_idle():
    config = get_config()
    scheduler = Scheduler(
        link=PairLink.pair()[0],
        store=assembly.make_schedule_store(),
        queue_of=assembly.queue_finder(config, assembly.make_broker(config)),
        custom=schedule_defaults(),
        zone_of=get_zone,
        around=assembly.surroundings(),
        label="docs",
        pid=1,
    )
    while scheduler.step() == Wait(0.0):
        pass


def run_what_is_queued():
    codec = assembly.make_codec()
    for row in OrmQ.objects.order_by("id"):
        inline.run([codec.open(row.payload)])
        row.delete()


def test_the_examples_of_the_documentation_are_true(page):
    assert page.count() == 7


def test_the_manual_s_samples_run_as_written(page):
    with freeze_time(START):
        step_until_idle()
        run_what_is_queued()

    results = {task.func: task for task in Task.objects.exclude(func="hooks.print_result")}
    assert Task.objects.filter(func="math.copysign").count() == 2
    assert results["math.copysign"].result == -2.0
    assert results["math.sqrt"].result == 3.0
    assert results["django.core.management.call_command"].success
    assert not results["tasks.clear_sessions_command"].success
    assert "math.hypot" not in results


def test_the_evening_s_schedule_runs_every_five_minutes_for_two_hours(page):
    page.exclude(func="math.hypot").delete()

    with freeze_time(START.replace(hour=23)):
        step_until_idle()
        run_what_is_queued()

    assert Task.objects.filter(func="math.hypot", success=True).count() == 24
    assert [task.result for task in Task.objects.all()[:2]] == [5.0, 5.0]
    row = page.get()
    assert (row.repeats, row.next_run.strftime("%H:%M")) == (0, "20:00")


def test_an_idle_scheduler_asks_one_entry_of_one_index(postgres):
    rows = Schedule.objects.using(postgres)
    later = START + timedelta(days=1)
    rows.bulk_create(
        Schedule(func="math.floor", schedule_type="D", next_run=later, repeats=number % 2)
        for number in range(3_000)
    )
    store = DatabaseScheduleStore(alias=postgres, clock=ManualClock(START))
    seen = []

    def keep(execute, sql, params, *rest):
        seen.append((sql, params))
        return execute(sql, params, *rest)

    with connections[postgres].execute_wrapper(keep):
        assert store.next_due() == later
        store.now()
    with connections[postgres].cursor() as cursor:
        cursor.execute("ANALYZE djq_schedule")
        cursor.execute(f"EXPLAIN {seen[0][0]}", seen[0][1])
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert len(seen) == 1
    assert "Index Only Scan using djq_schedule_due" in plan


def test_queries_do_not_grow_with_the_rows():
    def statements(count):
        Schedule.objects.all().delete()
        Schedule.objects.bulk_create(
            Schedule(func="math.floor", args="1", schedule_type="D", next_run=START)
            for _ in range(count)
        )
        seen = []

        def keep(execute, sql, *rest):
            seen.append(sql)
            return execute(sql, *rest)

        with freeze_time(START), connection.execute_wrapper(keep):
            step_until_idle()
        return len(seen)

    assert statements(200) == statements(2)
