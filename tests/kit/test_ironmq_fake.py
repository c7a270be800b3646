"""`djq_broker("ironmq")`: djq's own adapter on an IronMQ in memory, on the test's clock."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest

from djq.brokers import get_broker
from djq.brokers.ironmq import IronMqBroker
from djq.tasks import async_task, result
from djq_testing.fakes.ironmq import IronMqService
from djq_testing.fakes.ironmq_server import serve

pytestmark = pytest.mark.djq_broker("ironmq")


def test_leases_are_the_real_ones_and_go_by_the_test_s_clock(djq_broker, djq_cluster, djq_clock):
    async_task("math.sqrt", 4, task_name="root")
    ((_, _),) = djq_broker.dequeue()
    began = djq_clock.now()

    djq_cluster.run_until_idle()

    assert isinstance(djq_broker, IronMqBroker)
    assert result("root") == 2
    assert timedelta(seconds=60) <= djq_clock.now() - began < timedelta(seconds=70)
    assert (djq_broker.queue_size(), djq_broker.lock_size()) == (0, 0)


def test_queues_of_one_test_are_at_one_service(djq_broker):
    other = get_broker("other")
    async_task("math.sqrt", 4, broker=other)

    assert (djq_broker.queue_size(), other.queue_size()) == (0, 1)
    assert other.service is djq_broker.service


def test_request_that_was_cut_off_is_none(djq_clock):
    service = IronMqService(djq_clock)
    request = (
        b"DELETE /3/projects/project/queues/q/messages HTTP/1.1\r\n"
        b"Authorization: OAuth token\r\nContent-Length: 40\r\n\r\n"
    )
    with serve(service) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)

        assert client.recv(100) == b""

    assert service.asked == []
