"""The brokers and the board in Redis where it is no single open server: a Redis Cluster, a Sentinel, TLS."""

from __future__ import annotations

import pytest

from djq.boards.redis import RedisBoard
from djq.brokers.redis_client import read_server
from djq.exceptions import BrokerUnavailable
from tests.brokers.redis_parts import KINDS, on_redis, packages
from tests.redis_servers import TOPOLOGIES

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module", params=TOPOLOGIES)
def url(request, tmp_path_factory):
    """The address of each of these in turn, as the settings may have it."""
    with TOPOLOGIES[request.param](tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture
def broker(url, kind):
    broker = on_redis(kind, "a queue", url=url, wait_seconds=1)
    broker.delete_queue()
    yield broker
    broker.close()


@pytest.mark.parametrize("kind", KINDS)
def test_packages_are_sent_taken_and_acknowledged(broker, kind):
    broker.enqueue("a")
    broker.enqueue_many([str(number) for number in range(700)])
    sizes = [broker.queue_size()]

    taken = broker.dequeue(5)
    broker.acknowledge_many([receipt for receipt, _ in taken[:3]])
    broker.acknowledge(taken[3][0])
    held = broker.lock_size()
    if kind == "leases":
        broker.extend(taken[4][0])
        broker.release(taken[4][0])
    sizes.append(broker.queue_size())

    assert packages(taken) == ["a", "0", "1", "2", "3"]
    assert (held, sizes) == ((1, [701, 697]) if kind == "leases" else (None, [701, 696]))
    assert packages(broker.dequeue()) == (["3"] if kind == "leases" else ["4"])
    assert broker.ping()
    assert broker.info().split()[0] in {"Redis", "Valkey"}


@pytest.mark.parametrize("kind", KINDS)
def test_package_that_is_held_back_comes_to_who_waits_for_it(broker):
    broker.enqueue_later(["later"], 0.05)
    size = broker.queue_size()

    assert size == 0
    assert packages(broker.dequeue(5)) == ["later"]


def test_statistics_are_put_up_and_read(url):
    board = RedisBoard("a queue", connect=read_server(url))
    board.put("host:1", "first", 60)
    board.put("host:2", "second", 60)

    assert sorted(board.read()) == ["first", "second"]
    board.close()


@pytest.mark.parametrize("kind", KINDS)
def test_server_that_nobody_vouches_for_is_refused(tmp_path, kind):
    with TOPOLOGIES["over TLS"](tmp_path) as url:
        trusting, _, _ = url.partition("?")

        with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
            on_redis(kind, "q", url=trusting).enqueue("x")
