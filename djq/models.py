"""The rows that djq keeps: tasks with their outcome, schedules, and the queue of the ORM broker."""

# ruff: noqa: DJ001 -- the documented fields have always known null from empty: no hook, no group.

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, F, Q, When
from django.db.models.functions import Coalesce
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from djq.conf import get_zone, schedule_defaults
from djq.core.call import PICKLE_PROTOCOL as PROTOCOL
from djq.core.call import Arguments, Function, KeywordArguments, load_call, load_value
from djq.core.schedule_checks import UpcomingRun, problems_of, upcoming
from djq.core.schedules import RUN_FAILED, rule_of, slot_of
from djq.exceptions import ScheduleRefused
from djq.runtime.clock import SystemClock
from djq.schedules.fields import EmptyIsNull, MomentField, ScheduleChoices
from djq.schedules.rows import row_of


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # no generic at run time
    """A text that identifies: compared exactly on every database, and never searched by prefix.

    MariaDB's usual collation takes `Default` and `default` for the same queue; PostgreSQL would add
    a second index for LIKE to a key that is random.
    """

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "mysql":
            return f"varchar({self.max_length}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        if connection.vendor == "postgresql":
            # The same type as varchar, under the name that Django adds no LIKE index to.
            return f"character varying({self.max_length})"
        return super().db_type(connection)


class Task(models.Model):
    """A task with its outcome, as the monitor stored it.

    The call and its result are kept as the bytes they travelled in, and unpickled when they are
    asked for: a row whose classes no longer import can still be listed and deleted.
    """

    id = ExactCharField(max_length=32, primary_key=True, editable=False)
    name = ExactCharField(_("name"), max_length=100, editable=False)
    func = models.CharField(_("function"), max_length=256)
    hook = models.CharField(_("hook"), max_length=256, null=True, blank=True)
    group = ExactCharField(_("group"), max_length=100, null=True, editable=False)
    body = models.BinaryField(default=b"", editable=False)
    value = models.BinaryField(null=True, default=None, editable=False)
    started = models.DateTimeField(_("started"), editable=False)
    stopped = models.DateTimeField(_("stopped"), editable=False)
    success = models.BooleanField(_("success"), default=True, editable=False)
    traceback = models.TextField(_("traceback"), blank=True, default="", editable=False)
    attempts = models.SmallIntegerField(_("attempts"), default=1, editable=False)

    class Meta:
        verbose_name = _("Task")
        verbose_name_plural = _("Tasks")
        ordering: ClassVar = ["-stopped", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["success", "stopped", "id"], name="djq_task_outcome"),
            models.Index(fields=["name"], name="djq_task_name"),
            models.Index(fields=["group", "success"], name="djq_task_group"),
        ]

    def __str__(self) -> str:
        return str(self.name or self.id)

    @property
    def args(self) -> Arguments:
        """The positional arguments; unpickled at each call."""
        return self._call()[1]

    @args.setter
    def args(self, args: Arguments) -> None:
        func, _args, kwargs = self._call()
        self.body = pickle.dumps((func, tuple(args or ()), kwargs), PROTOCOL)

    @property
    def kwargs(self) -> KeywordArguments:
        """The keyword arguments; unpickled at each call."""
        return self._call()[2]

    @kwargs.setter
    def kwargs(self, kwargs: Mapping[str, Any]) -> None:
        func, args, _kwargs = self._call()
        self.body = pickle.dumps((func, args, dict(kwargs or {})), PROTOCOL)

    @property
    def result(self) -> Any:
        """What the function returned; of a failure the line that says why."""
        return None if self.value is None else load_value(bytes(self.value))

    @result.setter
    def result(self, result: object) -> None:
        self.value = pickle.dumps(result, PROTOCOL)

    def time_taken(self) -> float:
        """Seconds from the call of `async_task` to the outcome, the wait in the queue included."""
        return float((self.stopped - self.started).total_seconds())

    def _call(self) -> tuple[Function, Arguments, KeywordArguments]:
        return load_call(bytes(self.body)) if self.body else (self.func, (), {})


class SuccessManager(models.Manager["Success"]):
    """Tasks that succeeded."""

    def get_queryset(self) -> models.QuerySet[Success]:
        return super().get_queryset().filter(success=True)


