"""Redis in memory: djq's own adapters on fakeredis, with leases that go by the test's clock.

fakeredis tells the real time, so the adapter is given the clock instead of asking the server, and nothing
waits at the server for a package. What a test cluster needs besides, to leap over empty time, is
`next_available`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fakeredis import FakeRedis, FakeServer

from djq.brokers.redis import EPOCH, MICROSECOND, RedisBroker
from djq.brokers.redis_leases import LeasingRedisBroker
from djq.core.config import Config
from djq.ports import Broker, Clock

__all__ = ["FakeLeasingRedisBroker", "FakeRedisBroker", "broker_maker", "fake_redis", "make_fake"]


def fake_redis() -> Callable[[], Any]:
    """Start a server in memory: give what connects to it."""
    server = FakeServer()
    return lambda: FakeRedis(server=server)


class FakeRedisBroker(RedisBroker):
    """The broker without receipts."""

    def next_available(self) -> datetime | None:
        """When the next package comes; in the past: it is here. None: there is none."""
        with self._served() as client:
            if client.llen(self._key):
                return EPOCH
            first = client.zrange(self._keys[1], 0, 0, withscores=True)
        return EPOCH + int(first[0][1]) * MICROSECOND if first else None


class FakeLeasingRedisBroker(LeasingRedisBroker):
    """The broker with receipts."""

    def next_available(self) -> datetime | None:
        """When the next package comes; in the past: it is here. None: there is none."""
        with self._served() as client:
            first = client.zrange(self._keys[0], 0, 0, withscores=True)
        return EPOCH + int(first[0][1]) * MICROSECOND if first else None


def broker_maker(name: str) -> Callable[[Config, str, Clock], Broker]:
    """Start a server in memory: give what makes the brokers of its queues, "redis" or "redis-receipts"."""
    connect = fake_redis()
    receipts = name == "redis-receipts"

    def make(config: Config, list_key: str, clock: Clock) -> Broker:
        around: dict[str, Any] = {"clock": clock, "retry_seconds": config.retry}
        return make_fake(list_key, connect=connect, receipts=receipts, **around)

    return make


def make_fake(
    list_key: str,
    *,
    connect: Callable[[], Any],
    clock: Clock,
    retry_seconds: float,
    receipts: bool,
) -> Broker:
    """Make a broker that keeps the test's clock."""
    if receipts:
        return FakeLeasingRedisBroker(
            list_key,
            connect=connect,
            clock=clock,
            retry_seconds=retry_seconds,
            wait_seconds=0,
        )
    return FakeRedisBroker(list_key, connect=connect, clock=clock, wait_seconds=0)
