"""`djq_broker("mongo")`: djq's own adapter on a MongoDB in memory, on the test's clock."""

from __future__ import annotations

from datetime import timedelta

import pytest

from djq.brokers import get_broker
from djq.brokers.mongo import MongoBroker
from djq.tasks import async_task, result


@pytest.mark.djq_broker("mongo")
def test_leases_are_the_real_ones_and_go_by_the_test_s_clock(djq_broker, djq_cluster, djq_clock):
    async_task("math.sqrt", 4, task_name="root")
    ((_, _),) = djq_broker.dequeue()
    began = djq_clock.now()

    djq_cluster.run_until_idle()

    assert isinstance(djq_broker, MongoBroker)
    assert result("root") == 2
    assert djq_clock.now() - began >= timedelta(seconds=60)
    assert (djq_broker.queue_size(), djq_broker.lock_size()) == (0, 0)


@pytest.mark.djq_broker("mongo")
def test_a_month_of_an_empty_queue_is_leapt_over(djq_cluster):
    async_task("math.sqrt", 4, task_name="root")

    djq_cluster.run_until_idle()
    djq_cluster.advance(days=31)

    assert result("root") == 2


@pytest.mark.djq_broker("mongo")
def test_queues_of_one_test_are_on_one_server(djq_broker):
    other = get_broker("other")
    async_task("math.sqrt", 4, broker=other)

    assert (djq_broker.queue_size(), other.queue_size()) == (0, 1)
    assert other._connect is djq_broker._connect
