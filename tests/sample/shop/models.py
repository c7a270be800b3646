"""What the shop keeps."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Product(models.Model):
    sku = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.PositiveIntegerField(default=0)

    def __str__(self):
        return self.name


class Order(models.Model):
    class Status(models.TextChoices):
        PLACED = "placed"
        PAID = "paid"
        SENT = "sent"

    email = models.EmailField()
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveIntegerField(default=1)
    status = models.CharField(max_length=10, choices=Status, default=Status.PLACED)
    placed_at = models.DateTimeField(default=timezone.now)
    tracking = models.CharField(max_length=40, blank=True)

    def __str__(self):
        return f"{self.quantity} x {self.product} for {self.email}"

    @property
    def total(self):
        return self.quantity * self.product.price


class Account(models.Model):
    email = models.EmailField(unique=True)
    points = models.IntegerField(default=0)

    def __str__(self):
        return self.email


class Payment(models.Model):
    """At most one for each order: who asks twice pays once."""

    order = models.OneToOneField(Order, on_delete=models.CASCADE)
    amount = models.DecimalField(max_digits=8, decimal_places=2)
    paid_at = models.DateTimeField(default=timezone.now)

    def __str__(self):
        return f"{self.amount} for {self.order}"
