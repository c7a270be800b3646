"""The admin of tasks that have ended: to look at and delete, and failures to send once more."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Case, Q, QuerySet, When
from django.db.models.functions import Length
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from djq import assembly
from djq.admin.lists import BoundedAdmin, count_words
from djq.admin.values import shown, text
from djq.core.call import load_text
from djq.core.message import plain
from djq.models import Failure, Success, Task
from djq.tasks.resubmitting import resubmit

SEARCHED_ROWS = 20_000
"""The newest rows, among which parts of names are looked for."""
FOUND_MAX = 500
GROUP_ROWS = 1_000
"""The newest rows, whose groups the filter offers."""
GROUPS_SHOWN = 20
LINE_BYTES_MAX = 5_000
"""The line of a failure is never larger; a list of an iter's results may be."""
LINE_CHARACTERS_SHOWN = 100
RESUBMITTED_AT_ONCE = 100
REFUSALS_SHOWN = 10
PAYLOADS = ("body", "value", "traceback")


class GroupFilter(admin.SimpleListFilter):
    """The groups of the newest tasks, and the one that is chosen."""

    title = _("group")
    parameter_name = "group"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        """The labels, newest first."""
        newest = model_admin.get_queryset(request).order_by("-stopped", "-id")
        labels = dict.fromkeys(newest.values_list("group", flat=True)[:GROUP_ROWS])
        labels.pop(None, None)
        offered = list(labels)[:GROUPS_SHOWN]
        chosen = self.value()
        if chosen is not None and chosen not in offered:
            offered.append(chosen)
        return [(label, label) for label in offered]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """The tasks of the label that is chosen."""
        label = self.value()
        if label is None:
            return queryset
        return queryset.filter(group=label) if plain(label) == label else queryset.none()


