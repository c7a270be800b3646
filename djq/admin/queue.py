"""The admin of the ORM broker's queue: what waits, who is asked for it, and what was tampered with.

A package is looked into only once its signature has been found to be ours, and of that the header alone;
the call in it is opened on the page of one package.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Case, Field, QuerySet, TextField, Value, When
from django.db.models.functions import Length
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import localize
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from djq import assembly
from djq.admin.lists import BoundedAdmin, BoundedList
from djq.admin.values import mark, shown
from djq.conf import find_config
from djq.core.call import load_call
from djq.core.frame import options_of, unpack
from djq.core.message import TaskMessage
from djq.exceptions import BadPackage
from djq.models import OrmQ

LISTED_CHARACTERS_MAX = 50_000
"""A larger package is looked into on its own page only."""


class QueueList(BoundedList):
    """A page of the queue, with the packages that are not large."""

    def get_results(self, request: HttpRequest) -> None:
        """Read a page: its rows first, since a database may measure packages that it passes over."""
        super().get_results(request)
        rows: dict[int, Any] = {row.pk: row for row in self.result_list}
        small = When(size__lte=LISTED_CHARACTERS_MAX, then="payload")
        package = Case(small, default=Value(""), output_field=TextField())
        read = self.root_queryset.filter(pk__in=rows).annotate(size=Length("payload"))
        for pk, size, found in read.values_list("pk", "size", package):
            rows[pk].size, rows[pk].package = size, found


@admin.register(OrmQ)
class QueueAdmin(BoundedAdmin):
    """Queued tasks (the manual, 1.11.4): only with the ORM broker."""

    list_display = (
        *("id", "key", "task_id", "name", "func", "group"),
        *("tries", "taken_at", "lease"),
    )
    sortable_by = ("id",)
    readonly_fields = (
        *("key", "task_id", "name", "func", "arguments", "keywords", "group", "hook"),
        *("further_options", "asked_for", "tries", "taken_at", "lease", "characters"),
    )
    fieldsets = (
        (None, {"fields": ("key", "task_id", "name", "func", "arguments", "keywords")}),
        (_("Asked for with"), {"fields": ("asked_for", "group", "hook", "further_options")}),
        (
            _("In the queue"),
            {"fields": ("tries", "taken_at", "lease", "characters", "available_at")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrmQ]:
        """The rows where the queue is, without their packages."""
        config = find_config()
        rows: QuerySet[OrmQ] = super().get_queryset(request)
        return rows.using(None if config is None else config.orm).defer("payload")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        """The list that reads the packages of a page."""
        return QueueList

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> OrmQ | None:
        """A row with its package, however large."""
        found: Any | None = super().get_object(request, object_id, from_field)
        if found is not None:
            found.package, found.size = found.payload, len(found.payload)
            found.due = found.available_at
            found.available_at = _local(found.available_at, found._state.db)  # noqa: SLF001
        return found

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        """Only when it is due can be changed; left empty it stays."""
        found = super().formfield_for_dbfield(db_field, request, **kwargs)
        if found is not None and db_field.name == "available_at":
            # A cluster may take the row while somebody looks at the page: a lease must not be ended
            # by a field that nobody has touched.
            found.show_hidden_initial = True
            found.required = False
            found.help_text = _(
                "When it can be taken. An earlier time lets another worker run a task that is "
                "being run."
            )
        return found

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's own
        obj: OrmQ,
        form: forms.ModelForm[OrmQ],
        change: bool,  # noqa: ARG002, FBT001 - Django's own
    ) -> None:
        """Write when it is due, and nothing else: a cluster may have taken it meanwhile, or be done."""
        if "available_at" in form.changed_data and obj.available_at is not None:
            alias = obj._state.db  # noqa: SLF001
            moment = _kept(obj.available_at, alias)
            OrmQ.objects.using(alias).filter(pk=obj.pk).update(available_at=moment)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody: `async_task` makes them."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As Django says, with the ORM broker."""
        return _is_used() and super().has_view_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As Django says, with the ORM broker."""
        return _is_used() and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """As Django says, with the ORM broker."""
        return _is_used() and super().has_delete_permission(request, obj)

    @admin.display(description=_("task id"))
    def task_id(self, row: OrmQ) -> str | SafeString:
        """The id of the task, or why there is none to be seen."""
        message = message_of(row)
        return message.id if isinstance(message, TaskMessage) else message

    @admin.display(description=_("name"))
    def name(self, row: OrmQ) -> str | None:
        """The name of the task."""
        return self._header(row, "name")

    @admin.display(description=_("function"))
    def func(self, row: OrmQ) -> str | None:
        """The dotted path of its function."""
        return self._header(row, "func")

    @admin.display(description=_("group"))
    def group(self, row: OrmQ) -> str | None:
        """Its group."""
        return self._header(row, "group")

    @admin.display(description=_("hook"))
    def hook(self, row: OrmQ) -> str | None:
        """Its hook."""
        return self._header(row, "hook")

    @admin.display(description=_("options"))
    def further_options(self, row: OrmQ) -> str | None:
        """What else it was asked for with."""
        message = message_of(row)
        return options_of(message) or None if isinstance(message, TaskMessage) else None

    @admin.display(description=_("asked for"))
    def asked_for(self, row: OrmQ) -> str | None:
        """When `async_task` was called."""
        message = message_of(row)
        return _said(message.enqueued_at) if isinstance(message, TaskMessage) else None

    @admin.display(description=_("args"))
    def arguments(self, row: OrmQ) -> str | SafeString:
        """The positional arguments."""
        return self._call(row, 1)

    @admin.display(description=_("kwargs"))
    def keywords(self, row: OrmQ) -> str | SafeString:
        """The keyword arguments."""
        return self._call(row, 2)

    @admin.display(description=_("attempts"))
    def tries(self, row: OrmQ) -> int:
        """How often it was taken, but for when it was given back before it began."""
        return row.attempts - row.unbegun

    @admin.display(description=_("lock"))
    def taken_at(self, row: OrmQ) -> datetime | None:
        """When it was last taken by a cluster."""
        return None if row.lock is None else _local(row.lock, row._state.db)  # noqa: SLF001

    @admin.display(description=_("lease"))
    def lease(self, row: OrmQ) -> str:
        """Whether it waits, is held back, or is being worked on."""
        due: datetime = getattr(row, "due", row.available_at)
        until = _aware(due, row._state.db)  # noqa: SLF001
        if until <= assembly.surroundings().clock.now():
            return _now("waits") if row.lock is None else _now("waits; its lease has ended")
        words = _now("not before %s") if row.lock is None else _now("leased until %s")
        return words % _said(until)

    @admin.display(description=_("characters"))
    def characters(self, row: Any) -> int:
        """How large the package is."""
        return int(row.size)

    def _header(self, row: OrmQ, name: str) -> str | None:
        message = message_of(row)
        return getattr(message, name) if isinstance(message, TaskMessage) else None

    def _call(self, row: OrmQ, part: int) -> str | SafeString:
        message = message_of(row)
        if not isinstance(message, TaskMessage):
            return "-"
        return shown(lambda: load_call(message.body)[part], len(message.body))


def message_of(row: Any) -> TaskMessage | SafeString:
    """The header of a package, opened once, or the mark that says why it cannot be read."""
    if not hasattr(row, "opened"):
        row.opened = _open(row)
    opened: TaskMessage | SafeString = row.opened
    return opened


def _open(row: Any) -> TaskMessage | SafeString:
    if not hasattr(row, "package"):
        return mark(_now("it is not in the queue any more"))
    if not row.package and row.size:
        return mark(_now("%d characters: see its page") % row.size)
    try:
        return unpack(assembly.make_codec(queue=row.key).open(row.package))
    except BadPackage as error:
        return mark(str(error))


def _is_used() -> bool:
    config = find_config()
    return config is not None and config.broker_name == "orm"


def _aware(moment: datetime, alias: str | None) -> datetime:
    """A moment as the queue keeps it: without a zone it is UTC, but for PostgreSQL."""
    if not timezone.is_naive(moment):
        return moment
    return timezone.make_aware(
        moment, timezone.get_default_timezone() if _keeps_local_time(alias) else UTC
    )


def _local(moment: datetime, alias: str | None) -> datetime:
    """A moment of the queue as Django shows it: without USE_TZ it is in the project's time zone."""
    if not timezone.is_naive(moment):
        return moment
    return timezone.make_naive(_aware(moment, alias), timezone.get_default_timezone())


def _kept(moment: datetime, alias: str | None) -> datetime:
    """A moment as Django shows it, for the queue."""
    if not timezone.is_naive(moment) or _keeps_local_time(alias):
        return moment
    return timezone.make_naive(timezone.make_aware(moment, timezone.get_default_timezone()), UTC)


def _keeps_local_time(alias: str | None) -> bool:
    return connections[alias or DEFAULT_DB_ALIAS].vendor == "postgresql"


def _said(moment: datetime) -> str:
    return str(localize(moment.astimezone(timezone.get_current_timezone())))
