"""Makes the table of the clusters' statistics, for queues in the database."""

from __future__ import annotations

from django.db import migrations, models

import djq.models


class Migration(migrations.Migration):
    dependencies = [("djq", "0002_clusters")]

    operations = [
        migrations.CreateModel(
            name="Picture",
            fields=[
                ("id", djq.models.ExactCharField(max_length=64, primary_key=True, serialize=False)),
                ("queue", djq.models.ExactCharField(max_length=100)),
                ("text", models.TextField()),
                ("until", models.FloatField()),
            ],
        ),
    ]
