"""Each broker and its twin in memory answer alike, whatever is asked of them in whatever order."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from djq.brokers import orm_claim
from djq.brokers.orm import OrmBroker
from djq.models import IterElement, Progress, Schedule, Task
from djq.results.database import DatabaseStore
from djq_testing.contract.agreement import BrokerAgreement
from djq_testing.contract.schedule_agreement import ScheduleStoreAgreement
from djq_testing.contract.store_agreement import ResultStoreAgreement
from djq_testing.fakes.redis import fake_redis, make_fake
from djq_testing.memory import KINDS, MemoryBroker
from tests.brokers.redis_parts import on_redis
from tests.contract.test_brokers import Plain
from tests.contract.test_schedule_stores import KeptInDatabase


class OrmAgreement(BrokerAgreement):
    claim = None
    alias = "default"

    def make_broker(self, clock):
        broker = OrmBroker(
            "agreement",
            alias=self.alias,
            clock=clock,
            retry_seconds=self.retry_seconds,
            claim=type(self).claim,
        )
        broker.purge_queue()
        return broker


@pytest.mark.django_db
class TestOrmBroker(OrmAgreement):
    pass


@pytest.mark.django_db
class TestOrmBrokerRowByRow(OrmAgreement):
    claim = staticmethod(orm_claim.claim_row_by_row)
    examples = 15


class TestOrmBrokerOnServers(OrmAgreement):
    examples = 10

    @pytest.fixture(autouse=True)
    def _server(self, server_database):
        self.alias = server_database
        if server_database == "mariadb":
            # It gives no tracking ids for what is sent together.
            self.without = ("Delete",)


class RedisAgreement(BrokerAgreement):
    receipts = True

    def make_broker(self, clock):
        return make_fake(
            "agreement",
            connect=fake_redis(),
            clock=clock,
            retry_seconds=self.retry_seconds,
            receipts=self.receipts,
        )


class TestLeasingRedisBroker(RedisAgreement):
    switches = KINDS["redis-receipts"]
    examples = 20


class TestRedisBroker(RedisAgreement):
    receipts = False
    switches = KINDS["redis"]
    without = ("Delete",)
    examples = 10


class TestLeasingRedisBrokerOnARealServer(BrokerAgreement):
    switches = KINDS["redis-receipts"]
    examples = 20

    @pytest.fixture(autouse=True)
    def _name(self, redis_name):
        self.name = redis_name

    def make_broker(self, clock):
        broker = on_redis("leases", self.name, clock=clock, retry_seconds=self.retry_seconds)
        broker.delete_queue()
        return broker


class TestRedisBrokerOnARealServer(TestLeasingRedisBrokerOnARealServer):
    switches = KINDS["redis"]
    without = ("Delete",)
    examples = 10

    def make_broker(self, clock):
        broker = on_redis("list", self.name, clock=clock)
        broker.delete_queue()
        return broker


class TestNewReceiptsAreAsGoodAsTheOldOnes(BrokerAgreement):
    examples = 30

    def make_broker(self, clock):
        return MemoryBroker(clock=clock, retry_seconds=self.retry_seconds, new_receipts=True)


class TestBrokerAsInTheManual(BrokerAgreement):
    """It has no limit, and takes one at a time."""

    examples = 10
    switches = MappingProxyType({"bulk_limit": 1, "counts": False})

    def make_broker(self, clock):
        return Plain(clock=clock, retry_seconds=self.retry_seconds)


@pytest.mark.parametrize("kind", ["redis-receipts", "mongo", "orm"])
class TestKindsOfOneDescription(BrokerAgreement):
    """What differs between them is not seen in portions of one."""

    examples = 10
    switches = MappingProxyType({"bulk_limit": 1})

    @pytest.fixture(autouse=True)
    def _kind(self, kind):
        self.kind = kind

    def make_broker(self, clock):
        return MemoryBroker.like(
            self.kind, clock=clock, retry_seconds=self.retry_seconds, bulk_limit=1
        )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_described_by_switches_that_there_are(kind, djq_clock):
    broker = MemoryBroker.like(kind, "reports", clock=djq_clock, retry_seconds=5)

    assert broker.list_key == "reports"
    assert all(getattr(broker, name, value) == value for name, value in KINDS[kind].items())


def test_no_other_kind_is_made(djq_clock):
    with pytest.raises(ValueError, match="'kafka' is no kind of broker; there are redis, "):
        MemoryBroker.like("kafka", clock=djq_clock)


class StoreAgreement(ResultStoreAgreement):
    alias = "default"

    def make_store(self, save_limit):
        for model in (Task, IterElement, Progress):
            model.objects.using(self.alias).all().delete()
        return DatabaseStore(alias=self.alias, save_limit=save_limit)


@pytest.mark.django_db
class TestDatabaseStore(StoreAgreement):
    pass


class TestDatabaseStoreOnServers(StoreAgreement):
    examples = 10

    @pytest.fixture(autouse=True)
    def _server(self, server_database):
        self.alias = server_database


class ScheduleAgreement(ScheduleStoreAgreement):
    alias = "default"

    def make_kept(self, clock):
        Schedule.objects.using(self.alias).all().delete()
        return KeptInDatabase(self.alias, clock)


@pytest.mark.django_db
class TestDatabaseScheduleStore(ScheduleAgreement):
    pass


class TestDatabaseScheduleStoreOnServers(ScheduleAgreement):
    examples = 10

    @pytest.fixture(autouse=True)
    def _server(self, server_database):
        self.alias = server_database
