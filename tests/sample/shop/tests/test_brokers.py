"""The shop's tasks on each broker that the kit has."""

from __future__ import annotations

import pytest
from django.urls import reverse

from djq.tasks import async_task, queue_size
from shop import tasks
from shop.models import Order

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


@pytest.mark.djq_broker("memory", "orm", "redis", "disque")
def test_an_order_is_paid_on_each_broker(client, lamp, djq_broker, djq_cluster):
    form = {"email": "ada@example.com", "product": lamp.pk, "quantity": 1}
    client.post(reverse("place-order"), form)

    djq_cluster.run_until_idle()

    assert Order.objects.get().status == Order.Status.PAID
    assert djq_broker.queue_size() == 0
