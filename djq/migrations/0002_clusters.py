"""Makes the permission to see the page of the clusters; no table."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("djq", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Clusters",
            fields=[],
            options={
                "verbose_name": "clusters",
                "verbose_name_plural": "Clusters",
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("djq.task",),
        ),
    ]
