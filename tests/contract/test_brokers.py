"""The broker contract, filled in for the twin in memory and for every database."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from djq.brokers import orm_claim
from djq.brokers.orm import OrmBroker
from djq_testing.contract.broker import BrokerContract
from djq_testing.fakes.redis import fake_redis, make_fake
from djq_testing.memory import KINDS, MemoryBroker
from tests.brokers.redis_parts import on_redis


class MemoryContract(BrokerContract):
    """Brokers that share one queue a name, as clusters share a server."""

    switches = MappingProxyType({})

    @pytest.fixture
    def make_broker(self, clock):
        brokers = {}

        def make(key):
            switches = {"clock": clock, "retry_seconds": self.retry_seconds, **self.switches}
            return brokers.setdefault(key, MemoryBroker(key, **switches))

        twin = make("flags")
        self.ordered, self.counts, self.uncounts = twin.ordered, twin.counts, twin.uncounts
        self.receipt_is_void, self.by_age = twin.receipt_is_void, twin.by_age
        self.without = () if twin.ordered else ("peek",)
        return make


@pytest.mark.parametrize("kind", KINDS)
class TestMemoryBroker(MemoryContract):
    @pytest.fixture(autouse=True)
    def _kind(self, kind):
        self.switches = KINDS[kind]


class TestMemoryBrokerThatDoesNotCount(MemoryContract):
    switches = MappingProxyType({"counts": False})


class Plain(MemoryBroker):
    """As the manual has it: no limit, and plain pairs."""

    def dequeue(self):
        return [tuple(received) for received in super().dequeue()]


@pytest.mark.parametrize("receipts", [False, True])
class TestBrokerAsInTheManual(BrokerContract):
    counts = False

    @pytest.fixture
    def make_broker(self, clock, receipts):
        brokers = {}
        around = {"clock": clock, "retry_seconds": self.retry_seconds, "receipts": receipts}
        return lambda key: brokers.setdefault(key, Plain(key, **around))


class OrmContract(BrokerContract):
    claim = None

    @pytest.fixture
    def make_broker(self, clock, live_database):
        return lambda key: OrmBroker(
            key, alias=live_database, clock=clock, retry_seconds=60.0, claim=type(self).claim
        )


class TestOrmBroker(OrmContract):
    pass


class TestOrmBrokerRowByRow(OrmContract):
    """The way of databases that cannot skip locked rows: any database can go it."""

    claim = staticmethod(orm_claim.claim_row_by_row)


class TestOrmBrokerSkippingLockedRows(OrmContract):
    """The way of MariaDB, on PostgreSQL too."""

    claim = staticmethod(orm_claim.claim_by_skip_locked)

    @pytest.fixture
    def live_database(self, server_database):
        return server_database


class TestOrmBrokerWithoutTimeZones(OrmContract):
    @pytest.fixture(autouse=True)
    def _naive(self, settings):
        settings.USE_TZ = False
        settings.TIME_ZONE = "America/New_York"


class TestOrmBrokerInTheCallersTransaction(OrmContract):
    @pytest.fixture
    def make_broker(self, clock, database):
        return lambda key: OrmBroker(key, alias=database, clock=clock, retry_seconds=60.0)

    def test_connects_anew_after_a_close(self):
        """Asked of the others: a transaction ends with its connection."""


class FakeRedisContract(BrokerContract):
    """djq's adapters, on a Redis in memory."""

    @pytest.fixture
    def make_broker(self, clock):
        options = {
            "connect": fake_redis(),
            "clock": clock,
            "retry_seconds": self.retry_seconds,
            "receipts": type(self).receipts,
        }
        return lambda key: make_fake(key, **options)


class TestRedisBroker(FakeRedisContract):
    receipts = False
    without = ("delete",)


class TestLeasingRedisBroker(FakeRedisContract):
    receipts = True


class TestRedisBrokerOnARealServer(BrokerContract):
    without = ("delete",)

    @pytest.fixture
    def make_broker(self, redis_name, clock):
        return lambda key: on_redis("list", f"{redis_name}-{key}", clock=clock)


class TestRedisBrokerOnAnOldServer(TestRedisBrokerOnARealServer):
    """One without LMPOP, as Redis 6."""

    @pytest.fixture
    def make_broker(self, redis_name, clock):
        def make(key):
            broker = on_redis("list", f"{redis_name}-{key}", clock=clock)
            broker._waits_for_many = False
            return broker

        return make


class TestLeasingRedisBrokerOnARealServer(BrokerContract):
    @pytest.fixture
    def make_broker(self, redis_name, clock):
        around = {"clock": clock, "retry_seconds": self.retry_seconds}
        return lambda key: on_redis("leases", f"{redis_name}-{key}", **around)
