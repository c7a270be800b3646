"""The errors of djq: one class for each thing a caller can do something about."""

from __future__ import annotations

from collections.abc import Collection, Mapping


class DjqError(Exception):
    """The root of every error that djq raises on purpose."""


class ConfigError(DjqError):
    """A setting has to be changed; the message lists every problem found."""


class TaskRefused(DjqError):
    """This task cannot be queued as it was given; nothing was sent, unless it says so."""

    def __init__(self, *words: object, sent: Collection[int] = ()) -> None:
        super().__init__(*words)
        self.sent = sent
        """Of an `enqueue_many` the places of packages that were sent all the same."""


class BrokerUnavailable(DjqError):
    """The broker did not answer; try again later."""

    def __init__(
        self,
        *words: object,
        taken_max: int | None = None,
        changed: Mapping[str, str] | None = None,
        sent: Collection[int] = (),
    ) -> None:
        super().__init__(*words)
        self.sent = sent
        """Of an `enqueue_many` the places of packages that were surely sent; the others are sent again."""
        self.changed = {} if changed is None else changed
        """Receipts, old to new, that an `extend_many` changed before it failed or beside what failed."""
        self.taken_max = taken_max
        """Most packages that a `dequeue` took off the queue and that did not arrive: they are lost where
        there are no receipts. None: not known, so as many as were asked for."""


class StoreUnavailable(DjqError):
    """The result store did not answer; nothing was saved, try again later."""


class BoardUnavailable(DjqError):
    """Where the statistics of the clusters are did not answer; try again later."""


class BadPackage(DjqError):
    """What came from the broker is not a package that this cluster may open."""


class TaskLost(DjqError):
    """Reported of a task that ended without an exception of its own; never raised."""


class TaskTimedOut(TaskLost):
    """A task took longer than it may, and its worker was killed for that."""


class WorkerDied(TaskLost):
    """The worker of a task died under it; the message says how, and how often it was tried."""


class TooManyAttempts(TaskLost):
    """A task was delivered again and again, and its whole cluster was gone each time."""


class IllegalTransition(DjqError):
    """A state machine was given an event that its state does not allow: a fault of djq."""


class StoreRefused(DjqError):
    """The store can never keep this as it is; nothing was saved."""


class ScheduleRefused(DjqError):
    """This schedule can make no task as it is; the message says which field is wrong, and how."""
