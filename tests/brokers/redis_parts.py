"""What the tests of the brokers in Redis share."""

from __future__ import annotations

from djq.brokers.redis import RedisBroker
from djq.brokers.redis_client import read_server
from djq.brokers.redis_leases import LeasingRedisBroker
from tests.caches import REDIS_URL

BROKERS = {"list": RedisBroker, "leases": LeasingRedisBroker}
KINDS = list(BROKERS)
AWAY = "redis://:hunter2@127.0.0.1:1/0"


def on_redis(kind, key, *, url=REDIS_URL, wait_seconds=0.0, **options):
    """A broker on a real server; `key` begins with the prefix of the test."""
    if kind == "leases":
        options = {"retry_seconds": 60.0, **options}
    return BROKERS[kind](key, connect=read_server(url), wait_seconds=wait_seconds, **options)


def packages(taken):
    return [package.decode() for _, package in taken]
