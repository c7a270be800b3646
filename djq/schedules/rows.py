"""Rows of schedules as values: times in UTC, texts no longer than they are read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
from django.utils import timezone

from djq.core.schedules import ScheduleRow, anchored

if TYPE_CHECKING:
    from djq.schedule import ScheduleBase

COLUMNS = tuple(field.name for field in attrs.fields(ScheduleRow) if field.name != "held")


def row_of(schedule: ScheduleBase) -> ScheduleRow:
    """A schedule of Django as the value that is decided by; one without a key has 0."""
    values = {name: getattr(schedule, name) for name in COLUMNS}
    values["id"] = values["id"] or 0
    return row_from(values | {"held_until": schedule.held_until})


def row_from(values: Mapping[str, Any]) -> ScheduleRow:
    """The columns of a row as a value."""
    fields = {name: values[name] for name in COLUMNS}
    fields["next_run"] = universal(values["next_run"], values["anchor"])
    fields["sent_at"] = universal(values["sent_at"])
    return ScheduleRow(**fields, held=values["held_until"] is not None)


def universal(moment: datetime | None, anchor: str = "") -> datetime | None:
    """A time as Django gives it, in UTC.

    Without USE_TZ it is local, and once a year stands for two moments: then the anchor, if it is one
    of them, tells which.
    """
    if moment is None:
        return None
    try:
        if timezone.is_aware(moment):
            return moment.astimezone(UTC)
        zone = timezone.get_default_timezone()
        at, _ = anchored(anchor)
        if at is not None and timezone.make_naive(at, zone) == moment:
            return at
        return timezone.make_aware(moment, zone).astimezone(UTC)
    except OverflowError:
        # At either end of time a zone leads out of it; no row may stop the others for that.
        return moment.replace(tzinfo=UTC)
