"""The shop's pages."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from djq.exceptions import BrokerUnavailable
from djq.tasks import aenqueue, async_chain, async_task, fetch
from shop import tasks
from shop.forms import OrderForm
from shop.models import Order, Product

REPORT_SECONDS = 600


class SoldOut(Exception):
    """There is less of it than somebody wants."""


@require_POST
def place_order(request):
    form = OrderForm(request.POST)
    if not form.is_valid():
        return JsonResponse(form.errors, status=400)
    try:
        with transaction.atomic():
            order = form.save()
            transaction.on_commit(lambda: async_task(tasks.confirm, order.pk))
            _take_from_stock(order)
            async_task(
                tasks.charge,
                order.pk,
                hook=tasks.charged,
                group=f"order-{order.pk}",
                timeout=30,
                on_commit=True,
            )
    except SoldOut as error:
        return JsonResponse({"product": [str(error)]}, status=409)
    return JsonResponse({"order": order.pk}, status=201)


def _take_from_stock(order):
    left = Product.objects.filter(pk=order.product_id, stock__gte=order.quantity)
    if not left.update(stock=F("stock") - order.quantity):
        raise SoldOut(f"{order.product} is sold out")


@require_POST
def send_order(request, pk):
    order = get_object_or_404(Order, pk=pk)
    group = async_chain(
        [
            (tasks.pack, (order.pk,)),
            tasks.label,
            (tasks.hand_over, (), {"carrier": "boat", "hook": tasks.handed_over}),
        ],
        group=f"sending-{order.pk}",
        pass_result=True,
    )
    return JsonResponse({"group": group}, status=202)


@require_POST
def start_report(request):
    try:
        task_id = async_task(tasks.sales_report, 2026, 3, cached=REPORT_SECONDS)
    except BrokerUnavailable:
        return HttpResponse("Please try again in a minute", status=503)
    return JsonResponse({"report": task_id}, status=202)


def report(request, task_id):
    task = fetch(task_id, cached=True)
    if task is None:
        return HttpResponse(status=404)
    if not task.success:
        return JsonResponse({"error": task.result}, status=500)
    return JsonResponse(task.result)


async def print_catalogue(request):
    task_id = await aenqueue(tasks.print_catalogue, timeout=45)
    return JsonResponse({"task": task_id}, status=202)
