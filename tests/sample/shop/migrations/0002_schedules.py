"""What runs by itself from the first day on."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import migrations


def make(apps, schema_editor):
    schedules = apps.get_model("djq", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.create(
        name="watch stock",
        func="shop.tasks.watch_stock",
        schedule_type="D",
        next_run=datetime(2026, 1, 1, 2, 0, tzinfo=UTC),
        catch_up=False,
    )


def remove(apps, schema_editor):
    schedules = apps.get_model("djq", "Schedule").objects.using(schema_editor.connection.alias)
    schedules.filter(name="watch stock").delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial"), ("djq", "0001_initial")]
    operations = [migrations.RunPython(make, remove)]
