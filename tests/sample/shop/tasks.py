"""What the shop does behind its customers' backs."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import F

from djq.tasks import async_task
from shop.models import Account, Order, Payment, Product

LOW_STOCK = 3
POINTS_FOR_AN_ORDER = 10


class PriceListBroken(Exception):
    """A price list has a price that cannot be."""


def tell_staff(subject, text):
    send_mail(subject, text, None, [settings.STAFF_EMAIL])


def confirm(order_id):
    order = Order.objects.select_related("product").get(pk=order_id)
    send_mail(f"Your order {order.pk}", f"{order}: {order.total}", None, [order.email])


def charge(order_id):
    """Idempotent: the payment of an order is there or not."""
    with transaction.atomic():
        order = Order.objects.select_related("product").select_for_update().get(pk=order_id)
        Payment.objects.get_or_create(order=order, defaults={"amount": order.total})
        Order.objects.filter(pk=order_id).update(status=Order.Status.PAID)
    return str(order.total)


def charged(task):
    """The hook of `charge`."""
    (order_id,) = task.args
    if task.success:
        async_task(award_points, Order.objects.get(pk=order_id).email)
    else:
        tell_staff(f"Order {order_id} was not paid", task.result)


def award_points(email):
    """Not idempotent: twice is twice as many."""
    Account.objects.get_or_create(email=email)
    Account.objects.filter(email=email).update(points=F("points") + POINTS_FOR_AN_ORDER)


def pack(order_id):
    order = Order.objects.get(pk=order_id)
    if order.status != Order.Status.PAID:
        raise ValueError(f"order {order_id} is {order.status}")
    return {"order": order_id, "parcels": -(-order.quantity // 10)}


def label(parcel):
    return {**parcel, "tracking": f"P{parcel['order']:06}-{parcel['parcels']}"}


def hand_over(parcel, carrier="post"):
    Order.objects.filter(pk=parcel["order"]).update(
        status=Order.Status.SENT, tracking=parcel["tracking"]
    )
    return f"{carrier}:{parcel['tracking']}"


def handed_over(task):
    """The hook of the last link."""
    if not task.success:
        tell_staff("A parcel stayed here", task.result)


def value_of_stock(sku):
    product = Product.objects.get(sku=sku)
    return product.price * product.stock


def import_prices(prices):
    """All of them or none."""
    with transaction.atomic():
        for sku, price in prices.items():
            if Decimal(price) <= 0:
                raise PriceListBroken(f"{sku} cannot cost {price}")
            Product.objects.filter(sku=sku).update(price=price)


def sales_report(year, month):
    paid = Payment.objects.filter(paid_at__year=year, paid_at__month=month)
    return {"orders": paid.count(), "sum": str(sum(payment.amount for payment in paid))}


def print_catalogue():
    return "\n".join(f"{product.sku} {product}" for product in Product.objects.order_by("sku"))


def watch_stock():
    """Runs each night; its schedule is in a migration."""
    low = Product.objects.filter(stock__lt=LOW_STOCK).order_by("sku")
    if low:
        tell_staff("Low stock", "\n".join(product.sku for product in low))
    return len(low)


def send_newsletter(subject):
    """Runs each Friday; its schedule is made by a command."""
    emails = Account.objects.order_by("email").values_list("email", flat=True)
    return sum(send_mail(subject, "Dear customer ...", None, [email]) for email in emails)
