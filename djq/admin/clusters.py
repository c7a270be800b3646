"""The page of the clusters: what runs now, what waits, what ended, what comes; it renews itself.

The server renders the whole of it, and the very same again for each renewal: the script only puts in what
has changed. Without the script it is a page of tables.

Whoever has the permission to view clusters sees the queue, the clusters and what they run. Failures and
schedules are shown, and linked, to those who may view them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from djq.admin.looks import look
from djq.admin.rows import clusters_shown, comings, failures, notices, queue_shown
from djq.models import Clusters, Failure, OrmQ, Schedule
from djq.runtime.scope import outside_transactions

RENEWED_SECONDS = 2
"""From one answer to the next question."""


@admin.register(Clusters)
class ClustersAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """One page in the place of a list."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody: there are no rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """The page, under the name of a list, and what renews it."""
        page = self.admin_site.admin_view(require_safe(self.changelist_view))
        now = never_cache(require_safe(self.now_view))
        return [
            path("", outside_transactions(page), name="djq_clusters_changelist"),
            # Not a view of the admin: who is logged out gets 403 from it, not the page to log in.
            path("now/", outside_transactions(now), name="djq_clusters_now"),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("Clusters"),
            "opts": self.opts,
            "renewed_seconds": RENEWED_SECONDS,
            "now_url": self._url("djq_clusters_now"),
            "login_url": self._url("login"),
            **self._now(request),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "djq/clusters.html", context)

    def now_view(self, request: HttpRequest) -> HttpResponse:
        """What the page shows, as of now."""
        if not (self.admin_site.has_permission(request) and self.has_view_permission(request)):
            return HttpResponse(_("Log in to see this."), status=403, content_type="text/plain")
        return TemplateResponse(request, "djq/clusters_now.html", self._now(request))

    def _now(self, request: HttpRequest) -> dict[str, Any]:
        seen = look(["queue", "clusters", *self._parts(request)])
        return {
            # Without USE_TZ a template shows an aware moment in the zone that it has.
            "at": seen.at.astimezone(timezone.get_current_timezone()),
            "notices": notices(seen),
            "queue": queue_shown(seen, self._list_url(request, OrmQ)),
            "running": clusters_shown(seen),
            "failures": failures(seen, self._row_url),
            "schedules": comings(seen, self._row_url),
            "failures_url": self._list_url(request, Failure),
            "schedules_url": self._list_url(request, Schedule),
        }

    def _parts(self, request: HttpRequest) -> Iterator[str]:
        if self._may_view(request, Failure):
            yield "failures"
        if self._may_view(request, Schedule):
            yield "schedules"

    def _may_view(self, request: HttpRequest, model: type[Model]) -> bool:
        if not self.admin_site.is_registered(model):
            return False
        own = self.admin_site.get_model_admin(model)
        return own.has_view_or_change_permission(request)

    def _list_url(self, request: HttpRequest, model: type[Model]) -> str | None:
        if not self._may_view(request, model):
            return None
        return self._url(f"djq_{model._meta.model_name}_changelist")  # noqa: SLF001 - documented all the same

    def _row_url(self, model: type[Model], key: str | int) -> str:
        return self._url(f"djq_{model._meta.model_name}_change", quote(key))  # noqa: SLF001

    def _url(self, name: str, *args: Any) -> str:
        return reverse(f"admin:{name}", args=args, current_app=self.admin_site.name)
