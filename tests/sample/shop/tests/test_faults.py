"""What becomes of the shop when its cluster, its queue or its tasks go wrong."""

from __future__ import annotations

import pytest
from django.urls import reverse

from djq.exceptions import BrokerUnavailable
from djq.models import Schedule, Task
from djq.tasks import async_task, fetch, result
from shop import tasks
from shop.models import Account, Order, Payment

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_schedules(db):
    Schedule.objects.all().delete()


def place(client, lamp):
    form = {"email": "ada@example.com", "product": lamp.pk, "quantity": 1}
    return client.post(reverse("place-order"), form)


def test_an_order_is_handled(client, lamp, djq_cluster, mailoutbox):
    place(client, lamp)

    djq_cluster.run_until_idle()

    assert Order.objects.get().status == Order.Status.PAID
    assert Account.objects.get().points == 10
    assert len(mailoutbox) == 1


def test_a_worker_that_dies_while_it_charges_takes_the_money_once(order, djq_cluster):
    djq_cluster.takes(tasks.charge, seconds=20)
    task_id = async_task(tasks.charge, order.pk)

    djq_cluster.advance(10)
    djq_cluster.kill("worker", slot=0)
    djq_cluster.run_until_idle()

    assert [run.success for run in djq_cluster.runs] == [None, True]
    assert fetch(task_id).attempts == 2
    assert Payment.objects.count() == 1


def test_a_charge_that_takes_too_long_is_told_to_the_staff(order, djq_cluster, mailoutbox):
    djq_cluster.takes(tasks.charge, seconds=90)
    task_id = async_task(tasks.charge, order.pk, timeout=30, hook=tasks.charged)

    djq_cluster.advance(29)
    assert fetch(task_id) is None

    djq_cluster.run_until_idle()
    assert result(task_id).startswith("TaskTimedOut: timed out after 30 s")
    assert not Payment.objects.exists()
    assert [mail.to for mail in mailoutbox] == [["staff@example.com"]]


def test_a_charge_whose_acknowledgement_is_lost_takes_the_money_once(order, djq_cluster):
    djq_cluster.drop_next("acknowledge")
    task_id = async_task(tasks.charge, order.pk)

    djq_cluster.run_until_idle()

    assert [run.attempt for run in djq_cluster.runs] == [1, 2]
    assert Payment.objects.count() == 1
    assert fetch(task_id).success


def test_points_are_given_twice_for_a_task_that_is_delivered_twice(djq_cluster):
    djq_cluster.duplicate_next()
    async_task(tasks.award_points, "ada@example.com")

    djq_cluster.run_until_idle()

    assert Account.objects.get().points == 20
    assert Task.objects.count() == 1


def test_a_customer_is_asked_to_come_again_while_the_queue_is_away(client, djq_cluster):
    djq_cluster.broker_down(seconds=60)
    assert client.post(reverse("start-report")).status_code == 503

    djq_cluster.advance(seconds=61)
    answer = client.post(reverse("start-report"))
    assert answer.status_code == 202

    djq_cluster.run_until_idle()
    assert client.get(reverse("report", args=(answer.json()["report"],))).status_code == 200


def test_an_order_is_kept_when_the_queue_is_away(client, lamp, djq_cluster):
    place(client, lamp)
    djq_cluster.broker_down(seconds=60)

    with pytest.raises(BrokerUnavailable):
        djq_cluster.run_until_idle()

    assert Order.objects.get().status == Order.Status.PLACED


def test_a_parcel_arrives_whatever_dies_on_its_way(client, paid_order, djq_cluster):
    for name in ("pack", "label", "hand_over"):
        djq_cluster.takes(f"shop.tasks.{name}", seconds=60)
    client.post(reverse("send-order", args=(paid_order.pk,)))

    djq_cluster.advance(30)
    djq_cluster.kill("monitor")
    djq_cluster.advance(60)
    djq_cluster.kill("pusher")
    djq_cluster.kill("worker")
    djq_cluster.run_until_idle()

    paid_order.refresh_from_db()
    assert paid_order.status == Order.Status.SENT


@pytest.mark.djq_cluster(workers=1)
def test_a_catalogue_keeps_a_single_worker_from_all_else(order, djq_cluster, djq_clock):
    djq_cluster.takes(tasks.print_catalogue, seconds=45)
    before = djq_clock.now()
    async_task(tasks.print_catalogue)
    async_task(tasks.charge, order.pk)

    djq_cluster.run_until_idle()

    assert (djq_cluster.runs[1].started - before).total_seconds() == 45


def test_whoever_waits_for_a_report_gets_it(djq_cluster, djq_clock):
    djq_cluster.takes(tasks.sales_report, seconds=2)
    before = djq_clock.now()

    found = result(async_task(tasks.sales_report, 2026, 3), wait=60_000)

    assert found == {"orders": 0, "sum": "0"}
    assert 2 <= (djq_clock.now() - before).total_seconds() < 2.1
