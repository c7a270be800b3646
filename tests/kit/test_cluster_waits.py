"""Who waits for a result of the cluster in process lets it play, and looks when something has happened."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync

from djq.tasks import aenqueue, aresult, async_task, fetch, result
from djq.tasks.reading import make_waiter
from djq_testing.cluster import ClusterError, LocalCluster
from tests.kit import local_samples as samples
from tests.kit.local_samples import note


class Looks:
    """Looks for a result, and remembers when."""

    def __init__(self, cluster, task_id):
        self._clock, self._task_id, self.moments = cluster.clock, task_id, []

    def __call__(self):
        self.moments.append(self._clock.monotonic())
        return result(self._task_id)


def test_a_long_task_is_waited_for_with_few_looks_and_not_for_longer(cluster):
    cluster.takes(note, seconds=3_600)
    looks = Looks(cluster, async_task(note, "a"))

    assert make_waiter().wait(looks, -1) == "a"
    assert cluster.clock.monotonic() == 3_600
    # Meanwhile its lease is renewed, three times a minute.
    assert len(looks.moments) < 200


def test_a_wait_in_vain_ends_when_it_has_to(cluster):
    looks = Looks(cluster, "nobody")

    assert make_waiter().wait(looks, 86_400_000) is None
    assert looks.moments[-1] == 86_400
    assert len(looks.moments) < 6


def test_a_schedule_is_waited_for(cluster):
    cluster.schedule("tests.kit.local_samples.note", "a", schedule_type="D", group="daily")
    cluster.run_until_idle()

    make_waiter().wait(lambda: cluster.runs[1:] or None, -1)

    assert cluster.clock.monotonic() == 86_400


def test_a_wait_that_nothing_ends_any_more_is_refused(cluster):
    with pytest.raises(ClusterError, match="waits for ever: nothing will happen any more"):
        result("nobody", wait=-1)

    cluster.kill("cluster")
    task_id = async_task(note, "a")

    with pytest.raises(ClusterError, match=r"waits for ever.*\n  1 tasks in the queue"):
        result(task_id, wait=-1)


def test_what_a_paused_process_left_is_no_thing_that_happens(cluster):
    cluster.pause("pusher")
    task_id = async_task(note, "a")

    with pytest.raises(ClusterError, match="waits for ever"):
        result(task_id, wait=-1)


def test_a_task_that_waits_without_an_end_fails(cluster):
    samples.acts["wait"] = lambda: result(async_task(note, "b"), wait=-1)
    task_id = async_task(samples.act, "wait")
    cluster.run_until_idle()

    assert fetch(task_id).result.startswith(
        "RuntimeError: a task of this cluster cannot wait without"
    )


def test_a_cluster_that_stands_on_the_same_clock_gives_it_back(cluster):
    with LocalCluster(cluster.clock, seed=1) as other:
        assert result(async_task(note, "a"), wait=1_000) == "a"
    assert result(async_task(note, "b"), wait=1_000) == "b"
    assert (len(other.runs), len(cluster.runs)) == (1, 1)


@async_to_sync
async def send_and_wait():
    return await aresult(await aenqueue(note, "a"), wait=-1)


def test_a_coroutine_may_wait_without_an_end(cluster):
    cluster.takes(note, seconds=2)

    assert send_and_wait() == "a"
    assert 2 <= cluster.clock.monotonic() < 2.05
