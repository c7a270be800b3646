"""The broker at Amazon SQS: its contract in memory and on servers over HTTP, and its twin."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from uuid import uuid4

import pytest

from djq.brokers.sqs import SqsBroker
from djq_testing.contract.agreement import BrokerAgreement
from djq_testing.contract.broker import BrokerContract
from djq_testing.fakes.sqs import SqsServer, make_fake
from djq_testing.memory import KINDS
from tests.sqs_servers import Hurried, account_at


@cache
def client_of(url):
    """One client for all tests of a server: to make one takes longer than a test."""
    return account_at(url)("sqs")


class SqsContract(BrokerContract):
    ordered = False
    uncounts = False
    without = ("delete", "peek")


class TestSqsBroker(SqsContract):
    @pytest.fixture
    def make_broker(self, clock):
        server = SqsServer(clock)
        return lambda key: make_fake(key, server=server, retry_seconds=self.retry_seconds)


class TestSqsBrokerWithAnOrder(SqsContract):
    """FIFO queues, each package a group of its own."""

    held_apart = False

    @pytest.fixture
    def make_broker(self, clock):
        server = SqsServer(clock)
        return lambda key: make_fake(
            key, server=server, retry_seconds=self.retry_seconds, fifo=True
        )


@pytest.mark.servers
@pytest.mark.parametrize("server", ["sqs_on_moto", "sqs_on_roto"])
class TestSqsBrokerOverHttp(SqsContract):
    """On servers that keep the real time, and to which the handle of a lost lease is as good as any."""

    receipt_is_void = "when given back"

    @pytest.fixture
    def client(self, clock, server, request):
        return Hurried(client_of(request.getfixturevalue(server)), clock)

    @pytest.fixture
    def make_broker(self, client):
        run = uuid4().hex
        return lambda key: SqsBroker(
            f"{run}-{key}",
            connect=lambda _: client,
            retry_seconds=self.retry_seconds,
            wait_seconds=0,
        )

    @pytest.fixture
    def pass_time(self, client):
        return client.pass_time

    def need_delays(self, broker):
        pytest.skip("nobody can move this server's time, and a delay once given stays as it is")


class SqsAgreement(BrokerAgreement):
    without = ("Delete",)
    examples = 10
    shuffle = None

    def make_broker(self, clock):
        server = SqsServer(clock, shuffle=self.shuffle, purges_often=True)
        return make_fake("agreement", server=server, retry_seconds=self.retry_seconds)


class TestSqsBrokerAgrees(SqsAgreement):
    """Any order, and by the same seed the same one."""

    switches = KINDS["sqs"]
    shuffle = KINDS["sqs"]["shuffle"]


class TestSqsBrokerOldestFirstAgrees(SqsAgreement):
    examples = 5
    switches = MappingProxyType({**KINDS["sqs"], "shuffle": None})
