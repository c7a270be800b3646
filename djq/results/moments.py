"""Moments as a database keeps them: without USE_TZ they are naive, in the time zone of the project."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.utils import timezone

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def as_kept(connection: BaseDatabaseWrapper, moment: datetime) -> datetime:
    """Give an aware moment as the columns of this database keep it."""
    if connection.timezone is not None:
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


def as_meant(moment: datetime) -> datetime:
    """Give a moment that was read from a database: aware, UTC."""
    if timezone.is_naive(moment):
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return moment.astimezone(UTC)
