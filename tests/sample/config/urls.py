"""Where the shop's pages are."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/", views.place_order, name="place-order"),
    path("orders/<int:pk>/send/", views.send_order, name="send-order"),
    path("catalogue/", views.print_catalogue, name="print-catalogue"),
    path("reports/", views.start_report, name="start-report"),
    path("reports/<str:task_id>/", views.report, name="report"),
]
