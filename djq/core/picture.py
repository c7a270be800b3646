"""What a sentinel sees of its cluster: the facts that a stop needs, and the picture for the command."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from djq.core.closing import Closing, Facts
from djq.core.dispatch import Book
from djq.core.lifecycle import BRINGERS, Role, TaskState
from djq.core.protocol import FuncTotal, Health, Report, Restarts, Running
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


def headline_of(
    closing: Closing, supervision: Supervision, book: Book, reincarnations: int
) -> tuple[object, ...]:
    """What the command is told of as soon as it changes; cheap, since it is made at each step."""
    return (closing.state, not book.entries, supervision.pids(), reincarnations)


def picture(
    closing: Closing,
    supervision: Supervision,
    book: Book,
    reincarnations: int,
    *,
    running: tuple[Running, ...],
    health: Health,
    counted: tuple[FuncTotal, ...],
    restarts: Restarts | None,
    now: float,
) -> Report:
    """The cluster as the command is told of it."""
    return Report(
        closing.state.name,
        not book.entries,
        supervision.pids(),
        book.waiting,
        book.unsaved,
        reincarnations,
        closing.cut_short is not None,
        running=running,
        ended=book.totals.ended,
        health=health,
        counted=counted,
        restarts=restarts,
        at=now,
    )


def running_of(
    supervision: Supervision, book: Book, now: float, at: datetime
) -> tuple[Running, ...]:
    """What runs, the oldest first; `now` is the moment `at` on the monotonic clock."""
    found = [
        Running(
            entry.delivery.task_id,
            entry.delivery.name,
            entry.delivery.func,
            supervision.children[worker.child].pid or 0,
            at - timedelta(seconds=now - entry.started),
            entry.delivery.attempt,
        )
        for worker in book.workers.values()
        for entry in worker.oldest()
        if entry.state is TaskState.RUNNING
    ]
    return tuple(sorted(found, key=lambda running: (running.since, running.worker)))


def earliest(healths: Iterable[Health]) -> Health:
    """Since when a service does not answer one or the other."""
    known = list(healths)
    return Health(
        broker=earlier(health.broker for health in known),
        store=earlier(health.store for health in known),
    )


def earlier(moments: Iterable[datetime | None]) -> datetime | None:
    """The first of them. None: there is none."""
    return min((moment for moment in moments if moment is not None), default=None)
