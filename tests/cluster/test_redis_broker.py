"""Real clusters on a real Redis: what is promised of every broker, and what goes well without receipts."""

from __future__ import annotations

import signal

import pytest
from redis.connection import parse_url

from djq.brokers import get_broker
from djq.models import Task
from djq.tasks import async_task
from tests.caches import REDIS_URL
from tests.cluster import tasks
from tests.cluster.broker_promises import BrokerPromises, Reach

TASKS = 200
SOCKET_SECONDS = 0.5


class RedisPromises(BrokerPromises):
    @pytest.fixture
    def reach(self, redis_name):
        server = parse_url(REDIS_URL)

        def q_cluster(port):
            url = f"redis://127.0.0.1:{port}/{server.get('db', 0)}?socket_timeout={SOCKET_SECONDS}"
            return {"orm": None, "redis": {"url": url, "receipts": self.receipts}}

        return Reach(server["host"], server["port"], q_cluster)


class TestRedis(RedisPromises):
    receipts = False


class TestRedisWithReceipts(RedisPromises):
    pass


def numbers(project):
    return sorted(int(line.split()[0]) for line in project.lines("runs"))


@pytest.mark.usefixtures("redis_name")
def test_without_receipts_a_stop_loses_nothing(make_project):
    project = make_project(orm=None, redis=REDIS_URL)
    first = project.start()
    for number in range(TASKS):
        async_task(tasks.note, project.file("runs"), number, 0.002)
        if number == TASKS // 2:
            first.signal(signal.SIGTERM)

    assert first.wait_for_exit(10) == 0
    done = Task.objects.count()
    assert 0 < done < TASKS
    assert done + get_broker().queue_size() == TASKS, "what was fetched was worked off"
    second = project.start()
    project.wait_for_outcomes(TASKS, 10)
    assert numbers(project) == list(range(TASKS))
    assert Task.objects.filter(success=True, attempts=1).count() == TASKS
    assert second.stop() == 0
    assert get_broker().queue_size() == 0
    get_broker().close()
