"""The overview that `qinfo`, `qmonitor`, the admin and the metrics show."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection
from django.test import override_settings

from djq import assembly, overview
from djq.brokers import Broker
from djq.conf import get_config
from djq.core.call import dump_value
from djq.exceptions import BrokerUnavailable
from djq.models import Schedule, Task
from djq.monitor import Stat, written
from djq.wiring import wired
from djq_testing.clock import ManualClock

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Away(Broker):
    """A broker whose server is gone."""

    def info(self) -> str:
        return "away"

    def queue_size(self) -> int:
        raise BrokerUnavailable("no route to the queue")


class Hung(Broker):
    """A broker whose server is silent until the test ends."""

    def __init__(self, end):
        super().__init__("tests")
        self.end = end

    def queue_size(self):
        self.end.wait(10)
        return 7


class Blunt(Broker):
    """Somebody's own broker, which cannot count, and whose server is gone."""

    def ping(self) -> bool:
        return False


class Rude(Blunt):
    """One that breaks its promise about errors, and tells its login."""

    def ping(self) -> bool:
        raise KeyError("redis://me:c4n4ry@queue/0")


class Board:
    """A board with these texts."""

    def __init__(self, texts):
        self.texts = texts

    def read(self):
        return self.texts


def keep(number: int, *, alias="default", success=True, ended=NOW, seconds=2.0, **fields):
    return Task.objects.using(alias).create(
        id=f"{number:032x}",
        name=f"task-{number}",
        func="shop.tasks.report",
        started=ended - timedelta(seconds=seconds),
        stopped=ended,
        success=success,
        **fields,
    )


@pytest.fixture(autouse=True)
def noon():
    with wired(clock=ManualClock(NOW)):
        yield


class Routed:
    """A router that sends all rows to one database."""

    def __init__(self, alias):
        self.alias = alias

    def db_for_read(self, model, **hints):
        return self.alias

    def db_for_write(self, model, **hints):
        return self.alias


@pytest.fixture
def alias(database, settings):
    settings.DATABASE_ROUTERS = [Routed(database)]
    return database


def refuse_results(execute, sql, params, many, context):
    """Let a database answer no question about results."""
    if "djq_task" in sql:
        raise OperationalError("no route to the results")
    return execute(sql, params, many, context)


def test_what_the_database_keeps_is_counted_by_outcome_and_by_day(alias):
    keep(1, alias=alias, seconds=1)
    keep(2, alias=alias, seconds=4)
    keep(3, alias=alias, success=False, seconds=4, ended=NOW - timedelta(hours=23))
    keep(4, alias=alias, success=False, ended=NOW - timedelta(hours=25))

    seen = overview.take(parts=["results", "day"])

    assert seen.results == overview.Results(successes=2, failures=2)
    assert seen.day == overview.Day(count=3, average_seconds=3.0)
    assert seen.at == NOW
    assert seen.errors == {}


def test_the_last_failures_come_first_and_their_tracebacks_end_where_they_end(alias):
    keep(
        1, alias=alias, success=False, ended=NOW - timedelta(minutes=1), traceback="x" * 5_000 + "!"
    )
    keep(2, alias=alias, success=False, attempts=3)
    keep(3, alias=alias, ended=NOW + timedelta(minutes=1))

    newest, older = overview.take(parts=["failures"]).failures

    assert (newest.id, newest.name, newest.attempts) == (f"{2:032x}", "task-2", 3)
    assert newest.stopped == NOW
    assert older.traceback == "x" * 3_999 + "!"


def test_schedules_that_run_next_come_first_and_paused_ones_count_only(alias):
    rows = Schedule.objects.using(alias)
    later = rows.create(name="later", func="math.sqrt", next_run=NOW + timedelta(hours=2))
    sooner = rows.create(func="math.floor", next_run=NOW + timedelta(hours=1))
    rows.create(name="paused", func="math.ceil", next_run=NOW, enabled=False)

    seen = overview.take(parts=["schedules"]).schedules

    assert seen.count == 3
    assert [coming.id for coming in seen.coming] == [sooner.pk, later.pk]
    assert seen.coming[0] == overview.Coming(
        id=sooner.pk, name="", func="math.floor", at=NOW + timedelta(hours=1)
    )


def test_why_a_task_failed_is_read_without_running_anything(alias):
    reasons = [dump_value("timed out after 60 s"), dump_value("x" * 6_000), dump_value(Stat), None]
    for number, value in enumerate(reasons):
        keep(number, alias=alias, success=False, value=value, ended=NOW - timedelta(hours=number))

    seen = overview.take(parts=["failures"]).failures

    assert [failed.reason for failed in seen] == ["timed out after 60 s", "", "", ""]


