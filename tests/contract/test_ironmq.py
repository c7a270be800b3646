"""The broker at IronMQ keeps the contract and agrees with its twin: in memory, and over HTTP."""

from __future__ import annotations

import pytest

from djq.brokers.ironmq import IronMqBroker
from djq.brokers.ironmq_client import read_server
from djq_testing.contract.agreement import BrokerAgreement
from djq_testing.contract.broker import BrokerContract
from djq_testing.fakes.ironmq import IronMqService, make_fake
from djq_testing.fakes.ironmq_server import serve
from djq_testing.memory import KINDS


class IronMqContract(BrokerContract):
    uncounts = False
    receipt_is_void = "when the lease ends"

    @pytest.fixture
    def service(self, clock):
        return IronMqService(clock, lease_seconds_min=30)


class TestIronMqBroker(IronMqContract):
    @pytest.fixture
    def make_broker(self, service):
        return lambda key: make_fake(key, service=service, retry_seconds=self.retry_seconds)


class TestIronMqBrokerOverHttp(IronMqContract):
    @pytest.fixture
    def make_broker(self, service):
        brokers = []

        def make(key):
            around = {"retry_seconds": self.retry_seconds, "wait_seconds": 0}
            brokers.append(IronMqBroker(key, connect=read_server(server.options), **around))
            return brokers[-1]

        with serve(service) as server:
            yield make
            for broker in brokers:
                broker.close()


class TestIronMqBrokerAgrees(BrokerAgreement):
    switches = KINDS["ironmq"]
    examples = 20

    def make_broker(self, clock):
        service = IronMqService(clock)
        return make_fake("agreement", service=service, retry_seconds=self.retry_seconds)
