"""Lists of tables that may have millions of rows: nothing here reads or counts all of them.

Django's own lists count the table once or twice a page, and act on all that was found. These count up
to a limit and say "and more", and an action takes so many rows at a time.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

AnyModel = TypeVar("AnyModel", bound=Model)

COUNTED_MAX = 10_000
"""So many rows are counted, and can be paged through."""
ACTED_MAX = 900
"""Rows that an action takes at once: its page of confirmation sends one field for each, and Django takes
a thousand."""


class AtLeast(int):
    """A number that may be more."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # no generic at run time
    """Pages of a queryset, up to the limit."""

    @cached_property
    def count(self) -> int:
        """How many rows there are, `AtLeast` the limit."""
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # what the admin pages through
        found = rows.order_by().values("pk")[: COUNTED_MAX + 1].count()
        return AtLeast(COUNTED_MAX) if found > COUNTED_MAX else found


class BoundedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """What the lists have in common."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *rest: Any, **more: Any
    ) -> HttpResponse | None:
        """Let an action on all that was found take the first of them."""
        across = self.action_form.base_fields["select_across"]
        if across.to_python(request.POST.get("select_across")):
            ids = list(queryset.values_list("pk", flat=True)[: ACTED_MAX + 1])
            if len(ids) > ACTED_MAX:
                words = _("There are more than %d: these are the first of them.") % ACTED_MAX
                self.message_user(request, words, messages.WARNING)
            queryset = queryset.filter(pk__in=ids[:ACTED_MAX])
        # Django 6.1 says where the action stands, too.
        return super().response_action(request, queryset, *rest, **more)


def count_words(one: str, many: str, number: int) -> str:
    """A translated sentence with a number in it, as `%d`."""
    return ngettext(one, many, number) % number
