"""MongoDB in memory: djq's own adapter on mongomock, with leases that go by the test's clock.

mongomock is not atomic: it shows what the adapter does, not that two clusters keep apart. What a test cluster
needs besides, to leap over empty time, is `next_available`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from mongomock import MongoClient

from djq.brokers.mongo import ORDER, MongoBroker
from djq.core.config import Config
from djq.ports import Broker, Clock

__all__ = ["FakeMongoBroker", "broker_maker", "fake_mongo", "make_fake"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fake_mongo(
    count: Callable[[str], object] | None = None, database: Any = None
) -> Callable[[], Any]:
    """Start a server in memory: give what connects to its one database.

    Args:
        count: Is told the name of each call that would be a round trip.
        database: The database of a server that runs already.
    """
    database = MongoClient().get_database("djq") if database is None else database
    server = _Server(database, count or (lambda _verb: None))
    return lambda: server


class FakeMongoBroker(MongoBroker):
    """The broker, on a server in memory."""

    def next_available(self) -> datetime | None:
        """When the next package comes; in the past: it is here. None: there is none."""
        with self._served() as packages:
            first = packages.find_one({"queue": self.list_key}, sort=ORDER)
        return EPOCH + timedelta(microseconds=first["due"]) if first else None


def broker_maker(_name: str) -> Callable[[Config, str, Clock], Broker]:
    """Start a server in memory: give what makes the brokers of its queues."""
    connect = fake_mongo()

    def make(config: Config, list_key: str, clock: Clock) -> Broker:
        return make_fake(list_key, connect=connect, clock=clock, retry_seconds=config.retry)

    return make


def make_fake(
    list_key: str, *, connect: Callable[[], Any], clock: Clock, retry_seconds: float
) -> FakeMongoBroker:
    """Make a broker that keeps the test's clock."""
    return FakeMongoBroker(list_key, connect=connect, clock=clock, retry_seconds=retry_seconds)


class _Server:
    """A database whose collections tell of each call."""

    def __init__(self, database: Any, count: Callable[[str], object]) -> None:
        self._database = database
        self._count = count
        self.client = database.client

    def __getitem__(self, name: str) -> Any:
        return self._database[name]

    def get_collection(self, name: str, **options: Any) -> Any:
        # mongomock has no text that is none, and refuses to be told what to do about it.
        options["codec_options"] = options["codec_options"].with_options(
            unicode_decode_error_handler="strict"
        )
        collection, count = self._database.get_collection(name, **options), self._count

        class Counted:
            def __getattr__(self, verb: str) -> Any:
                count(verb)
                return getattr(collection, verb)

        return Counted()
