"""What the page of clusters shows, read once: never longer than its bound, and never an error page.

The database is asked as any page of the admin asks it. A broker elsewhere, and the board with the
statistics, may hang without a word: they are asked in threads beside, both at a time, and whoever has
not answered in time is away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future, wait
from functools import partial

import attrs
from django.utils.translation import gettext as _

from djq import assembly, overview
from djq.boards.database import DatabaseBoard
from djq.brokers.orm import OrmBroker
from djq.conf import get_config
from djq.core.disclosure import without_logins
from djq.exceptions import ConfigError
from djq.overview import Overview
from djq.runtime.lookout import Lookout

SECONDS_MAX = 3.0
"""How long a broker and a board may take."""
ROWS_MAX = 10
"""Failures, and runs of schedules."""

BESIDE: Mapping[str, Lookout[Overview]] = {"queue": Lookout(), "clusters": Lookout()}
"""The parts that may not answer."""


def look(parts: Collection[str], *, seconds: float = SECONDS_MAX) -> Overview:
    """One look at these parts of an overview; what was not there in time is among its errors.

    Where Q_CLUSTER has errors there is nothing but these, under the name `settings`.
    """
    try:
        get_config()
    except ConfigError as error:
        now = assembly.surroundings().clock.now()
        return Overview(at=now, errors={"settings": str(error)})
    beside = set(BESIDE) - _in_database()
    asked = {part: BESIDE[part].ask(partial(_take, [part])) for part in beside & set(parts)}
    seen = _take([part for part in parts if part not in asked])
    wait(asked.values(), timeout=seconds)
    for part, answer in asked.items():
        seen = _with(seen, part, answer, seconds)
    return seen


def _with(seen: Overview, part: str, asked: Future[Overview], seconds: float) -> Overview:
    if not asked.done():
        words = _("no answer within %(seconds)g s") % {"seconds": seconds}
        return attrs.evolve(seen, errors={**seen.errors, part: words})
    found = asked.result()
    values = {part: getattr(found, part), "errors": {**seen.errors, **found.errors}}
    return attrs.evolve(seen, **values)


def _in_database() -> set[str]:
    """The parts that this thread's own connections are asked for."""
    try:
        broker = assembly.broker_of_this_thread()
        board = assembly.board_of_this_thread(broker.list_key)
    except Exception:  # noqa: BLE001 - whoever asks for the part is told
        return set()
    parts = {"queue": isinstance(broker, OrmBroker), "clusters": isinstance(board, DatabaseBoard)}
    return {part for part, is_there in parts.items() if is_there}


def _take(parts: Collection[str]) -> Overview:
    try:
        return overview.take(parts=parts, limit=ROWS_MAX)
    except Exception as error:  # noqa: BLE001 - a broker of the project's own may not even be made
        now = assembly.surroundings().clock.now()
        reason = without_logins(f"{type(error).__name__}: {error}")
        return Overview(at=now, errors=dict.fromkeys(parts, reason))
