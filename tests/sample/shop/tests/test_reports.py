"""A report that is polled for, and kept in the cache for ten minutes."""

from __future__ import annotations

import pytest
from django.urls import reverse
from freezegun import freeze_time

from djq.models import Task
from djq.tasks import async_task, result
from shop import tasks
from shop.models import Payment

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(client):
    def ask(report):
        return client.get(reverse("report", args=(report,)))

    return ask


def test_a_report_is_there_when_it_has_been_made(client, ask, order, djq_queue):
    Payment.objects.create(order=order, amount=50, paid_at="2026-03-07T12:00Z")
    report = client.post(reverse("start-report")).json()["report"]
    djq_queue.assert_enqueued(tasks.sales_report, args=(2026, 3), cached=600)
    assert ask(report).status_code == 404

    djq_queue.run_next(raises=True)

    assert ask(report).json() == {"orders": 1, "sum": "50.00"}
    assert not Task.objects.exists()


def test_a_report_that_cannot_be_made_says_why(ask, djq_queue):
    report = async_task(tasks.sales_report, 2026, "March", cached=True)

    djq_queue.run_next()

    assert ask(report).status_code == 500
    assert ask(report).json()["error"].startswith("ValueError")


@freeze_time("2026-04-01 06:00")
def test_a_report_is_forgotten_after_ten_minutes(client, ask, djq_queue, djq_clock):
    report = client.post(reverse("start-report")).json()["report"]
    djq_queue.run_all(raises=True)

    djq_clock.advance(minutes=9)
    assert ask(report).status_code == 200

    djq_clock.advance(minutes=2)
    assert ask(report).status_code == 404


def test_whoever_waits_for_a_report_that_nobody_makes_waits_no_time(djq_queue, djq_clock):
    before = djq_clock.now()
    task_id = async_task(tasks.sales_report, 2026, 3)

    assert result(task_id, wait=2_000) is None

    assert (djq_clock.now() - before).total_seconds() == 2


@pytest.mark.djq_clock(start="2026-03-01T08:00+01:00")
def test_a_payment_is_of_the_day_on_which_it_was_made(order, djq_queue, djq_clock):
    task_id = async_task(tasks.charge, order.pk)
    djq_clock.advance(days=1, hours=2)

    djq_queue.run_all(raises=True)

    assert Task.objects.get(id=task_id).time_taken() == 26 * 3_600


@pytest.mark.djq_queue(store="memory")
def test_arithmetic_needs_no_database(djq_queue):
    task_id = async_task(tasks.label, {"order": 7, "parcels": 2})

    djq_queue.run_all(raises=True)

    assert result(task_id)["tracking"] == "P000007-2"