@pytest.mark.django_db
def test_there_are_no_more_failures_and_runs_than_asked_for():
    for number in range(3):
        keep(number, success=False)
        Schedule.objects.create(func="math.sqrt", next_run=NOW)

    seen = overview.take(parts=["failures", "schedules"], limit=2)

    assert len(seen.failures) == len(seen.schedules.coming) == 2


@pytest.mark.django_db
def test_nothing_kept_has_no_average():
    assert overview.take(parts=["day"]).day == overview.Day(count=0, average_seconds=None)


@pytest.mark.django_db
def test_the_queue_says_whose_it_is_and_how_much_waits():
    clock = ManualClock(NOW)
    with wired(clock=clock):
        broker = assembly.make_broker(get_config())
        broker.enqueue("package")
        broker.enqueue("package")
        broker.dequeue()
        clock.advance(30)

        seen = overview.take(broker, parts=["queue"])

    assert seen.queue == overview.QueueNow(
        name=broker.list_key, broker=broker.info(), size=1, locked=1, oldest_seconds=30.0
    )
    assert seen.errors == {}


@pytest.mark.django_db
def test_a_part_that_is_away_leaves_the_others_as_they_are():
    keep(1)

    seen = overview.take(Away("tests"), parts=["queue", "results"])

    assert seen.queue is None
    assert seen.errors == {"queue": "BrokerUnavailable: no route to the queue"}
    assert seen.results == overview.Results(successes=1, failures=0)


@pytest.mark.django_db
def test_results_that_are_away_leave_the_schedules():
    with connection.execute_wrapper(refuse_results):
        seen = overview.take(Away("tests"), parts=["results", "failures", "schedules"])

    assert seen.results is seen.failures is None
    assert seen.errors == dict.fromkeys(
        ["results", "failures"], "OperationalError: no route to the results"
    )
    assert seen.schedules == overview.Schedules(count=0, coming=())


@pytest.mark.django_db
def test_one_look_is_a_handful_of_queries(django_assert_max_num_queries):
    for number in range(20):
        keep(number, success=number % 2 == 0)
        Schedule.objects.create(func="math.sqrt", next_run=NOW)

    with django_assert_max_num_queries(11):  # two are a savepoint, in the test's own transaction
        overview.take()


def test_a_part_that_there_is_not_is_refused():
    with pytest.raises(
        ValueError, match=r"\['cpu'\] are no parts of an overview; there are \['clusters'"
    ):
        overview.take(parts=["queue", "cpu"])


@override_settings(Q_CLUSTER={"name": "tests", "sqs": {"aws_region": "eu-central-1"}})
@pytest.mark.parametrize("backend", ["locmem.LocMemCache", "dummy.DummyCache"])
def test_clusters_that_nobody_can_see_are_not_taken_for_none(backend):
    with override_settings(
        CACHES={"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
    ):
        seen = overview.take(Hung(threading.Event()), parts=["clusters"])

    assert seen.clusters is None
    assert seen.errors["clusters"].startswith("BoardUnavailable: clusters cannot be seen from here")


def test_clusters_are_those_of_the_board():
    stat = Stat(cluster_id=1, host="orion", tob=NOW, now=NOW)

    with wired(board=Board([written(stat)])):
        assert overview.take(parts=["clusters"]).clusters == (stat,)


@pytest.mark.parametrize(
    ("broker", "why"),
    [
        (Blunt("tests"), "BrokerUnavailable: Blunt did not answer"),
        (Rude("tests"), "KeyError: 'redis://***@queue/0'"),
    ],
)
def test_a_broker_of_ones_own_may_fail_in_any_way_and_the_rest_is_seen(broker, why):
    with wired(board=Board([])):
        seen = overview.take(broker, parts=["queue", "clusters"])

    assert seen.queue is None
    assert seen.clusters == ()
    assert seen.errors == {"queue": why}


def test_a_part_that_hangs_is_given_up_and_the_others_are_there():
    end = threading.Event()

    with wired(board=Board([])):
        seen = overview.take(Hung(end), parts=["queue", "clusters"], seconds=0.2)

    assert seen.queue is None
    assert seen.clusters == ()
    assert seen.errors == {"queue": "no answer within 0.2 s"}
    end.set()


def test_a_part_that_answers_in_time_is_as_without_a_limit():
    end = threading.Event()
    end.set()

    with wired(board=Board([])):
        seen = overview.take(Hung(end), parts=["queue", "clusters"], seconds=10)

        assert seen == overview.take(Hung(end), parts=["queue", "clusters"])
    assert seen.queue.size == 7
    assert seen.errors == {}
