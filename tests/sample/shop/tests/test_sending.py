"""A chain: each link gets what the one before it gave."""

from __future__ import annotations

import pytest
from django.urls import reverse

from djq.models import Task
from djq.tasks import async_iter, async_task, result, result_group
from shop import tasks
from shop.models import Order, Product

pytestmark = pytest.mark.django_db


def test_a_parcel_goes_from_hand_to_hand(client, paid_order, djq_queue):
    group = client.post(reverse("send-order", args=(paid_order.pk,))).json()["group"]
    djq_queue.assert_enqueued(tasks.pack, args=(paid_order.pk,), group=group, count=1)

    steps = []
    while (done := djq_queue.run_next(raises=True)) is not None:
        steps.append(done.task.func.rpartition(".")[2])

    assert steps == ["pack", "label", "hand_over", "handed_over"]
    assert result_group(group)[-1] == f"boat:P{paid_order.pk:06}-1"


def test_a_link_that_fails_stops_those_behind_it(client, order, djq_queue, mailoutbox):
    group = client.post(reverse("send-order", args=(order.pk,))).json()["group"]

    djq_queue.run_until_idle()

    order.refresh_from_db()
    assert order.status == Order.Status.PLACED
    pack, label, hand_over = result_group(group, failures=True)
    assert pack == f"ValueError: order {order.pk} is placed"
    assert label.startswith("ChainStopped")
    assert hand_over.startswith("ChainStopped")
    assert len(mailoutbox) == 1


def test_the_value_of_the_stock_is_a_list(djq_queue):
    for number in range(3):
        Product.objects.create(sku=f"P-{number}", name="Pen", price="1.50", stock=number)

    task_id = async_iter(tasks.value_of_stock, ["P-0", "P-1", "P-2"])
    djq_queue.assert_enqueued(tasks.value_of_stock, count=3)
    assert result(task_id) is None
    djq_queue.run_all(raises=True)

    assert sum(result(task_id)) == 4.5


@pytest.mark.parametrize("price", ["0", "-1.00", "free"])
@pytest.mark.djq_sync(raises=True)
def test_a_broken_price_list_changes_no_price(lamp, djq_sync, price):
    with pytest.raises((tasks.PriceListBroken, ArithmeticError)):
        async_task(tasks.import_prices, {"L-1": "30", "X-1": price}, task_name=f"prices {price}")

    lamp.refresh_from_db()
    assert lamp.price == 25
    assert not Task.objects.get(name=f"prices {price}").success


def test_a_broken_price_list_is_a_failure_with_a_traceback(lamp, djq_sync):
    task_id = async_task(tasks.import_prices, {"L-1": "0"})

    assert result(task_id) == "PriceListBroken: L-1 cannot cost 0"
    assert "in import_prices" in Task.objects.get(id=task_id).traceback