class FailureManager(models.Manager["Failure"]):
    """Tasks that failed."""

    def get_queryset(self) -> models.QuerySet[Failure]:
        return super().get_queryset().filter(success=False)


class Success(Task):
    """A task that succeeded."""

    objects: ClassVar[SuccessManager] = SuccessManager()

    class Meta:
        proxy = True
        ordering: ClassVar = ["-stopped", "-id"]
        verbose_name = _("Successful task")
        verbose_name_plural = _("Successful tasks")


class Failure(Task):
    """A task that failed."""

    objects: ClassVar[FailureManager] = FailureManager()

    class Meta:
        proxy = True
        ordering: ClassVar = ["-stopped", "-id"]
        verbose_name = _("Failed task")
        verbose_name_plural = _("Failed tasks")


class NameField(EmptyIsNull, ExactCharField):
    """A name that is unique where there is one."""


class Schedule(ScheduleChoices, models.Model):
    """When a task is to be made, again and again.

    `next_run`, `repeats`, `task` and what follows `last_error` go on as the scheduler runs.
    """

    THE_SCHEDULERS_OWN = ("task", "anchor", "pending", "held_until", "unfinished", "sent_at")
    """Fields that an object read a while ago must not write back."""

    name = NameField(_("name"), max_length=100, null=True, blank=True, unique=True)
    func = models.CharField(_("function"), max_length=256, help_text="e.g. module.tasks.function")
    hook = models.CharField(
        _("hook"),
        max_length=256,
        null=True,
        blank=True,
        help_text="e.g. module.tasks.result_function",
    )
    args = models.TextField(_("args"), null=True, blank=True, help_text="e.g. 1, 2, 'John'")
    kwargs = models.TextField(_("kwargs"), null=True, blank=True, help_text="e.g. x=1, y=2")
    q_options = models.TextField(
        _("options"), blank=True, default="", help_text="e.g. timeout=30, group='reports'"
    )
    schedule_type = models.CharField(
        _("schedule type"), max_length=2, choices=ScheduleChoices.TYPE, default=ScheduleChoices.ONCE
    )
    minutes = models.PositiveSmallIntegerField(
        _("minutes"), null=True, blank=True, help_text=_("Number of minutes, for the type Minutes")
    )
    repeats = models.IntegerField(
        _("repeats"), default=-1, help_text=_("n = n times, -1 = for ever, 0 = never")
    )
    next_run = MomentField(_("next run"), default=timezone.now, null=True)
    task = models.CharField(max_length=100, null=True, editable=False)
    cron = models.CharField(
        _("cron"), max_length=100, null=True, blank=True, help_text="e.g. 0 3 * * *"
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=100,
        blank=True,
        default="",
        help_text=_("Where its wall time is kept; empty: as the cluster is configured"),
    )
    catch_up = models.BooleanField(
        _("catch up"),
        null=True,
        blank=True,
        default=None,
        help_text=_("Whether each missed run is made up for; unknown: as configured"),
    )
    overlap = models.CharField(
        _("overlap"), max_length=5, choices=ScheduleChoices.OVERLAP, default=ScheduleChoices.ALLOW
    )
    intended_date_kwarg = models.CharField(
        _("keyword for the intended time"),
        max_length=100,
        null=True,
        blank=True,
        help_text=_("Name of a keyword that tells the function for which time it was meant"),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    last_error = models.TextField(_("last error"), blank=True, default="", editable=False)
    anchor = models.CharField(max_length=200, blank=True, default="", editable=False)
    pending = models.TextField(blank=True, default="", editable=False)
    held_until = MomentField(null=True, default=None, editable=False)
    unfinished = models.CharField(max_length=32, blank=True, default="", editable=False)
    sent_at = MomentField(_("last sent"), null=True, default=None, editable=False)
    # What an idle scheduler asks for, by its index alone: finished and paused rows are not in it.
    due_at = models.GeneratedField(
        expression=Case(
            When(~Q(pending=""), then=F("held_until")),
            When(
                Q(enabled=True) & ~Q(repeats=0),
                then=Coalesce("held_until", "next_run", output_field=models.DateTimeField()),
            ),
            output_field=models.DateTimeField(),
        ),
        output_field=models.DateTimeField(null=True),
        db_persist=True,
    )

    class Meta:
        verbose_name = _("Scheduled task")
        verbose_name_plural = _("Scheduled tasks")
        ordering: ClassVar = ["next_run"]
        indexes: ClassVar = [models.Index(fields=["due_at", "id"], name="djq_schedule_due")]

    def __str__(self) -> str:
        return self.name or self.func

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row; what the scheduler has written since it was read stays.

        A row that was left alone for an error is looked at again.
        """
        if self._state.adding:
            self._begin_on_the_grid()
        else:
            fields = self._refresh_the_schedulers_own(kwargs.get("using"))
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], *fields}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Check the fields, each for itself and together.

        Raises:
            ValidationError: A sentence for each field that is wrong.
        """
        self.next_run = MomentField().to_python(self.next_run)
        problems = problems_of(row_of(self), schedule_defaults(), get_zone)
        if problems:
            raise ValidationError(dict(problems))

    def upcoming(self, count: int = 5) -> list[UpcomingRun]:
        """The next runs, with gaps and overlaps at daylight saving marked; none while paused.

        Raises:
            ScheduleRefused: Its type, cron or time zone is wrong.
        """
        if not self.enabled:
            return []
        return upcoming(row_of(self), SystemClock().now(), schedule_defaults(), get_zone, count)

    def success(self) -> bool | None:
        """Whether the last task succeeded. None: there is none, or it has not ended."""
        task = self._last_task()
        return None if task is None else task.success

    def last_run(self) -> str | None:
        """The last task, as a link into the admin. None: there is none, or it has not ended."""
        task = self._last_task()
        return None if task is None else self.last_run_link(task.id, task.name, task.success)

    @staticmethod
    def last_run_link(task_id: str, name: str, success: bool) -> str:  # noqa: FBT001 - a task's own
        """The link to a task, or only its name where the admin has no page for it."""
        page = "success" if success else "failure"
        try:
            url = reverse(f"admin:djq_{page}_change", args=(task_id,))
        except NoReverseMatch:
            return f"[{name}]"
        return format_html('<a href="{}">[{}]</a>', url, name)

    def _begin_on_the_grid(self) -> None:
        """Let a new cron schedule begin with a time that it names. One that is wrong stays so."""
        if self.schedule_type != self.CRON or self.next_run is None:
            return
        self.next_run = MomentField().to_python(self.next_run)
        row, custom = row_of(self), schedule_defaults()
        try:
            rule = rule_of(row, custom, get_zone)
            slot = slot_of(row, rule, row.time_zone or custom.time_zone)
        except ScheduleRefused:
            return
        if slot is not None:
            self.next_run = slot.at

    def _last_task(self) -> Task | None:
        if not self.task:
            return None
        return Task.objects.defer("body", "value", "traceback").filter(id=self.task).first()

    def _refresh_the_schedulers_own(self, using: str | None) -> set[str]:
        """Take over what the scheduler has written; gives the fields that this changes for all."""
        rows = Schedule._base_manager.using(using or self._state.db)
        found = rows.filter(pk=self.pk).values(*self.THE_SCHEDULERS_OWN).first()
        for name, value in (found or {}).items():
            setattr(self, name, value)
        if self.pending:
            return set()
        self.held_until = None
        if not self.last_error.startswith(RUN_FAILED):
            self.last_error = ""
        return {"held_until", "last_error"}


class OrmQ(models.Model):
    """A package in the queue of the ORM broker.

    It can be taken when `available_at` has come: the moment it was queued at first, the end of its
    lease once it has been taken. `attempts` counts how often it was taken and never goes back, since
    a receipt names the delivery by it; `unbegun` counts those among them that were given back before
    the task began, and that do not count as attempts of the task.
    """

    key = ExactCharField(_("key"), max_length=100)
    payload = models.TextField(_("payload"))
    lock = models.DateTimeField(_("lock"), null=True)
    available_at = models.DateTimeField(_("available at"))
    attempts = models.IntegerField(_("attempts"), default=0)
    unbegun = models.IntegerField(_("unbegun"), default=0)

    class Meta:
        verbose_name = _("Queued task")
        verbose_name_plural = _("Queued tasks")
        indexes: ClassVar = [
            models.Index(fields=["key", "available_at", "id"], name="djq_ormq_due"),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.pk}"
