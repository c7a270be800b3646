"""How the admin shows what tasks were given and returned: bounded, escaped, and never an error page.

What is shown is a pickle that djq wrote. To open it is to run the code of the classes in it, so it is
done for one task at a time, on its own page, and whatever goes wrong then is a mark in the place of the
value.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from djq.core.message import plain
from djq.inline import savepoints

OPENED_BYTES_MAX = 1_000_000
"""A larger pickle stays closed."""
SHOWN_CHARACTERS_MAX = 10_000
PARTS_MAX = 2_000
"""Values within a value that are written out."""


class _Bounded(reprlib.Repr):
    """Writes a value out up to so many parts; a small pickle may hold the same list a million times."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 10
        self.maxtuple = self.maxlist = self.maxarray = self.maxdict = 1_000
        self.maxset = self.maxfrozenset = self.maxdeque = 1_000
        self.maxstring = self.maxlong = self.maxother = SHOWN_CHARACTERS_MAX
        self._left = PARTS_MAX

    def repr1(self, x: Any, level: int) -> str:
        self._left -= 1
        return super().repr1(x, level) if self._left >= 0 else "…"


def shown(load: Callable[[], object], size: int) -> SafeString:
    """A value as text for a page.

    Args:
        load: Gives the value; it may raise whatever it likes.
        size: The bytes of its pickle.
    """
    if size > OPENED_BYTES_MAX:
        return mark(_("%(size)s, too large to be shown here") % {"size": filesizeformat(size)})
    try:
        # Code of others may break the transaction of the page, if there is one.
        with savepoints():
            written = _Bounded().repr(load())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it runs the classes of the project
        return mark(_("cannot be shown: %(error)s") % {"error": _said(error)})
    return text(written)


def text(whole: str) -> SafeString:
    """A text with its lines as they are, cut where it is very long."""
    whole = plain(whole)
    rest = len(whole) - SHOWN_CHARACTERS_MAX
    if rest > 0:
        cut = _("… and %(count)d characters more") % {"count": rest}
        whole = f"{whole[:SHOWN_CHARACTERS_MAX]}\n{cut}"
    return format_html('<pre class="djq-value">{}</pre>', whole)


def mark(words: str) -> SafeString:
    """What stands in the place of something that cannot be shown."""
    return format_html('<strong class="djq-unreadable">⚠ {}</strong>', plain(words)[:1_000])


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception of the project may fail to say what it is
        return type(error).__name__
