"""The shop's tasks on each broker that the kit has."""

from __future__ import annotations

import pytest

from djq.tasks import async_task, queue_size
from shop import tasks

pytestmark = pytest.mark.django_db


@pytest.mark.djq_broker("memory", "orm")
def test_an_order_that_is_not_acknowledged_is_delivered_again(order, djq_broker, djq_clock):
    async_task(tasks.confirm, order.pk)
    assert queue_size() == 1

    ((receipt, _),) = djq_broker.dequeue(5)
    assert djq_broker.dequeue(5) == []
    djq_clock.advance(minutes=2, seconds=1)
    ((again, _),) = djq_broker.dequeue(5)
    djq_broker.acknowledge(again)

    djq_clock.advance(days=1)
    assert receipt is not None
    assert djq_broker.dequeue(5) == []
