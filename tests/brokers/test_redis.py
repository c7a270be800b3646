"""What the brokers in Redis do beyond the contract: servers of any age, what they leave behind, processes."""

from __future__ import annotations

import multiprocessing
import pickle
import time

import pytest
import redis
from fakeredis import FakeRedis, FakeServer

from djq.brokers.redis import RedisBroker
from djq.brokers.redis_client import read_server
from djq.brokers.redis_leases import LeasingRedisBroker
from djq.exceptions import BrokerUnavailable
from tests.brokers.redis_parts import BROKERS, KINDS, on_redis, packages
from tests.caches import REDIS_URL

SOON_SECONDS = 2.0


@pytest.fixture
def server():
    with redis.Redis.from_url(REDIS_URL) as client:
        yield client


# Servers of other ages.


@pytest.mark.parametrize("version", [(6,), (7,), (8,)])
@pytest.mark.parametrize("kind", KINDS)
def test_server_of_any_age_gives_many_at_once(kind, version):
    fake = FakeServer(version=version)
    options = {"retry_seconds": 60.0} if kind == "leases" else {}
    broker = BROKERS[kind]("q", connect=lambda: FakeRedis(server=fake), **options)

    broker.enqueue_many(["a", "b", "c"])

    assert packages(broker.dequeue(2)) == ["a", "b"]
    assert packages(broker.dequeue(2)) == ["c"]


@pytest.mark.parametrize(
    "refusal",
    [
        redis.ResponseError("unknown command `BLMPOP`, with args beginning with: "),
        # In a Redis Cluster, where redis-py looks the command up before it sends it.
        redis.RedisError("BLMPOP command doesn't exist in Redis commands"),
    ],
    ids=["server", "cluster"],
)
def test_server_that_does_not_know_a_command_is_asked_once_for_it(refusal):
    asked = []

    class Old(FakeRedis):
        def execute_command(self, *args, **options):
            asked.append(args[0])
            if args[0] == "BLMPOP":
                raise refusal
            return super().execute_command(*args, **options)

    broker = RedisBroker("q", connect=Old, wait_seconds=0.01)
    broker.enqueue_many(["a", "b"])

    assert packages(broker.dequeue(1)) == ["a"]
    assert packages(broker.dequeue(5)) == ["b"]
    assert broker.dequeue() == []
    assert asked.count("BLMPOP") == 1


# What is left, and whose receipts are good.


def test_nothing_is_left_of_what_was_acknowledged(redis_name, server):
    broker = on_redis("leases", redis_name)
    broker.enqueue_many(["a", "b", "c"])
    broker.release_many([receipt for receipt, _ in broker.dequeue(2)], begun=False)
    broker.acknowledge_many([receipt for receipt, _ in broker.dequeue(5)])
    broker.dequeue()

    last = f"djq:{{{redis_name}}}:last"
    assert server.keys(f"*{redis_name}*") == [last.encode()]
    assert 0 < server.ttl(last) <= 86_400


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_queue_that_was_deleted(redis_name, server, kind):
    broker = on_redis(kind, redis_name)
    broker.enqueue_many(["a", "b"])
    broker.dequeue()

    broker.delete_queue()

    assert server.keys(f"*{redis_name}*") == []


def test_receipt_from_before_the_server_lost_its_memory_is_void(redis_name):
    broker = on_redis("leases", redis_name)
    broker.enqueue("old")
    ((late, _),) = broker.dequeue()
    broker.delete_queue()
    broker.enqueue("new")
    broker.dequeue()

    broker.acknowledge(late)

    assert broker.lock_size() == 1


