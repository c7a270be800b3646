"""The cluster in process: what is asked for is run, on the clock that the test moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from djq.brokers import get_broker
from djq.exceptions import ConfigError, ScheduleRefused
from djq.models import OrmQ, Schedule, Task
from djq.tasks import (
    Chain,
    async_iter,
    async_task,
    count_group,
    delete_group,
    fetch,
    result,
    result_group,
    schedule,
)
from djq_testing.clock import START, ManualClock
from djq_testing.cluster import ClusterError, LocalCluster
from tests.django.frozen import freeze_time
from tests.kit import local_samples as samples

NOTE = "tests.kit.local_samples.note"


def after(seconds):
    return START + timedelta(seconds=seconds)


def moments(cluster):
    return [(run.started - START).total_seconds() for run in cluster.runs]


# What is asked for is run.


def test_tasks_run_and_their_results_are_there(cluster):
    id = async_task(NOTE, "a", task_name="first")
    cluster.run_until_idle()

    assert result(id) == "a"
    (run,) = cluster.runs
    assert (run.task_id, run.name, run.func, run.args, run.kwargs) == (
        id,
        "first",
        NOTE,
        ("a",),
        {},
    )
    assert (run.attempt, run.success, run.error, run.result) == (1, True, "", "a")
    assert (run.started, run.seconds, run.worker) == (START, 0.0, "Process-1:1")
    assert cluster.clock.now() == START


def test_failures_are_outcomes(cluster):
    id = async_task(samples.fail, "of this")
    cluster.run_until_idle()

    assert (fetch(id).success, result(id)) == (False, "ValueError: of this")
    (run,) = cluster.runs
    assert (run.success, run.error, run.result) == (False, "ValueError: of this", None)
    assert any("Failed" in line for line in cluster.log)


def test_what_follows_is_run_too(cluster):
    chain = Chain()
    chain.append(NOTE, 1)
    chain.append(NOTE, 2)
    chain.run()
    numbers = async_iter(NOTE, [3, 4])
    async_task(NOTE, 5, hook=samples.hear, task_name="hooked")
    async_task(samples.ask_for, 6)
    cluster.run_until_idle()

    assert (chain.result(), result(numbers)) == ([1, 2], [3, 4])
    assert samples.heard == [("hooked", True, 5)]
    assert [run.func for run in cluster.runs if run.is_hook] == ["tests.kit.local_samples.hear"]
    assert ((6,), True) in [(run.args, run.success) for run in cluster.runs]


def test_groups_are_counted(cluster):
    for number in range(3):
        async_task(NOTE, number, group="numbers")
    cluster.run_until_idle()

    assert (count_group("numbers"), result_group("numbers")) == (3, [0, 1, 2])
    delete_group("numbers", tasks=True)
    assert count_group("numbers") == 0


def test_who_waits_for_a_result_lets_the_cluster_play(cluster):
    cluster.takes(NOTE, 0.2)

    assert result(async_task(NOTE, "a"), wait=500) == "a"
    assert result(async_task(NOTE, "b"), wait=100) is None


def test_the_clock_that_it_was_given_lets_it_play():
    clock = ManualClock()
    with LocalCluster(clock):
        id = async_task(NOTE, "a")
        clock.advance(1)

        assert result(id) == "a"
    clock.advance(1)


def test_a_task_that_waits_for_another_waits_in_vain(cluster):
    samples.acts["wait"] = lambda: result(async_task(NOTE, "b"), wait=1_000)
    id = async_task(samples.act, "wait")
    cluster.run_until_idle()

    assert (fetch(id).success, result(id)) == (True, None)
    assert cluster.clock.now() == after(1)
    assert [(run.func, run.seconds) for run in cluster.runs] == [
        ("tests.kit.local_samples.act", 1),
        (NOTE, 0),
    ]
    assert fetch(id).stopped == after(1)


def test_a_task_cannot_let_its_own_cluster_play(cluster):
    samples.acts["play"] = cluster.run_until_idle
    id = async_task(samples.act, "play")
    cluster.run_until_idle()

    assert result(id).startswith("RuntimeError: a task of this cluster cannot let it play")


# Time.


def test_tasks_take_the_time_that_was_said(cluster):
    cluster.takes(samples.note, 90)
    cluster.takes(samples.fail, lambda text: len(text) * 10)
    for word in "abc":
        async_task(NOTE, word)
    async_task(samples.fail, "four")
    cluster.run_until_idle()

    assert [(run.args[0], run.seconds) for run in cluster.runs] == [
        ("a", 90),
        ("b", 90),
        ("four", 40),
        ("c", 90),
    ]
    assert fetch(cluster.runs[0].task_id).stopped == after(90)
    assert cluster.clock.now() == after(180)


def test_successive_runs_may_take_different_times(cluster):
    cluster.takes(NOTE, [1, 2])
    for word in "abc":
        async_task(NOTE, word)
        cluster.run_until_idle()

    assert [run.seconds for run in cluster.runs] == [1, 2, 2]


@pytest.mark.parametrize(
    ("func", "seconds", "error"),
    [
        ("tests.kit.local_samples.nobody", 1, AttributeError),
        (NOTE, -1, ValueError),
        (NOTE, [], ValueError),
        (NOTE, "1", ValueError),
    ],
)
def test_durations_that_are_none_are_refused(cluster, func, seconds, error):
    with pytest.raises(error):
        cluster.takes(func, seconds)


def test_a_task_beyond_its_limit_is_ended_there():
    with LocalCluster(timeout=10) as cluster:
        cluster.takes(samples.hear, 10.5)
        id = async_task(samples.hear, "never")
        on_time = async_task(NOTE)
        cluster.takes(NOTE, 10)
        cluster.run_until_idle()

        assert result(id) == "TaskTimedOut: timed out after 10 s"
        assert fetch(id).stopped == after(10)
        assert fetch(on_time).success
        assert samples.heard == []
        (late,) = [run for run in cluster.runs if run.task_id == id]
        assert (late.success, late.seconds, late.result) == (False, 10, None)
        assert cluster.stat.reincarnations == 1


def test_a_long_task_keeps_its_lease(cluster):
    cluster.takes(NOTE, 3_600)
    async_task(NOTE)
    cluster.run_until_idle()

    assert [run.attempt for run in cluster.runs] == [1]


def test_a_cluster_that_does_not_come_to_rest_says_why(cluster):
    cluster.takes(samples.again, 60)
    async_task(samples.again)

    with pytest.raises(ClusterError, match=r"not idle after 600 s\n.*1 tasks in the hands"):
        cluster.run_until_idle(600)
    assert cluster.clock.now() == after(600)
    assert "1 run" in cluster.pending[0]
    assert not cluster.is_idle


def test_times_stay_exact_to_the_microsecond(cluster):
    cluster.takes(NOTE, 0.1)
    cluster.schedule(NOTE, schedule_type="I", minutes=7)
    cluster.advance(0.0000004)
    cluster.advance(days=1)

    assert moments(cluster) == [420.0 * number for number in range(206)]
    assert cluster.clock.now() == START + timedelta(days=1, microseconds=1)


# Schedules.


def test_schedules_fire_at_their_times(cluster):
    made = cluster.schedule(NOTE, "tick", schedule_type="H", next_run=after(60), name="ticks")
    cluster.run_until_idle()
    assert cluster.runs == []

    cluster.advance(hours=3)

    assert moments(cluster) == [60, 3_660, 7_260]
    assert (made.name, made.pk, cluster.runs[0].args) == ("ticks", 1, ("tick",))


def test_a_schedule_that_is_due_now_fires(cluster):
    schedule(NOTE, "at once")
    cluster.run_until_idle()

    assert moments(cluster) == [0]


def test_a_schedule_is_checked_without_a_database(cluster):
    with pytest.raises(ScheduleRefused, match=r"repeats: .*cron: "):
        cluster.schedule(NOTE, cron="x", repeats="y")
    cluster.schedule(NOTE, name="a", next_run=after(60))
    with pytest.raises(ScheduleRefused, match="name: Schedule with this name already exists"):
        cluster.schedule(NOTE, name="a")


def test_a_schedule_that_a_task_makes_is_seen(cluster):
    samples.acts["plan"] = lambda: schedule(NOTE, next_run=after(90)) and None
    async_task(samples.act, "plan")
    cluster.advance(minutes=2)

    assert moments(cluster) == [0, 90]


def test_two_clusters_fire_a_schedule_once():
    with LocalCluster(clusters=2) as cluster:
        cluster.schedule(NOTE, schedule_type="D", cron=None)
        cluster.advance(days=10)

        assert moments(cluster) == [86_400.0 * day for day in range(11)]


def test_no_scheduler_no_schedules():
    with LocalCluster(scheduler=False) as cluster:
        cluster.schedule(NOTE)
        cluster.run_until_idle()
        cluster.advance(days=1)

        assert cluster.runs == []


# The databases.


@pytest.mark.parametrize("broker", ["memory", "orm"])
@pytest.mark.django_db
def test_everything_is_in_the_test_s_own_transaction(broker):
    with LocalCluster(broker=broker) as cluster:
        id = async_task(NOTE, "a")
        assert OrmQ.objects.count() == (broker == "orm")
        samples.acts["plan"] = lambda: Schedule.objects.update(next_run=after(90))
        cluster.schedule(NOTE, "tick", schedule_type="D", next_run=after(500))
        cluster.run_until_idle()
        assert Task.objects.get(id=id).result == "a"
        async_task(samples.act, "plan")
        cluster.advance(days=1)

        assert moments(cluster) == [0, 0, 90]
        assert Task.objects.count() == 3
        assert OrmQ.objects.count() == 0


@pytest.mark.django_db
def test_rows_made_by_hand_are_seen():
    with LocalCluster(broker="orm") as cluster:
        async_task(NOTE, "a")
        row = OrmQ.objects.get()

        def enqueue():
            for seconds in (0, 30):
                OrmQ.objects.create(key=row.key, payload=row.payload, available_at=after(seconds))

        samples.acts["enqueue"] = enqueue
        async_task(samples.act, "enqueue")
        cluster.run_until_idle()
        cluster.advance(60)

        assert moments(cluster) == [0, 0, 0, 30]


@pytest.mark.django_db
def test_a_task_that_breaks_the_transaction_is_a_failure_alone():
    with LocalCluster() as cluster:
        samples.acts["break"] = lambda: Task.objects.create(id="x" * 40, name=None)
        id = async_task(samples.act, "break")
        other = async_task(NOTE, "a")
        cluster.run_until_idle()

        assert (fetch(id).success, result(other)) == (False, "a")


@pytest.mark.django_db
def test_cached_results_go_when_their_time_has_come():
    with LocalCluster() as cluster:
        id = async_task(NOTE, "a", cached=60)
        cluster.advance(59)
        assert result(id, cached=True) == "a"
        cluster.advance(2)

        assert fetch(id, cached=True) is None


def test_cached_results_go_without_a_database_too(cluster):
    id = async_task(NOTE, "a", cached=60)
    numbers = async_iter(NOTE, [1, 2], cached=60)
    kept = async_task(NOTE, "b", cached=True)
    cluster.advance(59)
    assert (result(id, cached=True), result(numbers, cached=True)) == ("a", [1, 2])
    cluster.advance(2)

    assert [fetch(each, cached=True) for each in (id, numbers)] == [None, None]
    assert result(kept, cached=True) == "b"


# Opening it.


def test_settings_are_those_of_a_project(settings):
    settings.Q_CLUSTER = {"name": "mine", "workers": 3, "sync": True, "orm": "default"}
    with LocalCluster(max_attempts=1) as cluster:
        assert len(cluster.stat.workers) == 3
        async_task(NOTE)
        assert get_broker().queue_size() == 1
        assert get_broker().list_key == "mine"
    with LocalCluster(workers=1) as cluster:
        assert len(cluster.stat.workers) == 1
    with pytest.raises(RuntimeError, match="has been open before"):
        cluster.__enter__()


def test_what_is_wrong_is_refused_and_leaves_nothing_behind():
    with pytest.raises(ConfigError, match=r"the key 'timeuot'.*\n?.*Did you mean 'timeout'"):
        LocalCluster(timeuot=1).__enter__()
    for wrong in ({"broker": "redis"}, {"store": "cache"}, {"clusters": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LocalCluster(**wrong)
    assert get_broker().list_key == "tests"
    assert get_broker().info().startswith("ORM")


def test_an_open_cluster_follows_freezegun():
    with freeze_time("2026-03-29") as frozen, LocalCluster() as cluster:
        cluster.schedule(NOTE, schedule_type="H")
        cluster.advance(hours=1)
        assert datetime.now(UTC) == datetime(2026, 3, 29, 1, tzinfo=UTC)
        frozen.tick(3_600)
        cluster.takes(NOTE, 10)
        cluster.run_until_idle(60)

        assert [run.started.hour for run in cluster.runs] == [0, 1, 2]


@pytest.mark.parametrize("broker", ["memory", "orm"])
def test_a_package_that_is_held_back_is_run_in_its_time(db, broker):
    with LocalCluster(broker=broker) as cluster:
        async_task(samples.note, "later")
        ((_, package),) = cluster.broker.dequeue()
        cluster.broker.delete_queue()
        cluster.broker.enqueue_later([package], 90)

        cluster.advance(89)
        assert cluster.runs == []
        cluster.advance(1)

    assert [run.args for run in cluster.runs] == [("later",)]
