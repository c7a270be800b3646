"""The fields of schedules that Django has no field for, and their documented choices."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.expressions import BaseExpression
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class EmptyIsNull(models.Field):  # type: ignore[type-arg]  # no generic at run time
    """Keeps an empty text as NULL, of which a unique column may have many."""

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return super().get_db_prep_save(value or None, connection)


class MomentField(models.DateTimeField):  # type: ignore[type-arg]  # no generic at run time
    """A moment, given as a datetime or as an Arrow object; kept as Django keeps times."""

    def to_python(self, value: Any) -> Any:
        value = getattr(value, "datetime", value)
        if isinstance(value, datetime) and timezone.is_aware(value) and not _keeps_zones():
            return timezone.make_naive(value, timezone.get_default_timezone())
        return super().to_python(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001 - Django's own
        value = getattr(model_instance, self.attname)
        if not isinstance(value, BaseExpression):
            setattr(model_instance, self.attname, self.to_python(value))
        return super().pre_save(model_instance, add)


def _keeps_zones() -> bool:
    # The connection knows what USE_TZ says; it is not opened for that.
    return connections[DEFAULT_DB_ALIAS].timezone is not None


class ScheduleChoices:
    """The types of schedules and what becomes of overlapping runs, as attributes of `Schedule`."""

    ONCE = "O"
    MINUTES = "I"
    HOURLY = "H"
    DAILY = "D"
    WEEKLY = "W"
    BIWEEKLY = "BW"
    MONTHLY = "M"
    BIMONTHLY = "BM"
    QUARTERLY = "Q"
    YEARLY = "Y"
    CRON = "C"
    TYPE = (
        (ONCE, _("Once")),
        (MINUTES, _("Minutes")),
        (HOURLY, _("Hourly")),
        (DAILY, _("Daily")),
        (WEEKLY, _("Weekly")),
        (BIWEEKLY, _("Biweekly")),
        (MONTHLY, _("Monthly")),
        (BIMONTHLY, _("Bimonthly")),
        (QUARTERLY, _("Quarterly")),
        (YEARLY, _("Yearly")),
        (CRON, _("Cron")),
    )
    ALLOW = "allow"
    SKIP = "skip"
    OVERLAP = ((ALLOW, _("Allow")), (SKIP, _("Skip while the last run is unfinished")))
