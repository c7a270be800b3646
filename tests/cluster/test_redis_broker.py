"""Real clusters on a real Redis: what receipts are for, and what goes well without them."""

from __future__ import annotations

import os
import signal

import pytest
from redis.connection import parse_url

from djq.brokers import get_broker
from djq.models import Task
from djq.tasks import async_task
from tests.caches import REDIS_URL
from tests.cluster import tasks
from tests.cluster.harness import wait_until
from tests.cluster.proxy import Proxy

TASKS = 200
CUT_TASKS = 400
BULK = 10
AWAY = "the broker does not answer"


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


def test_without_receipts_a_stop_loses_nothing(make_redis_project):
    project = make_redis_project(receipts=False)
    first = project.start()
    for number in range(TASKS):
        async_task(tasks.note, project.file("runs"), number, 0.002)
        if number == TASKS // 2:
            first.signal(signal.SIGTERM)

    assert first.wait_for_exit(10) == 0
    done = Task.objects.count()
    assert 0 < done < TASKS
    assert done + left() == TASKS, "what was fetched was worked off"
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


@pytest.fixture
def proxy():
    """A way to the Redis of the tests that the test can cut."""
    server = parse_url(REDIS_URL)
    proxy = Proxy(server["host"], server["port"])
    yield proxy
    proxy.close()


@pytest.mark.parametrize("receipts", [False, True], ids=["list", "receipts"])
def test_cut_connections_cost_nothing_with_receipts_and_what_was_under_way_without(
    make_project, redis_name, proxy, receipts
):
    database = parse_url(REDIS_URL).get("db", 0)
    project = make_project(
        orm=None,
        workers=2,
        retry=1,
        bulk=BULK,
        queue_limit=BULK,
        redis={
            "url": f"redis://127.0.0.1:{proxy.port}/{database}?socket_timeout=0.5",
            "receipts": receipts,
        },
    )
    for number in range(CUT_TASKS):
        async_task(tasks.note, project.file("runs"), number, 0.002)
    cluster = project.start()

    for count, how in enumerate(("drop", "stall", "truncate"), start=1):
        project.wait_for_outcomes(count * CUT_TASKS // 5, 10)
        told = cluster.log.count(AWAY)
        proxy.cut(how)
        cluster.wait_for_line(AWAY, 5, count=told + 1)
        proxy.mend()
    wait_until(lambda: left() == 0, 15, "an empty queue", cluster.tail)

    assert cluster.stop() == 0
    missing = CUT_TASKS - Task.objects.filter(success=True).count()
    assert missing == 0 if receipts else missing <= 3 * BULK
    assert len(set(numbers(project))) == CUT_TASKS - missing
    get_broker().delete_queue()
    get_broker().close()
