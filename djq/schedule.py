"""What a schedule has and does, but for its name and its table: the base of `djq.models.Schedule`."""

# ruff: noqa: DJ001 -- the documented fields have always known null from empty: no hook, no group.

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, Q, When
from django.db.models.functions import Coalesce
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from djq import assembly
from djq.conf import get_config, get_zone, schedule_defaults
from djq.core.schedule_calls import call_of
from djq.core.schedule_checks import UpcomingRun, problems_of, upcoming
from djq.core.schedules import RUN_FAILED, rule_of, slot_of
from djq.exceptions import ScheduleRefused, TaskRefused
from djq.schedules.fields import MomentField, ScheduleChoices
from djq.schedules.rows import row_of

if TYPE_CHECKING:
    from djq.models import Task


def present() -> datetime:
    """Now, by the clock of this process: when a schedule first runs that says nothing else."""
    return assembly.surroundings().clock.now()


class ScheduleBase(ScheduleChoices, models.Model):
    """When a task is to be made, again and again.

    `next_run`, `repeats`, `task` and what follows `last_error` go on as the scheduler runs.
    """

    THE_SCHEDULERS_OWN = ("task", "anchor", "pending", "held_until", "unfinished", "sent_at")
    """Fields that an object read a while ago must not write back."""

    func = models.CharField(
        _("function"), max_length=256, help_text=_("e.g. module.tasks.function")
    )
    hook = models.CharField(
        _("hook"),
        max_length=256,
        null=True,
        blank=True,
        help_text=_("e.g. module.tasks.result_function"),
    )
    args = models.TextField(_("args"), null=True, blank=True, help_text=_("e.g. 1, 2, 'John'"))
    kwargs = models.TextField(_("kwargs"), null=True, blank=True, help_text=_("e.g. x=1, y=2"))
    q_options = models.TextField(
        _("options"), blank=True, default="", help_text=_("e.g. timeout=30, group='reports'")
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
    next_run = MomentField(_("next run"), default=present, null=True)
    task = models.CharField(max_length=100, null=True, editable=False)
    cron = models.CharField(
        _("cron"), max_length=100, null=True, blank=True, help_text=_("e.g. 0 3 * * *")
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
            # An object that was saved meanwhile may have cleared the hold of a row that is being sent.
            When(
                ~Q(pending=""),
                then=Coalesce("held_until", "sent_at", output_field=models.DateTimeField()),
            ),
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
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row; what the scheduler has written since it was read stays.

        A row that was left alone for an error is looked at again.
        """
        if self._state.adding:
            self.begin_on_the_grid()
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
        problems = self._idle_fields() | problems_of(row_of(self), schedule_defaults(), get_zone)
        if problems:
            raise ValidationError(dict(problems))
        try:
            self.refuse_unshared_cache()
        except TaskRefused as error:
            raise ValidationError({"q_options": str(error)}) from error

    def _idle_fields(self) -> dict[str, str]:
        """What was written down for another type than the one that is chosen, and would do nothing."""
        meant = {"cron": (self.CRON, "Cron"), "minutes": (self.MINUTES, "Minutes")}
        return {
            field: f"{field} is {getattr(self, field)!r:.100}, which only the type {label} goes by; choose "
            "that type, or leave it empty."
            for field, (kind, label) in meant.items()
            if getattr(self, field) and self.schedule_type != kind
        }

    def refuse_unshared_cache(self) -> None:
        """Refuse a schedule whose outcomes would go to a cache in which nobody would find them.

        With the setting `sync` there is one process, whose own cache will do.

        Raises:
            TaskRefused: The cache is one that each process has for itself, or none at all.
        """
        config = get_config()
        cached = call_of(row_of(self)).options.cached
        if config.cached if cached is None else cached:
            assembly.refuse_unshared_cache(config, sync=config.sync)

    def upcoming(self, count: int = 5) -> list[UpcomingRun]:
        """The next runs, with gaps and overlaps at daylight saving marked; none while paused.

        Raises:
            ScheduleRefused: Its type, cron or time zone is wrong.
        """
        if not self.enabled:
            return []
        return upcoming(row_of(self), present(), schedule_defaults(), get_zone, count)

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

    def begin_on_the_grid(self) -> None:
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
        tasks: type[Task] = apps.get_model("djq", "Task")
        return tasks.objects.defer("body", "value", "traceback").filter(id=self.task).first()

    def _refresh_the_schedulers_own(self, using: str | None) -> set[str]:
        """Take over what the scheduler has written; gives the fields that this changes for all."""
        rows = type(self)._base_manager.using(using or self._state.db)  # noqa: SLF001
        found = rows.filter(pk=self.pk).values(*self.THE_SCHEDULERS_OWN).first()
        for name, value in (found or {}).items():
            setattr(self, name, value)
        if self.pending:
            return set()
        self.held_until = None
        if not self.last_error.startswith(RUN_FAILED):
            self.last_error = ""
        return {"held_until", "last_error"}
