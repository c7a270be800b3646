"""The broker contract on PostgreSQL with its bell."""

from __future__ import annotations

import pytest

from djq.brokers.orm import OrmBroker
from djq.brokers.orm_bell import Bell
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
