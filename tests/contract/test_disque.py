"""The broker on Disque keeps the contract, and agrees with its twin: in memory, and over TCP."""

from __future__ import annotations

import pytest

from djq.brokers.disque import DisqueBroker
from djq.brokers.disque_client import DisqueNodes
from djq_testing.contract.agreement import BrokerAgreement
from djq_testing.contract.broker import BrokerContract
from djq_testing.fakes.disque import FakeDisque, FakeNodes, make_fake
from djq_testing.fakes.disque_server import serve
from djq_testing.memory import KINDS


class DisqueContract(BrokerContract):
    by_age = True
    uncounts = False
    receipt_is_void = "when given back"


class TestDisqueBroker(DisqueContract):
    @pytest.fixture
    def make_broker(self, clock):
        nodes = FakeNodes(FakeDisque(clock))
        return lambda key: make_fake(key, nodes=nodes, retry_seconds=self.retry_seconds)


class TestDisqueBrokerOverTcp(DisqueContract):
    """The real client of redis-py, on a server of ours."""

    @pytest.fixture
    def make_broker(self, clock):
        made = []

        def make(key):
            nodes = DisqueNodes((("127.0.0.1", server.port),))
            around = {"retry_seconds": self.retry_seconds, "wait_seconds": 0}
            made.append(DisqueBroker(key, nodes=nodes, **around))
            return made[-1]

        with serve(FakeDisque(clock)) as (server,):
            yield make
            for broker in made:
                broker.close()


class TestDisqueBrokerAcknowledgingFast(TestDisqueBroker):
    @pytest.fixture
    def make_broker(self, clock):
        nodes = FakeNodes(FakeDisque(clock))
        around = {"retry_seconds": self.retry_seconds, "wait_seconds": 0}
        return lambda key: DisqueBroker(key, nodes=nodes, fast_acknowledge=True, **around)


class TestDisqueBrokerAgrees(BrokerAgreement):
    switches = KINDS["disque"]
    examples = 20

    def make_broker(self, clock):
        nodes = FakeNodes(FakeDisque(clock))
        return make_fake("agreement", nodes=nodes, retry_seconds=self.retry_seconds)