class TaskAdmin(BoundedAdmin):
    """Tasks that have ended; no page writes a row."""

    list_filter = (GroupFilter,)
    search_fields = ("name", "func", "group")
    search_help_text = _(
        "An id, a name or a group; or part of a name, a function or a group of the %(count)d newest"
    ) % {"count": SEARCHED_ROWS}
    sortable_by = ("stopped",)
    fieldsets = (
        (None, {"fields": ("name", "id", "func", "arguments", "keywords", "outcome")}),
        (_("Asked for with"), {"fields": ("group", "hook", "queue", "options")}),
        (_("Run"), {"fields": ("started", "stopped", "time_taken", "attempts", "trace")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows where results are kept, without what may be large."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.using(assembly.result_alias()).defer(*PAYLOADS)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any | None:
        """A row, with the sizes of what it has."""
        found: Task | None = super().get_object(request, object_id, from_field)
        if found is not None:
            sizes = Task.objects.using(found._state.db).filter(pk=found.pk)  # noqa: SLF001
            lengths = sizes.values_list(Length("body"), Length("value")).first()
            found.body_bytes, found.value_bytes = lengths or (0, 0)  # type: ignore[attr-defined]
        return found

    def get_search_results(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        search_term: str,  # noqa: ARG002
    ) -> tuple[QuerySet[Any], bool]:
        """Those with this very id, name or group; and newest ones that have each word somewhere."""
        term = search_term.strip()
        if not term:
            return queryset, False
        newest = queryset.order_by("-stopped", "-id")
        exact = newest.filter(Q(id=term.lower()) | Q(name=term) | Q(group=term))
        searched = newest
        edge = newest.values_list("stopped", flat=True)[SEARCHED_ROWS : SEARCHED_ROWS + 1]
        for moment in edge:
            searched = newest.filter(stopped__gte=moment)
        for word in term.split():
            parts = Q(name__icontains=word) | Q(func__icontains=word) | Q(group__icontains=word)
            searched = searched.filter(parts)
        ids = [
            *exact.values_list("pk", flat=True)[:FOUND_MAX],
            *searched.values_list("pk", flat=True)[:FOUND_MAX],
        ]
        return queryset.filter(pk__in=ids), False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody: a cluster makes them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a row; who may change failures may send them once more."""
        return obj is None and super().has_change_permission(request)

    @admin.display(description=_("time taken"))
    def time_taken(self, task: Task) -> float:
        """Seconds from the call to the outcome."""
        return round(task.time_taken(), 6)

    @admin.display(description=_("args"))
    def arguments(self, task: Any) -> SafeString:
        """The positional arguments."""
        return shown(lambda: task.args, task.body_bytes)

    @admin.display(description=_("kwargs"))
    def keywords(self, task: Any) -> SafeString:
        """The keyword arguments."""
        return shown(lambda: task.kwargs, task.body_bytes)

    @admin.display(description=_("result"))
    def outcome(self, task: Any) -> SafeString:
        """What the function returned, or why it failed."""
        size = task.value_bytes or 0
        line = None
        if not task.success and 0 < size <= LINE_BYTES_MAX:
            line = load_text(bytes(task.value))
        return shown(lambda: task.result, size) if line is None else text(line)

    @admin.display(description=_("traceback"))
    def trace(self, task: Task) -> str | SafeString:
        """The traceback, line by line."""
        if not task.traceback:
            return "-"
        return format_html('<pre class="djq-traceback">{}</pre>', task.traceback)


@admin.register(Success)
class SuccessAdmin(TaskAdmin):
    """Successful tasks (the manual, 1.11.1)."""

    list_display = ("name", "func", "started", "stopped", "time_taken", "group")


@admin.register(Failure)
class FailureAdmin(TaskAdmin):
    """Failed tasks (the manual, 1.11.2)."""

    list_display = ("name", "func", "started", "stopped", "result", "group", "attempts")
    actions = ("resubmit",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Rows with the line that says why, which is small."""
        rows = super().get_queryset(request).alias(value_bytes=Length("value"))
        line = Case(When(value_bytes__lte=LINE_BYTES_MAX, then="value"), default=None)
        annotated: QuerySet[Any] = rows.annotate(line=line)
        return annotated

    @admin.display(description=_("result"))
    def result(self, task: Any) -> str:
        """The line that says why it failed, cut; read without running anything."""
        line = None if task.line is None else load_text(bytes(task.line))
        if line is None:
            return str(_("see its page"))
        first = plain(line).partition("\n")[0]
        short = first[:LINE_CHARACTERS_SHOWN]
        return short if short == line else f"{short}…"

    @admin.action(description=_("Resubmit the selected tasks to the queue"), permissions=["change"])
    def resubmit(self, request: HttpRequest, chosen: QuerySet[Any]) -> None:
        """Send them once more, with all that they were asked for with."""
        # Links of a chain in their order: the first takes those behind it along.
        ids = list(chosen.order_by("place", "pk").values_list("pk", flat=True))
        sent: list[Task] = []
        refused: list[tuple[Task, str]] = []
        for start in range(0, len(ids), RESUBMITTED_AT_ONCE):
            some = Failure.objects.using(chosen.db).filter(
                pk__in=ids[start : start + RESUBMITTED_AT_ONCE]
            )
            done = resubmit(some)
            sent += done.sent
            refused += done.refused
        if sent:
            logged = [Failure(id=task.id, name=task.name) for task in sent]
            user: Any = request.user
            said = str(_("Resubmitted to the queue."))
            LogEntry.objects.log_actions(user.pk, logged, CHANGE, said)
            words = count_words("%d task was resubmitted.", "%d tasks were resubmitted.", len(sent))
            self.message_user(request, words, messages.SUCCESS)
        for task, reason in refused[:REFUSALS_SHOWN]:
            line = _("%(task)s was not resubmitted: %(reason)s") % {"task": task, "reason": reason}
            self.message_user(request, line, messages.ERROR)
        if len(refused) > REFUSALS_SHOWN:
            words = count_words(
                "%d more was not resubmitted.",
                "%d more were not resubmitted.",
                len(refused) - REFUSALS_SHOWN,
            )
            self.message_user(request, words, messages.ERROR)
