"""The same for those who write `unittest`: these run with `manage.py test` too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from django.core import mail
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.urls import reverse

from djq.models import Schedule
from djq.tasks import async_task, result
from djq.tasks.scheduling import run_now
from djq_testing.cases import ClockMixin, ClusterMixin, LiveClusterMixin, QueueMixin, SyncMixin
from shop import tasks
from shop.models import Order, Product


class OrderTests(ClockMixin, QueueMixin, TestCase):
    djq_clock_start = datetime(2026, 3, 29, tzinfo=UTC)

    @classmethod
    def setUpTestData(cls):
        cls.lamp = Product.objects.create(sku="L-1", name="Lamp", price="25.00", stock=2)

    def place(self):
        form = {"email": "ada@example.com", "product": self.lamp.pk, "quantity": 1}
        return self.client.post(reverse("place-order"), form)

    def test_an_order_is_paid(self):
        self.place()
        self.djq_queue.assert_enqueued(tasks.charge, count=1)

        self.djq_queue.run_until_idle(raises=True)

        self.assertEqual(Order.objects.get().status, Order.Status.PAID)
        self.assertEqual(len(mail.outbox), 1)

    def test_sold_out(self):
        self.place()
        self.place()
        self.djq_queue.clear()

        self.assertEqual(self.place().status_code, 409)
        self.djq_queue.refute_enqueued()

    def test_the_stock_is_watched_at_night(self):
        run_now(Schedule.objects.get(name="watch stock"))

        (done,) = self.djq_queue.run_all(raises=True)

        self.assertEqual(done.result, 1)
        self.assertEqual(mail.outbox[0].body, "L-1")


class NightTests(ClusterMixin, TestCase):
    djq_clock_start = datetime(2026, 3, 29, tzinfo=UTC)
    djq_cluster_options: ClassVar = {"workers": 1, "timeout": 10}

    @classmethod
    def setUpTestData(cls):
        Product.objects.create(sku="L-1", name="Lamp", price="25.00", stock=2)

    def test_the_stock_is_watched_each_night(self):
        self.djq_clock.advance(days=3)

        self.assertEqual([message.body for message in mail.outbox], ["L-1"] * 4)

    def test_a_catalogue_that_is_too_long_is_given_up(self):
        self.djq_cluster.takes(tasks.print_catalogue, seconds=11)
        task_id = async_task(tasks.print_catalogue)

        self.djq_cluster.run_until_idle()

        self.assertEqual(result(task_id), "TaskTimedOut: timed out after 10 s")


class RealTransactionTests(QueueMixin, TransactionTestCase):
    def test_a_parcel_is_sent(self):
        lamp = Product.objects.create(sku="L-1", name="Lamp", price="25.00", stock=2)
        order = Order.objects.create(email="ada@example.com", product=lamp, status="paid")
        self.client.post(reverse("send-order", args=(order.pk,)))

        self.djq_queue.run_until_idle(raises=True)

        order.refresh_from_db()
        self.assertEqual(order.status, Order.Status.SENT)


class PriceTests(SyncMixin, TestCase):
    djq_raises = True

    def test_a_price_that_cannot_be(self):
        with self.assertRaises(tasks.PriceListBroken):
            async_task(tasks.import_prices, {"L-1": "0"})


class LabelTests(SyncMixin, SimpleTestCase):
    djq_store = "memory"

    def test_a_label_has_the_number_of_the_order(self):
        task_id = async_task(tasks.label, {"order": 7, "parcels": 1})

        self.assertEqual(result(task_id)["tracking"], "P000007-1")


class ProcessTests(LiveClusterMixin, TransactionTestCase):
    def test_points_are_given_by_another_process(self):
        task_id = async_task(tasks.award_points, "ada@example.com")

        self.assertTrue(self.djq_live_cluster.wait_for(task_id).success)
