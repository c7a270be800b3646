"""What a sentinel sees of its cluster: the facts that a stop needs, and the picture for the command."""

from __future__ import annotations

from djq.core.closing import Closing, Facts
from djq.core.dispatch import Book
from djq.core.lifecycle import BRINGERS, Role
from djq.core.protocol import Report
from djq.core.supervision import Supervision


def facts_of(
    closing: Closing, supervision: Supervision, book: Book, confirmed_at: float, now: float
) -> Facts:
    """The facts of this moment; the monitor confirmed something at `confirmed_at`, monotonic."""
    silent_since = max(confirmed_at, closing.since)
    return Facts(
        pushers=sum(len(supervision.of(role)) for role in BRINGERS),
        workers=len(supervision.of(Role.WORKER)),
        monitors=len(supervision.of(Role.MONITOR)),
        queued=len(book.queue),
        unsaved=book.unsaved,
        is_full=book.is_full,
        all_ready=supervision.all_ready,
        monitor_silent_seconds=now - silent_since if book.unsaved else 0.0,
    )


def picture(
    closing: Closing, supervision: Supervision, book: Book, reincarnations: int, now: float
) -> Report:
    """The cluster as the command is told of it."""
    children = supervision.children.values()
    return Report(
        closing.state.name,
        not book.entries,
        tuple((child.id.role.value, child.pid) for child in children if child.pid is not None),
        book.waiting,
        book.unsaved,
        reincarnations,
        closing.cut_short is not None,
        now,
    )
