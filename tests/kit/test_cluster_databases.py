"""The cluster in process on real databases: its queue, its results and its schedules are rows there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from djq.brokers import get_broker
from djq.models import OrmQ, Schedule, Task
from djq.tasks import async_chain, async_iter, async_task, fetch, result
from djq_testing.clock import START
from djq_testing.cluster import LocalCluster
from djq_testing.schedules import MemoryScheduleStore
from tests.kit import local_samples as samples

NOTE = "tests.kit.local_samples.note"


class Router:
    def __init__(self, alias):
        self.alias = alias

    def db_for_read(self, model, **_hints):
        return self.alias

    db_for_write = db_for_read


def ran(cluster):
    return [((run.started - START).total_seconds(), run.attempt) for run in cluster.runs]


def use(settings, alias, *, use_tz=True):
    settings.USE_TZ = use_tz
    settings.TIME_ZONE = "America/New_York"
    settings.DATABASE_ROUTERS = [Router(alias)]
    settings.Q_CLUSTER = {"name": "tests", "orm": alias, "time_zone": "Europe/Berlin"}


def live_a_day():
    """Faults in the true order, on the queue in the database; each thing in its time."""
    with LocalCluster(broker="orm") as cluster:
        samples.heard.clear()
        chain = async_chain([(NOTE, (1,)), (NOTE, (2,))])
        numbers = async_iter(NOTE, [3, 4])
        failed = async_task(samples.fail, "no", hook=samples.hear, task_name="failed")
        samples.acts["break"] = lambda: Task.objects.create(id="x" * 40, name=None)
        broken = async_task(samples.act, "break")
        cluster.drop_next("save", error="after")
        cluster.run_until_idle()
        seconds = (cluster.clock.now() - START).total_seconds()

        assert result(numbers) == [3, 4]
        assert [fetch(id).success for id in (failed, broken)] == [False, False]
        assert samples.heard == [("failed", False, "ValueError: no")]
        assert Task.objects.filter(group=chain).count() == 2
        assert 0 < seconds < 1
        assert len(cluster.runs) == 7

        cluster.advance(10 - seconds)
        cluster.drop_next("acknowledge")
        async_task(NOTE, "a")
        cluster.takes(NOTE, 5)
        cluster.run_until_idle()
        cluster.schedule(NOTE, "tick", schedule_type="D", next_run=START + timedelta(hours=2))
        cluster.advance_to(START + timedelta(seconds=7_195))
        cluster.broker_down(seconds=15)
        cluster.advance(hours=20)
        assert OrmQ.objects.count() == 0
        assert (fetch(cluster.runs[-1].task_id).attempts, cluster.is_idle) == (1, True)
        *before, (moment, attempt) = ran(cluster)[7:]
        assert (before, attempt) == ([(10, 1), (70, 2)], 1)
        assert 7_210 <= moment < 7_225


@pytest.mark.parametrize("use_tz", [True, False], ids=["aware", "naive"])
def test_a_day_on_each_database(database, settings, use_tz):
    use(settings, database, use_tz=use_tz)

    live_a_day()
    assert Schedule.objects.get().repeats == -2


def test_a_day_without_a_transaction_around_it(live_database, settings):
    use(settings, live_database)

    live_a_day()


class InATestCase(TestCase):
    def test_results_are_rows(self):
        with LocalCluster() as cluster:
            id = async_task(NOTE, "a")
            cluster.run_until_idle()

            assert Task.objects.get().id == id

    def test_rows_are_gone_with_the_test(self):
        assert not Task.objects.exists()


class InATransactionTestCase(TransactionTestCase):
    available_apps = ("djq",)

    def test_results_are_rows(self):
        with LocalCluster(broker="orm") as cluster:
            async_task(NOTE, "a")
            cluster.run_until_idle()

            assert Task.objects.get().result == "a"


class WithoutADatabase(SimpleTestCase):
    def test_everything_is_in_memory(self):
        with LocalCluster() as cluster:
            id = async_task(NOTE, "a")
            cluster.run_until_idle()

            assert result(id) == "a"
            assert isinstance(cluster.schedules, MemoryScheduleStore)
            assert get_broker().info() == "Memory"
