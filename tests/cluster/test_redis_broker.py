"""Real clusters on a real Redis: what receipts are for, and what goes well without them."""

from __future__ import annotations

import os
import signal

import pytest

from djq.brokers import get_broker
from djq.models import Task
from djq.tasks import async_task
from tests.caches import REDIS_URL
from tests.cluster import tasks
from tests.cluster.harness import wait_until

TASKS = 200


@pytest.fixture
def make_redis_project(make_project, redis_name):
    """As `make_project`, with the queue in Redis."""

    def make(*, receipts, **q_cluster):
        redis = {"url": REDIS_URL, "receipts": receipts}
        return make_project(orm=None, redis=redis, workers=2, **q_cluster)

    yield make
    get_broker().delete_queue()
    get_broker().close()


def left():
    """How many packages there are, those that are out included."""
    broker = get_broker()
    return broker.queue_size() + (broker.lock_size() or 0)


def numbers(project):
    return sorted(int(line.split()[0]) for line in project.lines("runs"))


@pytest.mark.parametrize("receipts", [False, True], ids=["list", "receipts"])
def test_every_task_runs_once_though_the_cluster_stops_in_between(make_redis_project, receipts):
    project = make_redis_project(receipts=receipts)
    first = project.start()
    for number in range(TASKS):
        async_task(tasks.note, project.file("runs"), number, 0.002)
        if number == TASKS // 2:
            first.signal(signal.SIGTERM)

    assert first.wait_for_exit(10) == 0
    done = Task.objects.count()
    assert 0 < done < TASKS
    assert done + left() == TASKS, "what was fetched was worked off or given back"
    second = project.start()
    project.wait_for_outcomes(TASKS, 10)
    assert numbers(project) == list(range(TASKS))
    assert Task.objects.filter(success=True, attempts=1).count() == TASKS
    assert second.stop() == 0
    assert left() == 0


def test_with_receipts_what_a_dead_cluster_held_is_run_by_another(make_redis_project):
    project = make_redis_project(receipts=True, retry=1)
    doomed = project.start()
    for number in range(TASKS):
        async_task(tasks.note, project.file("runs"), number, 0.005)
    wait_until(lambda: len(project.lines("runs")) > TASKS / 5, 5, "running tasks", doomed.tail)
    heir = project.start()

    os.killpg(doomed.pid, signal.SIGKILL)
    project.wait_for_outcomes(TASKS, 10)

    assert Task.objects.filter(success=True).count() == TASKS
    assert set(numbers(project)) == set(range(TASKS))
    wait_until(lambda: left() == 0, 5, "an empty queue", heir.tail)
    assert heir.stop() == 0
