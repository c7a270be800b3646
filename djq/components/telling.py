"""Tells the command how the cluster is: at each change of what matters at once, else each `guard_cycle`.

A picture is made only when it is sent. What is looked at in each of the sentinel's steps is a headline.
"""

from __future__ import annotations

from djq.core.closing import Closing
from djq.core.dispatch import Book
from djq.core.lifecycle import Cause, ChildId, ClusterState
from djq.core.picture import earliest, headline_of, picture, running_of
from djq.core.protocol import NO_RESTARTS, FuncTotal, Health, Restarts
from djq.core.supervision import Supervision
from djq.core.totals import one_more
from djq.ports import Clock, Link


class Teller:
    """A sentinel's voice. What the cluster is made of is only read here."""

    def __init__(
        self,
        *,
        command: Link,
        clock: Clock,
        guard_cycle: float,
        closing: Closing,
        supervision: Supervision,
        book: Book,
    ) -> None:
        self._command = command
        self._clock = clock
        self._guard_cycle = guard_cycle
        self._closing = closing
        self._supervision = supervision
        self._book = book
        self._healths: dict[ChildId, Health] = {}
        self._health = Health()
        self._told: tuple[object, ...] = ()
        self.due_at = 0.0
        """When a picture is due, monotonic, whatever happens."""
        self._sums_due_at = 0.0
        """When a picture may have the sums of functions again: where tasks come one by one, each makes two
        pictures, and these are to cost no more for it."""
        self._reincarnations = 0
        """Children that were replaced."""
        self._restarts: Restarts | None = None
        """The same by their reasons, since the last report. None: nobody was."""

    def hear(self, child: ChildId, health: Health) -> None:
        """A child has said which services answer it."""
        self._healths[child] = health
        self._health = earliest(self._healths.values())

    def forget(self, child: ChildId) -> None:
        """The child is gone, and its word with it: its successor sees for itself."""
        if self._healths.pop(child, None) is not None:
            self._health = earliest(self._healths.values())

    def replaced(self, cause: Cause) -> None:
        """A child was followed by another in its seat."""
        self._reincarnations += 1
        self._restarts = one_more(self._restarts or NO_RESTARTS, cause)

    def tell(self, now: float) -> None:
        """Send a picture if there is news, or it is time."""
        closing, supervision, book = self._closing, self._supervision, self._book
        headline = (
            *headline_of(closing, supervision, book, self._reincarnations),
            self._health,
        )
        if headline == self._told and now < self.due_at:
            return
        self.due_at = now + self._guard_cycle
        # A program that started a cluster and looks at it rarely gets a newer picture later.
        if self._command.clogged and closing.state is not ClusterState.STOPPED:
            return
        self._told = headline
        running = running_of(supervision, book, now, self._clock.now())
        restarts, self._restarts = self._restarts, None
        counted: tuple[FuncTotal, ...] = ()
        if now >= self._sums_due_at or closing.state is ClusterState.STOPPED:
            self._sums_due_at = now + self._guard_cycle
            counted = book.totals.take()
        self.due_at = min(self.due_at, self._sums_due_at)
        self._command.send(
            picture(
                closing,
                supervision,
                book,
                self._reincarnations,
                running=running,
                health=self._health,
                counted=counted,
                restarts=restarts,
                now=now,
            )
        )
