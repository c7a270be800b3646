"""What only real processes can show."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.urls import reverse

from djq.exceptions import ConfigError
from djq_testing.live import LiveCluster
from shop.models import Account, Order


def test_an_order_is_handled_by_real_processes(client, lamp, djq_live_cluster):
    form = {"email": "ada@example.com", "product": lamp.pk, "quantity": 1}
    client.post(reverse("place-order"), form)

    djq_live_cluster.run_until_idle()

    assert Order.objects.get().status == Order.Status.PAID
    assert Account.objects.get().points == 10


@pytest.mark.django_db(transaction=True)
def test_a_cluster_that_cannot_start_leaves_the_settings_as_they_were():
    before = settings.Q_CLUSTER

    with pytest.raises(ConfigError, match="Did you mean 'workers'"), LiveCluster(wrkers=2):
        pass

    assert before is settings.Q_CLUSTER
