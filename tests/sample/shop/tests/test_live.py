"""What only real processes can show."""

from __future__ import annotations

from django.urls import reverse

from shop.models import Account, Order


def test_an_order_is_handled_by_real_processes(client, lamp, djq_live_cluster):
    form = {"email": "ada@example.com", "product": lamp.pk, "quantity": 1}
    client.post(reverse("place-order"), form)

    djq_live_cluster.run_until_idle()

    assert Order.objects.get().status == Order.Status.PAID
    assert Account.objects.get().points == 10
