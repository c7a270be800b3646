"""What the shop's tests start from."""

from __future__ import annotations

import pytest

from shop.models import Order, Product


@pytest.fixture
def lamp(db):
    return Product.objects.create(sku="L-1", name="Lamp", price="25.00", stock=5)


@pytest.fixture
def order(lamp):
    return Order.objects.create(email="ada@example.com", product=lamp, quantity=2)


@pytest.fixture
def paid_order(order):
    order.status = Order.Status.PAID
    order.save()
    return order
