"""Makes the tables of tasks, schedules and the ORM broker's queue."""

from __future__ import annotations

import django.db.models.functions.comparison
from django.db import migrations, models

import djq.models
import djq.schedule
import djq.schedules.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="IterElement",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("iter", djq.models.ExactCharField(editable=False, max_length=32)),
                ("place", models.IntegerField()),
                ("success", models.BooleanField()),
                ("value", models.BinaryField()),
                ("body", models.BinaryField(default=b"")),
                ("traceback", models.TextField(default="")),
                ("stopped", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("iter", "place"), name="djq_iterelement_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Progress",
            fields=[
                (
                    "id",
                    djq.models.ExactCharField(
                        editable=False, max_length=32, primary_key=True, serialize=False
                    ),
                ),
                ("total", models.IntegerField()),
                ("done", models.IntegerField(default=0)),
                ("touched", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["touched"], name="djq_progress_old")],
            },
        ),
        migrations.CreateModel(
            name="OrmQ",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", djq.models.ExactCharField(max_length=100, verbose_name="key")),
                ("payload", models.TextField(verbose_name="payload")),
                ("lock", models.DateTimeField(null=True, verbose_name="lock")),
                ("available_at", models.DateTimeField(verbose_name="available at")),
                ("attempts", models.IntegerField(default=0, verbose_name="attempts")),
                ("unbegun", models.IntegerField(default=0, verbose_name="unbegun")),
            ],
            options={
                "verbose_name": "Queued task",
                "verbose_name_plural": "Queued tasks",
                "indexes": [
                    models.Index(fields=["key", "available_at", "id"], name="djq_ormq_due")
                ],
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "func",
                    models.CharField(
                        help_text="e.g. module.tasks.function",
                        max_length=256,
                        verbose_name="function",
                    ),
                ),
                (
                    "hook",
                    models.CharField(
                        blank=True,
                        help_text="e.g. module.tasks.result_function",
                        max_length=256,
                        null=True,
                        verbose_name="hook",
                    ),
                ),
                (
                    "args",
                    models.TextField(
                        blank=True, help_text="e.g. 1, 2, 'John'", null=True, verbose_name="args"
                    ),
                ),
                (
                    "kwargs",
                    models.TextField(
                        blank=True, help_text="e.g. x=1, y=2", null=True, verbose_name="kwargs"
                    ),
                ),
                (
                    "q_options",
                    models.TextField(
                        blank=True,
                        default="",
                        help_text="e.g. timeout=30, group='reports'",
                        verbose_name="options",
                    ),
                ),
                (
                    "schedule_type",
                    models.CharField(
                        choices=[
                            ("O", "Once"),
                            ("I", "Minutes"),
                            ("H", "Hourly"),
                            ("D", "Daily"),
                            ("W", "Weekly"),
                            ("BW", "Biweekly"),
                            ("M", "Monthly"),
                            ("BM", "Bimonthly"),
                            ("Q", "Quarterly"),
                            ("Y", "Yearly"),
                            ("C", "Cron"),
                        ],
                        default="O",
                        max_length=2,
                        verbose_name="schedule type",
                    ),
                ),
                (
                    "minutes",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Number of minutes, for the type Minutes",
                        null=True,
                        verbose_name="minutes",
                    ),
                ),
                (
                    "repeats",
                    models.IntegerField(
                        default=-1,
                        help_text="n = n times, -1 = for ever, 0 = never",
                        verbose_name="repeats",
                    ),
                ),
                (
                    "next_run",
                    djq.schedules.fields.MomentField(
                        default=djq.schedule.present, null=True, verbose_name="next run"
                    ),
                ),
                ("task", models.CharField(editable=False, max_length=100, null=True)),
                (
                    "cron",
                    models.CharField(
                        blank=True,
                        help_text="e.g. 0 3 * * *",
                        max_length=100,
                        null=True,
                        verbose_name="cron",
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Where its wall time is kept; empty: as the cluster is configured",
                        max_length=100,
                        verbose_name="time zone",
                    ),
                ),
                (
                    "catch_up",
                    models.BooleanField(
                        blank=True,
                        default=None,
                        help_text="Whether each missed run is made up for; unknown: as configured",
                        null=True,
                        verbose_name="catch up",
                    ),
                ),
                (
                    "overlap",
                    models.CharField(
                        choices=[
                            ("allow", "Allow"),
                            ("skip", "Skip while the last run is unfinished"),
                        ],
                        default="allow",
                        max_length=5,
                        verbose_name="overlap",
                    ),
                ),
                (
                    "intended_date_kwarg",
                    models.CharField(
                        blank=True,
                        help_text="Name of a keyword that tells the function for which time it was meant",
                        max_length=100,
                        null=True,
                        verbose_name="keyword for the intended time",
                    ),
                ),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "last_error",
                    models.TextField(
                        blank=True, default="", editable=False, verbose_name="last error"
                    ),
                ),
                (
                    "anchor",
                    models.CharField(blank=True, default="", editable=False, max_length=200),
                ),
                ("pending", models.TextField(blank=True, default="", editable=False)),
                (
                    "held_until",
                    djq.schedules.fields.MomentField(default=None, editable=False, null=True),
                ),
                (
                    "unfinished",
                    models.CharField(blank=True, default="", editable=False, max_length=32),
                ),
                (
                    "sent_at",
                    djq.schedules.fields.MomentField(
                        default=None, editable=False, null=True, verbose_name="last sent"
                    ),
                ),
                (
                    "due_at",
                    models.GeneratedField(
                        db_persist=True,
                        expression=models.Case(
                            models.When(
                                models.Q(("pending", ""), _negated=True),
                                then=django.db.models.functions.comparison.Coalesce(
                                    "held_until", "sent_at", output_field=models.DateTimeField()
                                ),
                            ),
                            models.When(
                                models.Q(
                                    ("enabled", True), models.Q(("repeats", 0), _negated=True)
                                ),
                                then=django.db.models.functions.comparison.Coalesce(
                                    "held_until", "next_run", output_field=models.DateTimeField()
                                ),
                            ),
                            output_field=models.DateTimeField(),
                        ),
                        output_field=models.DateTimeField(null=True),
                    ),
                ),
                (
                    "name",
                    djq.models.NameField(
                        blank=True, max_length=100, null=True, unique=True, verbose_name="name"
                    ),
                ),
            ],
            options={
                "verbose_name": "Scheduled task",
                "verbose_name_plural": "Scheduled tasks",
                "ordering": ["next_run"],
                "indexes": [models.Index(fields=["due_at", "id"], name="djq_schedule_due")],
            },
            bases=(djq.schedules.fields.ScheduleChoices, models.Model),
        ),
        migrations.CreateModel(
            name="Task",
            fields=[
                (
                    "id",
                    djq.models.ExactCharField(
                        editable=False, max_length=32, primary_key=True, serialize=False
                    ),
                ),
                (
                    "name",
                    djq.models.ExactCharField(editable=False, max_length=100, verbose_name="name"),
                ),
                ("func", models.CharField(max_length=256, verbose_name="function")),
                (
                    "hook",
                    models.CharField(blank=True, max_length=256, null=True, verbose_name="hook"),
                ),
                (
                    "group",
                    djq.models.ExactCharField(
                        editable=False, max_length=100, null=True, verbose_name="group"
                    ),
                ),
                ("body", models.BinaryField(default=b"")),
                ("value", models.BinaryField(default=None, null=True)),
                ("started", models.DateTimeField(editable=False, verbose_name="started")),
                ("stopped", models.DateTimeField(editable=False, verbose_name="stopped")),
                (
                    "success",
                    models.BooleanField(default=True, editable=False, verbose_name="success"),
                ),
                (
                    "traceback",
                    models.TextField(
                        blank=True, default="", editable=False, verbose_name="traceback"
                    ),
                ),
                (
                    "attempts",
                    models.SmallIntegerField(default=1, editable=False, verbose_name="attempts"),
                ),
                ("place", models.IntegerField(default=0, editable=False)),
                (
                    "queue",
                    djq.models.ExactCharField(
                        blank=True,
                        default="",
                        editable=False,
                        max_length=100,
                        verbose_name="queue",
                    ),
                ),
                (
                    "options",
                    models.TextField(
                        blank=True, default="", editable=False, verbose_name="options"
                    ),
                ),
            ],
            options={
                "verbose_name": "Task",
                "verbose_name_plural": "Tasks",
                "ordering": ["-stopped", "-id"],
                "indexes": [
                    models.Index(fields=["success", "stopped", "id"], name="djq_task_outcome"),
                    models.Index(fields=["name"], name="djq_task_name"),
                    models.Index(
                        fields=["group", "success", "stopped", "id"], name="djq_task_group"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Failure",
            fields=[],
            options={
                "verbose_name": "Failed task",
                "verbose_name_plural": "Failed tasks",
                "ordering": ["-stopped", "-id"],
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("djq.task",),
        ),
        migrations.CreateModel(
            name="Success",
            fields=[],
            options={
                "verbose_name": "Successful task",
                "verbose_name_plural": "Successful tasks",
                "ordering": ["-stopped", "-id"],
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("djq.task",),
        ),
    ]
