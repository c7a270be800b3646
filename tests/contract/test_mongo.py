"""The broker in MongoDB: the contract and the agreement, in memory and on servers of the protocol.

mongomock is not atomic, so what two clusters do to each other is told by the servers alone.
"""

from __future__ import annotations

import pytest

from djq_testing.contract.agreement import BrokerAgreement
from djq_testing.contract.broker import BrokerContract
from djq_testing.fakes.mongo import fake_mongo, make_fake
from djq_testing.memory import KINDS
from tests.brokers.mongo_parts import mongo_brokers
from tests.mongo_servers import KINDS as SERVERS


class TestMongoBrokerInMemory(BrokerContract):
    @pytest.fixture
    def make_broker(self, clock):
        around = {"connect": fake_mongo(), "clock": clock, "retry_seconds": self.retry_seconds}
        return lambda key: make_fake(key, **around)


@pytest.mark.servers
@pytest.mark.thorough
@pytest.mark.parametrize("kind", SERVERS)
class TestMongoBrokerOnServers(BrokerContract):
    @pytest.fixture
    def make_broker(self, mongo_port, kind, clock):
        with mongo_brokers(mongo_port(kind), clock=clock, retry_seconds=self.retry_seconds) as make:
            yield make


class TestMongoBrokerInMemoryAgrees(BrokerAgreement):
    examples = 15
    switches = KINDS["mongo"]

    def make_broker(self, clock):
        around = {"clock": clock, "retry_seconds": self.retry_seconds}
        return make_fake("agreement", connect=fake_mongo(), **around)


@pytest.mark.servers
@pytest.mark.thorough
class TestMongoBrokerOnAServerAgrees(BrokerAgreement):
    examples = 5
    switches = KINDS["mongo"]

    @pytest.fixture(autouse=True)
    def _server(self, mongo_port):
        with mongo_brokers(mongo_port("nx-27017"), retry_seconds=self.retry_seconds) as make:
            self.broker = make()
            yield

    def make_broker(self, clock):
        self.broker.purge_queue()
        self.broker._clock = clock
        return self.broker
