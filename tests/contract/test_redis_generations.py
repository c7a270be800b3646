"""The brokers in Redis on servers older and newer than the machine's own."""

from __future__ import annotations

from functools import partial

import pytest
import redis

from djq.boards.redis import RedisBoard
from djq.brokers.redis_client import read_server
from djq_testing.contract.broker import BrokerContract
from tests.brokers.redis_parts import KINDS, on_redis, packages
from tests.redis_servers import GENERATIONS

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("generation", GENERATIONS)]


@pytest.fixture
def url(redis_of, generation):
    """The address of a server with nothing in it."""
    address = redis_of(generation)
    with redis.Redis.from_url(address) as client:
        client.flushall()
    return address


class TestRedisBroker(BrokerContract):
    without = ("delete",)

    @pytest.fixture
    def make_broker(self, url, clock):
        return partial(on_redis, "list", url=url, clock=clock)


class TestLeasingRedisBroker(BrokerContract):
    @pytest.fixture
    def make_broker(self, url, clock):
        return partial(on_redis, "leases", url=url, clock=clock, retry_seconds=self.retry_seconds)


@pytest.mark.parametrize("kind", KINDS)
def test_package_is_taken_by_who_waits_at_the_server(url, generation, kind):
    broker = on_redis(kind, f"waiting-{kind}", url=url, wait_seconds=0.01)

    empty = broker.dequeue(5)
    broker.enqueue_many(["a", "b"])

    assert empty == []
    assert packages(broker.dequeue(5)) == ["a", "b"]
    assert broker.info().startswith(generation)
    broker.close()


def test_statistics_are_kept_there(url):
    board = RedisBoard("board", connect=read_server(url))
    board.put("host:1", "text", 60)

    assert board.read() == ["text"]
    board.close()
