"""What customers do sends the right tasks, and at the right moment."""

from __future__ import annotations

import pytest
from django.urls import reverse

from djq.tasks import async_task, result
from shop import tasks
from shop.models import Account, Order, Payment

pytestmark = pytest.mark.django_db


def place(client, product, quantity=2):
    form = {"email": "ada@example.com", "product": product.pk, "quantity": quantity}
    return client.post(reverse("place-order"), form)


def test_an_order_is_confirmed_and_charged(client, lamp, djq_queue):
    answer = place(client, lamp)

    order = Order.objects.get()
    assert answer.status_code == 201
    djq_queue.assert_enqueued(tasks.confirm, args=(order.pk,), count=1)
    djq_queue.assert_enqueued(
        tasks.charge, args=(order.pk,), group=f"order-{order.pk}", hook=tasks.charged, timeout=30
    )
    assert [task.func for task in djq_queue] == ["shop.tasks.confirm", "shop.tasks.charge"]


@pytest.mark.parametrize(
    ("quantity", "status"), [(6, 409), (-1, 400), ("many", 400)], ids=["sold out", "none", "text"]
)
def test_an_order_that_is_refused_sends_nothing(client, lamp, djq_queue, quantity, status):
    assert place(client, lamp, quantity).status_code == status

    djq_queue.refute_enqueued()
    assert not Order.objects.exists()


def test_a_paid_order_gives_points_and_one_mail(client, lamp, djq_queue, mailoutbox):
    place(client, lamp)

    done = djq_queue.run_until_idle(raises=True)

    assert [one.task.func.rpartition(".")[2] for one in done] == [
        "confirm",
        "charge",
        "charged",
        "award_points",
    ]
    assert Account.objects.get().points == tasks.POINTS_FOR_AN_ORDER
    assert Payment.objects.get().amount == 50
    assert [mail.to for mail in mailoutbox] == [["ada@example.com"]]


def test_what_waits_is_run_one_by_one(client, lamp, djq_queue, mailoutbox):
    place(client, lamp)

    confirmed = djq_queue.run_next()

    assert confirmed.task.func == "shop.tasks.confirm"
    assert len(mailoutbox) == 1
    assert not Payment.objects.exists()
    djq_queue.assert_enqueued(tasks.charge, count=1)


def test_an_order_that_vanished_is_told_to_the_staff(client, lamp, djq_queue, mailoutbox):
    place(client, lamp)
    Order.objects.all().delete()

    done = djq_queue.run_until_idle()

    assert [one.success for one in done] == [False, False, True]
    assert isinstance(done[1].error, Order.DoesNotExist)
    assert mailoutbox[0].to == ["staff@example.com"]
    assert mailoutbox[0].body.startswith("DoesNotExist")


@pytest.mark.djq_queue(raises=True)
def test_the_error_itself_can_be_seen(client, lamp, djq_queue):
    place(client, lamp)
    Order.objects.all().delete()

    with pytest.raises(Order.DoesNotExist):
        djq_queue.run_all()


@pytest.mark.django_db(transaction=True)
def test_real_transactions_send_when_they_commit(client, lamp, djq_queue):
    place(client, lamp)

    djq_queue.assert_enqueued(tasks.confirm)
    djq_queue.assert_enqueued(tasks.charge)


def test_a_whole_order_in_one_go(client, lamp, djq_sync, mailoutbox):
    place(client, lamp)
    djq_sync.commit()

    order = Order.objects.get()
    assert order.status == Order.Status.PAID
    assert len(mailoutbox) == 1

    sent = client.post(reverse("send-order", args=(order.pk,)))
    assert sent.status_code == 202
    order.refresh_from_db()
    assert (order.status, order.tracking) == (Order.Status.SENT, f"P{order.pk:06}-1")


def test_an_async_view_sends_too(client, lamp, djq_queue):
    answer = client.post(reverse("print-catalogue"))
    djq_queue.assert_enqueued(tasks.print_catalogue, timeout=45)

    djq_queue.run_all(raises=True)

    assert result(answer.json()["task"]) == "L-1 Lamp"


def test_charging_twice_takes_the_money_once(order, djq_queue):
    for _ in range(2):
        async_task(tasks.charge, order.pk)

    djq_queue.run_all(raises=True)

    assert Payment.objects.count() == 1
