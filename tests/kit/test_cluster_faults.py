"""The cluster in process: what goes wrong by one call, and what the cluster makes of it."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from functools import partial

import pytest

from djq.exceptions import BrokerUnavailable
from djq.tasks import async_task, fetch, result
from djq_testing.clock import START, ManualClock
from djq_testing.cluster import ClusterError, LocalCluster
from djq_testing.memory import MemoryBroker
from tests.kit import local_samples as samples

NOTE = "tests.kit.local_samples.note"


def ran(cluster):
    """When runs began, in seconds, which attempt they were, and what came of them."""
    return [
        ((run.started - START).total_seconds(), run.attempt, run.success) for run in cluster.runs
    ]


# Deaths.


def test_a_task_whose_worker_is_killed_runs_again(cluster):
    cluster.takes(NOTE, 90)
    id = async_task(NOTE, "a")
    cluster.advance(30)
    cluster.kill("worker", slot=0)
    cluster.run_until_idle()

    assert ran(cluster) == [(0, 1, None), (30, 2, True)]
    assert cluster.runs[0].seconds == 30
    assert "ended by the test" in cluster.runs[0].error
    assert (fetch(id).attempts, result(id)) == (2, "a")
    assert cluster.stat.reincarnations == 1


def test_a_task_that_kills_its_own_worker_is_given_up_in_the_end():
    with LocalCluster(workers=1, max_attempts=2) as cluster:
        samples.acts["die"] = lambda: cluster.kill("worker")
        id = async_task(samples.act, "die")
        cluster.run_until_idle()

        assert ran(cluster) == [(0, 1, None), (0, 2, None)]
        assert result(id).startswith("WorkerDied: worker died: signal 9")


@pytest.mark.parametrize("role", ["pusher", "monitor", "scheduler", "sentinel"])
def test_every_process_is_replaced_and_nothing_is_lost(cluster, role):
    cluster.takes(NOTE, 5)
    ids = [async_task(NOTE, number) for number in range(10)]
    cluster.schedule(NOTE, "tick", schedule_type="H")
    cluster.advance(7)
    before = cluster.stat
    cluster.kill(role)
    cluster.run_until_idle()

    assert [result(id) for id in ids] == list(range(10))
    assert cluster.stat.status == "Idle"
    assert cluster.stat != before
    cluster.advance(hours=1)
    assert len([run for run in cluster.runs if run.args == ("tick",)]) == 2


def test_a_process_that_dies_again_and_again_is_waited_for(cluster):
    for _ in range(3):
        cluster.kill("pusher")
        cluster.run_until_idle()

    assert cluster.stat.pusher is not None
    assert 0.3 <= (cluster.clock.now() - START).total_seconds() < 1


def test_what_a_dead_cluster_held_comes_back_when_its_lease_ends():
    with LocalCluster(clusters=2, workers=1, retry=120) as cluster:
        cluster.takes(NOTE, 30)
        id = async_task(NOTE, "a")
        cluster.advance(10)
        cluster.kill("cluster", cluster=1)
        cluster.run_until_idle()

        assert ran(cluster) == [(0, 1, None), (120, 2, True)]
        assert fetch(id).attempts == 2


def test_without_a_cluster_nothing_runs_until_one_starts(cluster):
    cluster.kill("cluster")
    async_task(NOTE, "a")

    with pytest.raises(ClusterError, match="no cluster is running"):
        cluster.run_until_idle()
    assert cluster.stat.status == "Stopped"
    cluster.start()
    assert ran(cluster) == [(0, 1, True)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("kill", "wroker"), r"'wroker' is no role; there are command, sentinel, pusher"),
        (("kill", "worker", {"slot": 7}), r"no worker in slot 7 now; there are: .*worker 0"),
        (("pause", "worker", {"cluster": 2}), r"there is no cluster 2; 1 are running"),
        (("pause", "worker", -1), r"seconds is -1"),
        (("resume", "clerk"), r"'clerk' is no role"),
        (("drop_next", "aknowledge"), r"no verb that can be lost; there are enqueue, dequeue, ack"),
        (("drop_next", "save", {"error": "never"}), r"it must be 'before', 'after' or None"),
        (("drop_next", "save", {"times": 0}), r"times is 0"),
        (("duplicate_next", 0), r"times is 0"),
        (("broker_down", -1), r"seconds is -1"),
    ],
)
def test_what_there_is_not_is_refused(cluster, call, words):
    verb, *arguments = call
    keywords = arguments.pop() if isinstance(arguments[-1], dict) else {}

    with pytest.raises(ValueError, match=words):
        getattr(cluster, verb)(*arguments, **keywords)


# Standing still.


def test_a_paused_monitor_saves_nothing_and_then_everything(cluster):
    cluster.pause("monitor", 30)
    id = async_task(NOTE, "a")
    cluster.advance(29)
    assert result(id) is None
    cluster.run_until_idle()

    assert result(id) == "a"
    assert cluster.clock.now() == START + timedelta(seconds=30)


def test_a_paused_worker_goes_on_with_what_it_runs():
    with LocalCluster(workers=1) as cluster:
        cluster.takes(NOTE, 10)
        async_task(NOTE, "a")
        cluster.advance(4)
        cluster.pause("worker")
        cluster.advance(20)
        assert cluster.runs == []
        cluster.resume("worker")
        cluster.run_until_idle()

        assert cluster.clock.now() == START + timedelta(seconds=30)
        assert ran(cluster) == [(0, 1, True)]


def test_what_a_worker_has_still_to_run_is_right_after_many_pauses():
    with LocalCluster(workers=1) as cluster:
        cluster.takes(NOTE, 10)
        async_task(NOTE, "a")
        cluster.advance(1)
        cluster.pause("worker", 600)
        cluster.advance(1)
        cluster.pause("worker", 5)
        cluster.advance(7)
        cluster.pause("worker", 5)
        cluster.advance(1)
        cluster.resume("worker")
        cluster.resume("worker")
        cluster.run_until_idle()

        assert cluster.clock.now() == START + timedelta(seconds=10 + 1 + 5 + 1)
        async_task(NOTE, "b")
        cluster.advance(4)
        cluster.pause("worker", 100)
        cluster.run_until_idle()
        assert cluster.runs[-1].seconds == 110


def test_who_is_paused_for_ever_is_waited_for_in_vain(cluster):
    cluster.pause("pusher")
    async_task(NOTE, "a")

    with pytest.raises(ClusterError, match="1 tasks in the queue"):
        cluster.run_until_idle(60)
    cluster.resume("pusher")
    cluster.run_until_idle()
    assert ran(cluster) == [(60, 1, True)]


def test_what_a_paused_cluster_held_runs_elsewhere():
    with LocalCluster(clusters=2, workers=1) as cluster:
        cluster.takes(NOTE, 30)
        id = async_task(NOTE, "a")
        cluster.advance(10)
        cluster.pause("cluster", 600, cluster=1)
        cluster.advance(100)
        assert ran(cluster) == [(60, 2, True)]
        cluster.run_until_idle()

        assert ran(cluster) == [(60, 2, True), (0, 1, True)]
        assert cluster.clock.now() == START + timedelta(seconds=10 + 600 + 20)
        assert fetch(id).attempts == 2


def test_schedules_are_made_up_for_when_their_scheduler_goes_on():
    for catch_up, runs in ((True, [0, 3, 3, 3, 4]), (False, [0, 3, 4])):
        with LocalCluster(catch_up=catch_up) as cluster:
            cluster.schedule(NOTE, schedule_type="H")
            cluster.run_until_idle()
            cluster.pause("scheduler", 3 * 3_600)
            cluster.advance(hours=4)

            assert [at / 3_600 for at, _, _ in ran(cluster)] == runs


# Lost words.


def test_a_lost_acknowledgement_is_made_up_for_by_a_second_run(cluster):
    cluster.drop_next("acknowledge")
    id = async_task(NOTE, "a")
    cluster.run_until_idle()

    assert ran(cluster) == [(0, 1, True), (60, 2, True)]
    assert fetch(id).attempts == 1
    assert cluster.strikes == {"acknowledge": 1}


@pytest.mark.parametrize("error", ["before", "after"])
def test_an_acknowledgement_that_fails_is_tried_again(cluster, error):
    cluster.drop_next("acknowledge", error=error, times=2)
    async_task(NOTE, "a")
    cluster.run_until_idle()

    assert ran(cluster) == [(0, 1, True)]
    assert 0 < (cluster.clock.now() - START).total_seconds() < 1
    assert cluster.log.count("the broker answers again") == 1


def test_a_task_that_is_lost_on_its_way_in_never_runs(cluster):
    cluster.drop_next("enqueue")
    async_task(NOTE, "lost")
    cluster.drop_next("enqueue", error="before")
    with pytest.raises(BrokerUnavailable, match="before its effect"):
        async_task(NOTE, "refused")
    cluster.drop_next("enqueue", error="after")
    with pytest.raises(BrokerUnavailable, match="after its effect"):
        async_task(NOTE, "taken")
    cluster.run_until_idle()

    assert [run.args for run in cluster.runs] == [("taken",)]


def test_what_was_taken_and_not_heard_of_comes_back(cluster):
    cluster.drop_next("dequeue", error="after")
    async_task(NOTE, "a")
    cluster.run_until_idle()

    assert ran(cluster) == [(60, 2, True)]


def test_outcomes_that_could_not_be_saved_are_saved_later(cluster):
    cluster.drop_next("save", error="before")
    cluster.drop_next("save", error="after")
    first = async_task(NOTE, "a")
    cluster.run_until_idle()
    cluster.drop_next("save")
    lost = async_task(NOTE, "b")
    cluster.run_until_idle()

    assert (result(first), fetch(lost)) == ("a", None)
    assert len(cluster.runs) == 2


def test_a_package_that_comes_twice_has_one_outcome(cluster):
    cluster.duplicate_next()
    id = async_task(NOTE, "a", hook=samples.hear, task_name="twice")
    cluster.run_until_idle()

    assert [run.task_id for run in cluster.runs if not run.is_hook] == [id, id]
    assert {run.task_id for run in cluster.runs if run.is_hook} == {cluster.runs[-1].task_id}


def test_leases_are_extended_for_long_tasks_alone(cluster):
    cluster.drop_next("extend", times=10)
    cluster.advance(days=1)
    async_task(NOTE, "short")
    cluster.run_until_idle()
    assert cluster.strikes == {}
    cluster.takes(NOTE, 45)
    async_task(NOTE, "long")
    cluster.run_until_idle()

    assert cluster.strikes == {"extend": 2}


# Services that are away.


def test_nothing_is_lost_while_the_broker_is_down(cluster):
    cluster.takes(NOTE, 10)
    ids = [async_task(NOTE, number) for number in range(6)]
    cluster.schedule(NOTE, "tick", schedule_type="I", minutes=1)
    cluster.advance(15)
    cluster.broker_down(seconds=120)
    with pytest.raises(BrokerUnavailable, match="the broker does not answer"):
        async_task(NOTE, "refused")
    assert not cluster.broker.ping()
    cluster.advance(119)
    cluster.run_until_idle()

    assert [result(id) for id in ids] == list(range(6))
    assert len([run for run in cluster.runs if run.args == ("tick",)]) == 3
    assert "the broker does not answer" in cluster.story()
    assert cluster.broker.ping()


def test_nothing_is_lost_while_the_stores_are_down(cluster):
    cluster.store_down(seconds=30)
    id = async_task(NOTE, "a")
    cluster.schedule(NOTE, "tick")
    cluster.run_until_idle()

    assert result(id) == "a"
    assert [(run.args, run.attempt) for run in cluster.runs] == [(("a",), 1), (("tick",), 1)]
    assert cluster.clock.now() >= START + timedelta(seconds=30)


def test_a_service_may_come_back_before_its_time(cluster):
    cluster.broker_down(seconds=600)
    cluster.broker_down(seconds=0)
    async_task(NOTE, "a")
    cluster.run_until_idle()

    assert ran(cluster) == [(0, 1, True)]


def test_a_failure_that_does_not_count_comes_back_after_its_lease():
    with LocalCluster(ack_failures=False, max_attempts=3, retry=300) as cluster:
        id = async_task(samples.fail)
        cluster.run_until_idle()

        assert ran(cluster) == [(0, 1, False), (300, 2, False), (600, 3, False)]
        assert fetch(id).attempts == 3


# Everything at once.

ROLES = ("worker", "pusher", "monitor", "scheduler", "sentinel")
VERBS = ("acknowledge", "extend", "release", "dequeue", "enqueue", "save")


def do_something(cluster, rng):
    """One verb by chance; what it cannot be done to is left alone."""
    with suppress(ValueError, BrokerUnavailable):
        match rng.choice(("advance", "kill", "pause", "resume", "drop", "away", "duplicate")):
            case "advance":
                cluster.advance(rng.choice((0.1, 1, 7, 60, 400)))
            case "kill":
                cluster.kill(rng.choice(ROLES), cluster=rng.randint(1, 2))
            case "pause":
                role = rng.choice((*ROLES, "command", "cluster"))
                cluster.pause(role, rng.choice((1, 30, 200)), cluster=rng.randint(1, 2))
            case "resume":
                cluster.resume(rng.choice(ROLES))
            case "drop":
                cluster.drop_next(rng.choice(VERBS), error=rng.choice(("before", "after")))
            case "away":
                rng.choice((cluster.broker_down, cluster.store_down))(rng.choice((1, 20, 100)))
            case "duplicate":
                cluster.duplicate_next()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_goes_wrong_what_was_taken_runs_in_the_end(seed):
    rng, ids = random.Random(seed), []
    with LocalCluster(clusters=2, max_attempts=1_000, seed=seed) as cluster:
        cluster.takes(NOTE, [1, 2, 30, 0.001])
        cluster.schedule(NOTE, "tick", schedule_type="I", minutes=10)
        for number in range(30):
            with suppress(BrokerUnavailable):
                ids.append(async_task(NOTE, number))
            do_something(cluster, rng)
        cluster.run_until_idle()
        cluster.advance(700)
        cluster.run_until_idle()

        assert {fetch(id).success for id in ids} == {True}
        ticks = {run.task_id for run in cluster.runs if run.args == ("tick",) and run.success}
        assert len(ticks) == (cluster.clock.now() - START) // timedelta(minutes=10) + 1
        assert (cluster.stat.status, cluster.stop()) == ("Idle", 0)


# Stopping.


def test_a_stop_works_off_what_is_in_memory(cluster):
    cluster.takes(NOTE, 10)
    for number in range(3):
        async_task(NOTE, number)
    cluster.advance(1)

    assert cluster.stop() == 0
    assert len(cluster.runs) == 3
    assert cluster.log[-1] == "Q Cluster-1 has stopped."
    assert cluster.stat.status == "Stopped"
    late = async_task(NOTE, "late")
    cluster.advance(60)
    assert result(late) is None
    cluster.start()
    cluster.run_until_idle()
    assert result(late) == "late"


def test_a_stop_at_once_cuts_work_short(cluster):
    cluster.takes(NOTE, 1_000)
    async_task(NOTE, "a")
    cluster.advance(1)

    assert cluster.stop(signals=3) == 1
    assert ran(cluster) == [(0, 1, None)]


def test_a_stop_that_nobody_carries_out_is_an_error():
    with LocalCluster(retry=36_000) as cluster:
        cluster.takes(NOTE, 10)
        async_task(NOTE, "a")
        cluster.advance(1)
        cluster.pause("worker")

        with pytest.raises(ClusterError, match=r"not stopped in a day\n  1 tasks in the hands"):
            cluster.stop()


# Brokers of others.


class Plain(MemoryBroker):
    """Does not say when something comes, and gives one package at a time."""

    next_available = property()

    def __init__(self, list_key, clock):
        super().__init__(list_key, clock=clock, retry_seconds=30)
        self.looks = 0

    def dequeue(self):
        self.looks += 1
        return super().dequeue(1)


class Broken(MemoryBroker):
    def acknowledge_many(self, ids):
        raise ZeroDivisionError("a mistake in here")


def test_a_broker_that_says_nothing_of_the_future_is_polled():
    clock = ManualClock()
    with LocalCluster(clock, broker=lambda key: Plain(key, clock), poll=0.5) as cluster:
        plain = cluster.broker.inner
        cluster.drop_next("acknowledge")
        ids = [async_task(NOTE, number) for number in range(5)]
        cluster.advance(10)
        assert 20 <= plain.looks - 7 <= 23
        cluster.run_until_idle()

        assert [result(id) for id in ids] == list(range(5))


def test_hundreds_of_packages_may_come_one_by_one():
    clock = ManualClock()
    with LocalCluster(clock, broker=lambda key: Plain(key, clock)) as cluster:
        cluster.takes(NOTE, 0.0001)
        for number in range(1_000):
            async_task(NOTE, number)
        cluster.run_until_idle()

        assert len(cluster.runs) == 1_000


def test_a_component_that_crashes_is_an_error_of_the_test(cluster):
    with LocalCluster(broker=Broken("x", clock=cluster.clock)) as broken:
        async_task(NOTE, "a")

        with pytest.raises(
            ClusterError, match=r"monitor crashed:[\s\S]*ZeroDivisionError"
        ) as error:
            broken.run_until_idle()
    assert "The last that happened:" in str(error.value)


def test_tasks_that_make_tasks_for_ever_are_found_out(cluster):
    cluster._stage.steps_max = 2_000
    async_task(samples.again)

    with pytest.raises(ClusterError, match="no time has passed: tasks make tasks for ever"):
        cluster.run_until_idle()


def test_at_most_once_loses_what_a_dead_worker_held():
    clock = ManualClock()
    broker = MemoryBroker("mine", clock=clock, receipts=False)
    with LocalCluster(clock, broker=broker) as cluster:
        cluster.takes(NOTE, 10)
        id = async_task(NOTE, "a")
        cluster.advance(5)
        cluster.kill("worker")
        cluster.run_until_idle()

        assert result(id).startswith("WorkerDied: worker died: signal 9")


def test_what_is_no_number_is_no_time_to_be_away(cluster):
    for fault in (cluster.broker_down, cluster.store_down, partial(cluster.pause, "monitor")):
        with pytest.raises(ValueError, match="must be 0 or more"):
            fault(float("nan"))