@pytest.mark.parametrize("receipt", ["", "x", "1:1", "1:1:1", ":", "ü:1", "9" * 400 + ":1"])
def test_receipt_of_another_broker_stands_for_nothing(redis_name, receipt):
    broker = on_redis("leases", redis_name)
    broker.enqueue("a")
    broker.dequeue()

    for word in (broker.acknowledge, broker.extend, broker.release, broker.fail, broker.delete):
        word(receipt)

    assert (broker.queue_size(), broker.lock_size()) == (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_package_is_found_whatever_the_queue_is_called(redis_name, kind):
    broker = on_redis(kind, redis_name + "} {ü*")

    broker.enqueue("x")

    assert packages(broker.dequeue()) == ["x"]


@pytest.mark.parametrize("kind", KINDS)
def test_client_that_decodes_answers_is_as_good(redis_name, kind):
    options = {"retry_seconds": 60.0} if kind == "leases" else {}
    cache_s = redis.Redis.from_url(REDIS_URL, decode_responses=True)  # as django-redis may have it
    broker = BROKERS[kind](redis_name, connect=lambda: cache_s, wait_seconds=0, **options)

    (tracking,) = broker.enqueue_many(["ü"])
    ((receipt, package),) = broker.dequeue()

    assert package == "ü"
    assert (tracking is None, receipt is None) == ((kind == "list"),) * 2
    broker.close()


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_bytes_cost_no_package_beside_them(redis_name, server, kind):
    broker = on_redis(kind, redis_name, url=f"{REDIS_URL}?decode_responses=true")
    broker.enqueue_many(["a", "b"])
    if kind == "list":
        server.rpush(f"djq:{redis_name}:q", b"\xff")
    else:
        first = min(server.hkeys(f"djq:{{{redis_name}}}:packages"))
        server.hset(f"djq:{{{redis_name}}}:packages", first, b"\xff")

    taken = [package for _, package in broker.dequeue(5)]

    assert taken == ([b"a", b"b", b"\xff"] if kind == "list" else [b"\xff", b"b"])


def test_what_is_held_back_stays_when_the_list_cannot_be_read(redis_name, server):
    broker = on_redis("list", redis_name)
    broker.enqueue_later(["x"], 0)
    server.set(f"djq:{redis_name}:q", "text")

    with pytest.raises(BrokerUnavailable, match="WRONGTYPE"):
        broker.dequeue(5)

    server.delete(f"djq:{redis_name}:q")
    assert packages(broker.dequeue(5)) == ["x"]


def test_same_package_is_held_back_twice_though_the_last_number_was_forgotten(redis_name, server):
    broker = on_redis("list", redis_name)
    broker.enqueue_later(["same"], 1_000)
    server.delete(f"{{djq:{redis_name}:q}}:number")
    broker.enqueue_later(["same"], 2_000)

    assert server.zcard(f"{{djq:{redis_name}:q}}:later") == 2


# Processes.


@pytest.mark.parametrize("kind", KINDS)
def test_broker_can_be_pickled(redis_name, kind):
    broker = on_redis(kind, redis_name)
    broker.enqueue("x")

    assert packages(pickle.loads(pickle.dumps(broker)).dequeue()) == ["x"]


def send_after_fork(broker, number):
    broker.close()
    broker.enqueue_many([str(number)] * 50)


@pytest.mark.parametrize("kind", KINDS)
def test_broker_is_usable_on_both_sides_of_a_fork(redis_name, kind):
    broker = on_redis(kind, redis_name)
    broker.enqueue("parent")
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=send_after_fork, args=(broker, number)) for number in range(2)]
    for child in children:
        child.start()
    broker.enqueue_many(["parent"] * 49)
    for child in children:
        child.join(SOON_SECONDS * 5)

    taken = packages(broker.dequeue(1_000))

    assert [child.exitcode for child in children] == [0, 0]
    assert sorted(taken) == ["0"] * 50 + ["1"] * 50 + ["parent"] * 50


def test_server_tells_its_version(redis_name, server):
    told = on_redis("list", redis_name).info()

    assert told.partition(" ")[0] in {"Redis", "Valkey"}
    assert server.info("server")["redis_version"] in told or told.startswith("Valkey")


def test_leases_follow_the_server_and_not_this_host(redis_name):
    server = read_server(REDIS_URL)
    broker = LeasingRedisBroker(redis_name, connect=server, retry_seconds=60.0, wait_seconds=0)
    before = int(time.time())

    (id,) = broker.enqueue_many(["x"])

    # On one machine it is the same clock; an id tells when the server took the package.
    assert before - 3_600 < int(id) // 1_000_000 < before + 3_600
