"""Who finds no package in Redis waits at the server, and is woken."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import redis

from tests.brokers.redis_parts import KINDS, on_redis, packages
from tests.caches import REDIS_URL

LONG_SECONDS = 8.0
"""A wait that no test waits for; below twice the client's own patience it would be cut."""
SOON_SECONDS = 2.0


@pytest.fixture
def server():
    with redis.Redis.from_url(REDIS_URL) as client:
        yield client


def patient(kind, name, **options):
    """A broker that waits longer than a test may take."""
    url = f"{REDIS_URL}?socket_timeout={2 * LONG_SECONDS}"
    return on_redis(kind, name, url=url, wait_seconds=LONG_SECONDS, **options)


@contextmanager
def waiting(server, *brokers):
    """Each of them waits in `dequeue` meanwhile; gives what will come."""

    def blocked():
        return sum(client["flags"] == "b" for client in server.client_list())

    before = blocked()
    with ThreadPoolExecutor() as threads:
        coming = [threads.submit(broker.dequeue, 5) for broker in brokers]
        while blocked() < before + len(brokers):
            assert not any(each.done() for each in coming)
        yield coming
    for broker in brokers:
        broker.close()


@pytest.mark.parametrize("kind", KINDS)
def test_package_wakes_who_waits(redis_name, server, kind):
    with waiting(server, patient(kind, redis_name)) as (coming,):
        on_redis(kind, redis_name).enqueue("x")

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


def test_package_wakes_who_waits_at_an_old_server(redis_name, server):
    broker = patient("list", redis_name)
    broker._waits_for_many = False
    with waiting(server, broker) as (coming,):
        on_redis("list", redis_name).enqueue("x")

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


def test_every_cluster_that_waits_is_woken_while_packages_are_left(redis_name, server):
    brokers = [patient("leases", redis_name) for _ in range(2)]
    with waiting(server, *brokers) as coming:
        on_redis("leases", redis_name).enqueue_many([str(number) for number in range(10)])

        taken = [packages(each.result(SOON_SECONDS)) for each in coming]

    assert sorted(map(len, taken)) == [5, 5]


def test_package_that_is_given_back_wakes_who_waits(redis_name, server):
    first = on_redis("leases", redis_name)
    first.enqueue("x")
    ((receipt, _),) = first.dequeue()
    with waiting(server, patient("leases", redis_name)) as (coming,):
        first.release(receipt)

        assert packages(coming.result(SOON_SECONDS)) == ["x"]


def test_lease_that_ends_wakes_who_waits_by_the_server_s_clock(redis_name, server):
    broker = patient("leases", redis_name, retry_seconds=0.3)
    broker.enqueue("x")
    broker.dequeue()
    before = server.time()

    (again,) = broker.dequeue()
    after = server.time()
    broker.close()

    assert again.attempt == 2
    assert 0.2 < (after[0] - before[0]) + (after[1] - before[1]) / 1e6 < SOON_SECONDS


@pytest.mark.parametrize("kind", KINDS)
def test_package_for_later_wakes_who_waits_when_its_time_has_come(redis_name, kind):
    broker = patient(kind, redis_name)
    broker.enqueue_later(["x"], 0.2)

    before = time.monotonic()
    taken = broker.dequeue()
    waited = time.monotonic() - before
    broker.close()

    assert packages(taken) == ["x"]
    assert 0.1 < waited < SOON_SECONDS


@pytest.mark.parametrize("kind", KINDS)
def test_empty_dequeue_ends_before_the_client_takes_the_server_for_dead(redis_name, kind):
    broker = on_redis(kind, redis_name, url=f"{REDIS_URL}?socket_timeout=0.2", wait_seconds=60)

    assert broker.blocks
    assert broker.dequeue() == []


@pytest.mark.parametrize("kind", KINDS)
def test_broker_that_is_not_to_wait_says_so(redis_name, kind):
    broker = on_redis(kind, redis_name, wait_seconds=0)

    assert not broker.blocks
    assert broker.dequeue() == []
