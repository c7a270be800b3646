"""Texts as databases keep them."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Case, When
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual

from djq.core.message import TaskMessage, plain
from djq.exceptions import StoreRefused

LIMITS = {"group": 100, "hook": 256}
"""What means something by each of its characters is refused when it is too long, not cut."""

LINE_BYTES_MAX = 5_000
"""The line of a failure is never larger, as it is kept; a list of an iter's results may be."""


def checked_label(label: object) -> str:
    """Give the label of a group.

    Raises:
        TypeError: It is no text.
    """
    if not isinstance(label, str):
        raise TypeError(f"the label of a group is {label!r:.100}; it must be a text")
    return label


def id_or_name(wanted: object) -> str:
    """Give what a task is looked for by.

    Raises:
        TypeError: It is neither a text nor a UUID.
    """
    if isinstance(wanted, UUID):
        return wanted.hex
    if not isinstance(wanted, str):
        raise TypeError(
            f"a task is looked for by {wanted!r:.100}; that must be its id or its name, a text or a UUID"
        )
    return wanted


def refuse_unfit(message: TaskMessage) -> None:
    """Refuse labels and paths that can never be kept.

    Raises:
        StoreRefused: One is too long, or has characters that no database keeps.
    """
    for name, text in (("group", message.group), ("hook", message.hook)):
        if text is not None and (len(text) > LIMITS[name] or plain(text) != text):
            raise StoreRefused(
                f"the {name} {text!r:.300} of task {message.id} cannot be kept; it may have at most "
                f"{LIMITS[name]} characters, and neither zero bytes nor halves of characters"
            )


def up_to(size: int, column: str) -> Case:
    """A column of bytes, where there are no more of them than this: what is large is not sent."""
    return Case(When(LessThanOrEqual(Length(column), size), then=column), default=None)
