"""The admin of schedules: a form that checks every field, shows the next runs, and overwrites nothing.

Only what somebody changed in the form is written: the scheduler goes on meanwhile, and a page that
was opened a while ago must not set `next_run` or `repeats` back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Field, QuerySet
from django.http import HttpRequest
from django.utils import dateformat
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from djq import assembly
from djq.admin.lists import BoundedAdmin, BoundedList, count_words
from djq.core.schedule_checks import UpcomingRun
from djq.core.walltime import Kind
from djq.exceptions import DjqError
from djq.models import Schedule, Task
from djq.tasks import scheduling

RUNS_SHOWN = 10
TEXT_ROWS = 2
"""Arguments are a line, as a rule; the corner of the field makes it larger."""
ERROR_CHARACTERS_SHOWN = 100
PREVIEW = "_preview"
"""The name of the button."""


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """The form of a schedule; asked for a preview, it is shown again and nothing is saved."""

    def is_valid(self) -> bool:
        """Whether it is to be saved."""
        return super().is_valid() and PREVIEW not in self.data


class ScheduleList(BoundedList):
    """A page of schedules, with what their last tasks came to."""

    def get_results(self, request: HttpRequest) -> None:
        """Read a page."""
        super().get_results(request)
        add_last_tasks(self.result_list)


@admin.register(Schedule)
class ScheduleAdmin(BoundedAdmin):
    """Scheduled tasks (the manual, 1.11.3): list, form, preview, and what can be done with several."""

    form = ScheduleForm
    list_display = (
        *("id", "name", "func", "schedule_type", "repeats", "enabled", "next_run"),
        *("last_run", "success", "error"),
    )
    list_display_links = ("id", "name")
    list_filter = ("next_run", "schedule_type", "enabled")
    search_fields = ("func", "name")
    readonly_fields = ("upcoming_runs", "last_run", "success", "last_error")
    actions = ("pause", "resume", "run_now")
    fieldsets = (
        (None, {"fields": ("name", "func", "args", "kwargs", "hook", "q_options", "enabled")}),
        (
            _("When"),
            {
                "fields": (
                    *("schedule_type", "minutes", "cron", "time_zone", "next_run", "repeats"),
                    *("catch_up", "overlap", "intended_date_kwarg", "upcoming_runs"),
                )
            },
        ),
        (_("Last run"), {"fields": ("last_run", "success", "last_error")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """The rows where the schedules are."""
        rows: QuerySet[Schedule] = super().get_queryset(request)
        return rows.using(assembly.schedule_alias())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        """The list that reads the last tasks of a page at once."""
        return ScheduleList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Schedule | None:
        """A schedule, with what its last task came to."""
        found: Schedule | None = super().get_object(request, object_id, from_field)
        add_last_tasks([] if found is None else [found])
        return found

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        """Remember beside its field what the page showed, where the scheduler writes too."""
        found = super().formfield_for_dbfield(db_field, request, **kwargs)
        if found is not None and db_field.name in {"next_run", "repeats"}:
            found.show_hidden_initial = True
        if found is not None and db_field.name == "next_run":
            found.required = False
        if found is not None and isinstance(found.widget, forms.Textarea):
            found.widget.attrs["rows"] = TEXT_ROWS
        return found

    def save_model(
        self,
        request: HttpRequest,
        obj: Schedule,
        form: forms.ModelForm[Schedule],
        change: bool,  # noqa: FBT001 - Django's own
    ) -> None:
        """Write what was changed, and nothing else."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        changed = set(form.changed_data)
        is_resumed = "enabled" in changed and obj.enabled and "next_run" not in changed
        if is_resumed:
            changed.discard("enabled")
        if changed:
            obj.save(update_fields=sorted(changed))
        if is_resumed:
            scheduling.resume(obj)

    @admin.display(description=_("next runs"))
    def upcoming_runs(self, schedule: Schedule) -> str | SafeString:
        """The next runs, with what daylight saving does to them."""
        if not schedule.func:
            return "-"
        try:
            runs = schedule.upcoming(RUNS_SHOWN)
        except DjqError as error:
            return str(error)
        if not runs:
            return str(_("none: it is paused, or used up"))
        lines = format_html_join(
            "",
            "<li{}>{}</li>",
            [
                (
                    ""
                    if run.kind is Kind.PLAIN
                    else format_html(' class="djq-{}"', run.kind.name.lower()),
                    _as_text(run),
                )
                for run in runs
            ],
        )
        return format_html("<ol>{}</ol>", lines)

    @admin.display(description=_("last run"))
    def last_run(self, schedule: Schedule) -> str | None:
        """The last task that has ended, as a link where there is a page for it."""
        last = getattr(schedule, "last", None)
        return None if last is None else schedule.last_run_link(schedule.task or "", *last)

    @admin.display(description=_("success"), boolean=True)
    def success(self, schedule: Schedule) -> bool | None:
        """Whether it succeeded."""
        last: tuple[str, bool] | None = getattr(schedule, "last", None)
        return None if last is None else last[1]

    @admin.display(description=_("last error"))
    def error(self, schedule: Schedule) -> str:
        """What is wrong, cut."""
        text = schedule.last_error
        return text if len(text) <= ERROR_CHARACTERS_SHOWN else f"{text[:ERROR_CHARACTERS_SHOWN]}…"

    @admin.action(description=_("Pause the selected schedules"), permissions=["change"])
    def pause(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        """Let them make no tasks."""
        self._each(request, chosen, scheduling.pause, _now("Paused."))

    @admin.action(description=_("Resume the selected schedules"), permissions=["change"])
    def resume(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        """Let them go on with their next slots."""
        self._each(request, chosen, scheduling.resume, _now("Resumed."))

    @admin.action(description=_("Run the selected schedules now"), permissions=["change"])
    def run_now(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        """Send one more task of each."""
        self._each(request, chosen, scheduling.run_now, _now("Run once more."))

    def _each(
        self,
        request: HttpRequest,
        chosen: QuerySet[Schedule],
        act: Callable[[Schedule], object],
        said: str,
    ) -> None:
        """Do it with each of them; `said` is what its history says then."""
        done = 0
        refused: list[tuple[str, str]] = []
        for schedule in chosen:
            try:
                act(schedule)
            except DjqError as error:
                refused.append((str(schedule), str(error)))
            else:
                done += 1
                self.log_change(request, schedule, said)
        if done:
            words = count_words("Done with %d schedule.", "Done with %d schedules.", done)
            self.message_user(request, words, messages.SUCCESS)
        self.tell_refused(request, refused)


def add_last_tasks(schedules: Iterable[Any]) -> None:
    """Let schedules know the name and the success of their last task that has ended: one query."""
    rows = list(schedules)
    # Results may be in another database, so they are no part of the query of schedules.
    tasks = Task.objects.using(assembly.result_alias()).filter(
        id__in={row.task for row in rows if row.task}
    )
    found = {id: rest for id, *rest in tasks.values_list("id", "name", "success")}
    for row in rows:
        row.last = found.get(row.task)


NOTES = {
    Kind.GAP: _("gap: %s does not exist that day, clocks go forward"),
    Kind.OVERLAP: _("overlap: %s comes twice that day, clocks go back"),
}


def _as_text(run: UpcomingRun) -> str:
    """As the run writes itself, in the language of the page."""
    moment = dateformat.format(run.at, "D Y-m-d H:i:s O")
    note = NOTES.get(run.kind)
    return moment if note is None else f"{moment} ({note % f'{run.meant:%H:%M}'})"
