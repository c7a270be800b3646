"""Lists of tables that may have millions of rows: nothing here reads or counts all of them.

Django's own lists count the table once or twice a page, sort and search by any column, and act on all
that was found. These count up to a limit and say so, sort and filter by what has an index, and an action
takes so many rows at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _now
from django.utils.translation import ngettext

from djq.core.message import cut

COUNTED_MAX = 10_000
"""So many rows are counted, and can be paged through."""
ACTED_MAX = 500
"""Rows that an action takes at once: its page of confirmation has a line and a field for each, and Django
takes a thousand fields."""
REFUSALS_SHOWN = 10
REASON_CHARACTERS_MAX = 300
"""Messages may have to fit into a cookie."""


class AtLeast(int):
    """A number that may be more."""

    def __str__(self) -> str:
        # In front: behind the digits it would be in the way where thousands are parted.
        return f"≥{int(self)}"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # no generic at run time
    """Pages of a queryset, up to the limit."""

    root: QuerySet[Any] | None = None
    """All rows, from which those of a page are read. None: from what is paged through."""

    @cached_property
    def count(self) -> int:
        """How many rows there are, `AtLeast` the limit."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # what the admin pages through
        found = rows.order_by().values("pk")[: COUNTED_MAX + 1].count()
        return AtLeast(COUNTED_MAX) if found > COUNTED_MAX else found

    def page(self, number: int | str) -> Page[Any]:
        """The rows of a page: first which they are, so that an index is read and no row before them."""
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # as above
        ids = list(rows.values_list("pk", flat=True)[first : first + self.per_page])
        # Nothing else is asked of them: with other conditions beside, PostgreSQL may go by those instead.
        root = rows if self.root is None else self.root.order_by(*rows.query.order_by)
        return Page(root.filter(pk__in=ids), number, self)


class BoundedList(ChangeList):
    """A list that is sorted by nothing but what its admin offers, whatever an address says."""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """The order, as Django works it out from the columns that are left."""
        wanted = self.params.get(ORDER_VAR)
        if wanted is not None and self.sortable_by is not None:
            self.params[ORDER_VAR] = ".".join(filter(self._is_sortable, wanted.split(".")))
        return list(super().get_ordering(request, queryset))

    def _is_sortable(self, column: str) -> bool:
        number = column.removeprefix("-")
        if not number.isdecimal() or int(number) >= len(self.list_display):
            return False
        return self.list_display[int(number)] in (self.sortable_by or ())


class BoundedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """What the lists have in common."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    lookups: ClassVar[Sequence[str]] = ()
    """What an address may ask for beside what the filters offer."""

    class Media:
        css: ClassVar = {"all": ["djq/admin.css"]}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        """The list that keeps to its columns."""
        return BoundedList

    def get_paginator(
        self, request: HttpRequest, queryset: QuerySet[Any], *rest: Any, **more: Any
    ) -> Any:
        """The pages of what was found; of a history, too, whose rows are others."""
        made = super().get_paginator(request, queryset, *rest, **more)
        if isinstance(made, BoundedPaginator) and queryset.model is self.model:
            made.root = self.get_queryset(request)
        return made

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:  # noqa: ARG002
        """Only what filters offer: any other may read the whole table."""
        fields = [each for each in self.list_filter if isinstance(each, str)]
        own = [getattr(each, "parameter_name", None) for each in self.list_filter]
        return lookup in {*own, *self.lookups} or lookup.partition("__")[0] in fields

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *rest: Any, **more: Any
    ) -> HttpResponse | None:
        """Let an action on all that was found take the first of them."""
        across = self.action_form.base_fields["select_across"]
        if across.to_python(request.POST.get("select_across")):
            ids = list(queryset.values_list("pk", flat=True)[: ACTED_MAX + 1])
            if len(ids) > ACTED_MAX:
                words = _now("There are more than %d: these are the first of them.") % ACTED_MAX
                self.message_user(request, words, messages.WARNING)
            queryset = queryset.filter(pk__in=ids[:ACTED_MAX])
        # Django 6.1 says where the action stands, too.
        return super().response_action(request, queryset, *rest, **more)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:  # noqa: ARG002 - Django's own
        """Delete the row where it was found: a router may name another database, with rows of its own."""
        obj.delete(using=obj._state.db)  # noqa: SLF001

    def tell_refused(self, request: HttpRequest, refused: Sequence[tuple[str, str]]) -> None:
        """Say what an action left alone: the first of them, each with its reason."""
        for name, reason in refused[:REFUSALS_SHOWN]:
            line = f"{name}: {cut(reason, REASON_CHARACTERS_MAX)}"
            self.message_user(request, line, messages.ERROR)
        rest = len(refused) - REFUSALS_SHOWN
        if rest > 0:
            words = count_words("%d more was refused.", "%d more were refused.", rest)
            self.message_user(request, words, messages.ERROR)


def count_words(one: str, many: str, number: int) -> str:
    """A translated sentence with a number in it, as `%d`."""
    return ngettext(one, many, number) % number
