"""What stands in for the parts that the settings choose: how a test takes djq into its hands.

A component gets its parts by its constructor. A function such as `async_task` has none, so what it
works with is put together in `djq.assembly`, which asks here first. In production nothing ever does
more than ask. It is one value for the whole process, all its threads included: what a test client or
a live server does in another thread of a test belongs to that test too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from djq.components.publisher import Board
from djq.core.config import Config
from djq.core.report import Reporter
from djq.ports import Broker, Ids, Observer
from djq.runtime.clock import CallersClock

if TYPE_CHECKING:
    from django.core.cache.backends.base import BaseCache

    from djq.models import Schedule


@attrs.frozen(kw_only=True)
class Wiring:
    """Parts in the place of others. None, everywhere: as the settings say."""

    clock: CallersClock | None = None
    """Time, for callers and components."""
    ids: Ids | None = None
    """Identity and chance."""
    observer: Observer | None = None
    """Hears events, instead of the log."""
    reporter: Reporter | None = None
    """Is told of errors. Where anything stands in for others, the settings' own reporters are not."""
    broker: Callable[[Config, str], Broker] | None = None
    """Gives the broker of a queue, by its name; it sees to it that one queue is one broker."""
    sync: bool | None = None
    """True: every task runs here and now. False: only one whose call says so."""
    run: Callable[[Iterable[bytes]], None] | None = None
    """Runs tasks here and now, by their frames."""
    store: Any | None = None
    """Keeps results, and is read in the place of the database: a `MemoryStore`."""
    endless: Callable[[bool], object] | None = None
    """Asked before a wait without an end goes on; it raises where nobody would ever end it. It is told
    whether the wait has paused before, and nobody else did anything meanwhile."""
    cache: BaseCache | None = None
    """Where cached results go."""
    board: Board | None = None
    """Where statistics of clusters are. None, where a broker stands in for the settings' own: nowhere."""
    keep_schedule: Callable[[Schedule], None] | None = None
    """Keeps a new schedule in the place of the database, and gives it its key."""


NOTHING = Wiring()
"""All is as the settings say."""
_current = NOTHING


def wiring() -> Wiring:
    """What stands in for others now."""
    return _current


@contextmanager
def wired(**changes: Any) -> Iterator[Wiring]:
    """Let parts stand in for others; what an outer `wired` has changed, and this does not, stays."""
    global _current  # noqa: PLW0603 - one value for the process; see above
    before = _current
    _current = attrs.evolve(before, **changes)
    try:
        yield _current
    finally:
        _current = before
