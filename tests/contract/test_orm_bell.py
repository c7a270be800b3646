"""The broker contract on PostgreSQL with its bell, and random histories there."""

from __future__ import annotations

import pytest

from djq.brokers.orm import OrmBroker
from djq.brokers.orm_bell import Bell
from djq_testing.contract.agreement import BrokerAgreement
from djq_testing.contract.broker import BrokerContract


class TestOrmBrokerWithABell(BrokerContract):
    @pytest.fixture
    def make_broker(self, clock, postgres):
        made = []

        def make(key):
            # It listens and hears, and waits for nothing: the time is the test's.
            bell = Bell(postgres, key, clock=clock, wait_seconds=0)
            around = {"clock": clock, "retry_seconds": self.retry_seconds}
            made.append(OrmBroker(key, alias=postgres, bell=bell, **around))
            return made[-1]

        yield make
        for broker in made:
            broker.close()


class TestOrmBrokerWithABellAgrees(BrokerAgreement):
    examples = 10

    @pytest.fixture(autouse=True)
    def _server(self, postgres):
        self.alias = postgres
        self.made = []
        yield
        for broker in self.made:
            broker.close()

    def make_broker(self, clock):
        for broker in self.made:
            broker.close()
        bell = Bell(self.alias, "agreement", clock=clock, wait_seconds=0)
        around = {"clock": clock, "retry_seconds": self.retry_seconds}
        broker = OrmBroker("agreement", alias=self.alias, bell=bell, **around)
        broker.purge_queue()
        self.made = [broker]
        return broker
