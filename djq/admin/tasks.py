"""The admin of tasks that have ended: to look at and delete, and failures to send once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Q, QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from djq import assembly
from djq.admin.lists import BoundedAdmin, count_words
from djq.admin.values import OPENED_BYTES_MAX, shown, text
from djq.core.call import load_text
from djq.core.message import first_line, plain
from djq.models import Failure, Success, Task
from djq.results.texts import LINE_BYTES_MAX, up_to
from djq.tasks.resubmitting import resubmit

SEARCHED_ROWS = 10_000
"""The newest rows, among which parts of names are looked for."""
FOUND_MAX = 200
"""So many are shown of each kind."""
GROUP_ROWS = 1_000
"""The newest rows, whose groups the filter offers."""
GROUPS_SHOWN = 20
LINE_CHARACTERS_SHOWN = 100
RESUBMITTED_AT_ONCE = 100
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


def _with_words(newest: QuerySet[Any], words: Sequence[str]) -> QuerySet[Any]:
    """The newest tasks, of those that have each word in a name, a function or a group."""
    edge = newest.values_list("stopped", flat=True)[SEARCHED_ROWS : SEARCHED_ROWS + 1]
    for moment in edge:
        newest = newest.filter(stopped__gte=moment)
    for word in words:
        parts = Q(name__icontains=word) | Q(func__icontains=word) | Q(group__icontains=word)
        newest = newest.filter(parts)
    return newest


class TaskAdmin(BoundedAdmin):
    """Tasks that have ended; no page writes a row."""

    list_filter = (GroupFilter, "stopped")
    lookups = ("name", "id")
    search_fields = ("name", "func", "group")
    search_help_text = _(
        "An id, a name or a group; or words from the names, functions and groups of the 10,000 newest"
    )
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
        """A row with what it was deferred for, unless that is too large to be opened."""
        found: Any | None = super().get_object(request, object_id, from_field)
        if found is not None:
            rows = Task.objects.using(found._state.db).filter(pk=found.pk)  # noqa: SLF001
            sizes = {"body_bytes": Length("body"), "value_bytes": Length("value")}
            small = {name: up_to(OPENED_BYTES_MAX, name) for name in ("body", "value")}
            columns = rows.annotate(**sizes).values_list(*sizes, *small.values(), "traceback")
            names = (*sizes, *PAYLOADS)
            vars(found).update(zip(names, columns.first() or (0, 0, b"", None, ""), strict=True))
        return found

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Those with this very id, name or group; and newest ones that have each word somewhere."""
        term = search_term.strip()
        if not term:
            return queryset, False
        newest = queryset.order_by("-stopped", "-id")
        exact = [Q(id=term.replace("-", "").lower()), Q(name=term)]
        if GroupFilter.parameter_name not in request.GET:
            exact.append(Q(group=term))
        # One by one: asked for all of them at once, a database may read the whole table.
        looks = [newest.filter(each) for each in exact]
        looks.append(_with_words(newest, term.split()))
        found = [list(rows.values_list("pk", flat=True)[: FOUND_MAX + 1]) for rows in looks]
        if request.method == "GET" and any(len(ids) > FOUND_MAX for ids in found):
            words = _now("More than %d were found: these are the newest of them.") % FOUND_MAX
            self.message_user(request, words, messages.WARNING)
        chosen = {id for ids in found for id in ids[:FOUND_MAX]}
        return queryset.filter(pk__in=sorted(chosen)), False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody: a cluster makes them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody: a row says what has been."""
        return False

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

    # What went wrong comes where a narrow page still shows it.
    list_display = ("name", "func", "result", "stopped", "attempts", "group", "started")
    actions = ("resubmit",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Rows with the line that says why, which is small."""
        line = up_to(LINE_BYTES_MAX, "value")
        rows: QuerySet[Any] = super().get_queryset(request).annotate(line=line)
        return rows

    @admin.display(description=_("result"))
    def result(self, task: Any) -> str:
        """The line that says why it failed, cut; read without running anything."""
        line = None if task.line is None else load_text(bytes(task.line))
        return str(_("see its page")) if line is None else first_line(line, LINE_CHARACTERS_SHOWN)

    def has_resubmit_permission(self, request: HttpRequest) -> bool:
        """Who may change failures, which nobody else has any use for."""
        may: bool = admin.ModelAdmin.has_change_permission(self, request)
        return may

    @admin.action(
        description=_("Resubmit the selected tasks to the queue"), permissions=["resubmit"]
    )
    def resubmit(self, request: HttpRequest, chosen: QuerySet[Any]) -> None:
        """Send them once more, with all that they were asked for with."""
        # Links of a chain in their order: the first takes those behind it along.
        ids = list(chosen.order_by("place", "pk").values_list("pk", flat=True))
        sent: list[Failure] = []
        refused: list[tuple[str, str]] = []
        for start in range(0, len(ids), RESUBMITTED_AT_ONCE):
            some = ids[start : start + RESUBMITTED_AT_ONCE]
            done = resubmit(Failure.objects.using(chosen.db).filter(pk__in=some))
            sent += [Failure(id=task.id, name=task.name) for task in done.sent]
            refused += [(str(task), reason) for task, reason in done.refused]
        if sent:
            user: Any = request.user
            said = _now("Resubmitted to the queue.")
            LogEntry.objects.log_actions(user.pk, sent, CHANGE, said)
            words = count_words("%d task was resubmitted.", "%d tasks were resubmitted.", len(sent))
            self.message_user(request, words, messages.SUCCESS)
        elif not refused:
            # A second click, or somebody else's.
            words = _now("Nothing was resubmitted: what was chosen is not here any more.")
            self.message_user(request, words, messages.WARNING)
        self.tell_refused(request, refused)
