"""The broker in a Django database: a table of packages, and leases kept by their due times.

A row is due when `available_at` has come. Taking it moves `available_at` to the end of the lease and
counts `attempts`; whoever falls silent loses it by that alone. The receipt is `<row>:<attempts>`, so
that the receipt of a lost lease fits no row any more and a late word does no harm. A row given back
is due since 1970: released rows come first, in the order in which they were queued. What was given
back unbegun is counted in `unbegun` beside it: `attempts` itself never goes back, or a receipt would
fit a second delivery.

Every statement stands alone: inside the caller's transaction it joins it, outside it is committed by
itself, and only MariaDB needs a transaction to take rows. Row by row order is (available_at, id).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import F
from django.db.transaction import TransactionManagementError
from django.db.utils import Error
from django.utils import timezone

from djq.brokers.orm_bell import Bell, Heard
from djq.brokers.orm_claim import Claim, Wish, claim_for
from djq.brokers.orm_clock import ServerClock
from djq.brokers.orm_rows import Held, all_rows, delete_rows, queue_table
from djq.brokers.portions import ROWS_MAX, portions
from djq.core.received import Received, Waiting
from djq.exceptions import BrokerUnavailable, ConfigError
from djq.ports import Broker, Clock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from djq.models import OrmQ

__all__ = ["OrmBroker", "ServerClock"]

KEY_CHARACTERS_MAX = 100
TRIES_MAX = 3
"""How often a statement is tried that a deadlock undid, or that waited in vain for SQLite's lock."""

Answer = TypeVar("Answer")

IN_FRONT = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)

_TRACKING_ID = re.compile(r"\d{1,18}")
_RECEIPT = re.compile(r"(\d{1,18}):(\d{1,9})")


class OrmBroker(Broker):
    """Packages in the table `djq_ormq` of one database; delivers at least once."""

    receipts: ClassVar[bool] = True
    delays: ClassVar[bool] = True
    bulk_limit: ClassVar[int | None] = ROWS_MAX

    def __init__(
        self,
        list_key: str = "default",
        *,
        alias: str,
        clock: Clock,
        retry_seconds: float,
        claim: Claim | None = None,
        bell: Bell | None = None,
    ) -> None:
        """Make a broker; nothing is asked of the database yet.

        Args:
            list_key: The queue's name.
            alias: The key of the database in DATABASES.
            clock: Whose time the leases keep; a `ServerClock` where hosts share the queue.
            retry_seconds: How long a lease lasts.
            claim: How rows are taken; the best way for the database when left out.
            bell: Wakes who waits, where the database can. None: an empty `dequeue` never waits.
        """
        if len(list_key) > KEY_CHARACTERS_MAX:
            raise ConfigError(
                f"the queue's name {list_key!r:.120} has {len(list_key)} characters; "
                f"at most {KEY_CHARACTERS_MAX} fit; choose a shorter `name`"
            )
        super().__init__(list_key)
        self.database = alias
        self._alias = alias
        self._clock = clock
        self._lease = timedelta(seconds=retry_seconds)
        self._claim = claim
        self._own_bell = bell
        self._looks_first = True

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, all or none: one statement for hundreds of small ones.

        Raises:
            TaskRefused: One is larger than the server takes in a statement; nothing was sent.
        """
        return self._serve(lambda: self._insert_all(tasks)) if tasks else []

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """As `enqueue_many`, for rows that are due so many seconds from now."""
        delay = timedelta(seconds=seconds)
        return self._serve(lambda: self._insert_all(tasks, delay)) if tasks else []

    def dequeue(self, limit: int = 1) -> list[Received]:
        bell = self._bell
        if bell is None:
            return self._take(limit)
        taken: list[Received] = []
        if self._looks_first:
            bell.hush()
            taken = self._take(limit)
        heard = None if taken else bell.wait()
        if heard is Heard.DUE:
            self._believe(bell)
        if heard in {Heard.RING, Heard.DUE}:
            taken = self._take(limit)
        # A row that is due and that nobody gets is held by others: there is no waiting for them.
        self.blocks = bool(taken) or heard in {Heard.RING, Heard.NOTHING}  # type: ignore[misc]
        self._looks_first = bool(taken) or heard is Heard.DEAF
        return taken

    def _believe(self, bell: Bell) -> None:
        """The server's own clock said what is due: a copy of it that is behind would take nothing."""
        clock, due_at = self._clock, bell.due_at
        if isinstance(clock, ServerClock) and due_at is not None:
            with self._guard():
                clock.catch_up(due_at)

    def _take(self, limit: int) -> list[Received]:
        def take() -> list[Received]:
            now = self._clock.now()
            wish = Wish(
                alias=self._alias,
                key=self.list_key,
                limit=min(limit, ROWS_MAX),
                now=self._column_value(now),
                until=self._column_value(now + self._lease),
            )
            return (self._claim or claim_for(self._connection))(wish)

        return self._serve(take)

    def acknowledge(self, id: str) -> None:
        self.acknowledge_many([id])

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        self._each_held(ids, Held.delete)

    def extend(self, id: str) -> str:
        self.extend_many([id])
        return id

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Extend many leases; receipts stay the same for the whole delivery."""

        def lease(held: Held) -> None:
            held.update(available_at=self._column_value(self._clock.now() + self._lease))

        self._each_held(ids, lease)
        return {}

    def release(self, id: str, *, begun: bool = True) -> None:
        self.release_many([id], begun=begun)

    def release_many(self, ids: Iterable[str], *, begun: bool = True) -> None:
        """Give packages back, one statement for hundreds; what was not begun is not counted."""

        def free(held: Held) -> None:
            uncounted = {} if begun else {"unbegun": F("unbegun") + 1}
            held.update(lock=None, available_at=self._column_value(IN_FRONT), **uncounted)

        self._each_held(ids, free)
        bell = self._bell
        if bell is not None:
            self._serve(bell.ring)

    def fail(self, id: str) -> None:
        self.acknowledge(id)

    def delete(self, id: str) -> None:
        """Delete the package with this tracking id, or the one that this receipt stands for."""
        if not _TRACKING_ID.fullmatch(id):
            self.acknowledge(id)
            return
        with self._guard():
            delete_rows(self._rows().filter(id=int(id)))

    def purge_queue(self) -> None:
        with self._guard():
            delete_rows(self._rows())

    def delete_queue(self) -> None:
        self.purge_queue()

    def queue_size(self) -> int:
        with self._guard():
            now = self._column_value(self._clock.now())
            return self._rows().filter(available_at__lte=now).count()

    def peek(self) -> Sequence[Waiting]:
        with self._guard():
            now = self._clock.now()
            due = self._rows().filter(available_at__lte=self._column_value(now))
            columns = due.order_by("available_at", "id").values_list("payload", "available_at")
            return [
                Waiting(payload, self._seconds_since(kept, now)) for payload, kept in columns[:1]
            ]

    def lock_size(self) -> int | None:
        with self._guard():
            now = self._column_value(self._clock.now())
            return self._rows().filter(lock__isnull=False, available_at__gt=now).count()

    def ping(self) -> bool:
        """Whether the database answers a query."""
        try:
            with self._guard(), self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                return cursor.fetchone() is not None
        except BrokerUnavailable:
            return False

    def info(self) -> str:
        return f"ORM {self._alias} ({self._connection.vendor})"

    def close(self) -> None:
        if self._own_bell is not None:
            self._own_bell.close()
        with suppress(Error):
            self._connection.close()

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    @property
    def _bell(self) -> Bell | None:
        bell = self._own_bell
        return bell if bell is not None and bell.works else None

    def _rows(self) -> QuerySet[OrmQ]:
        return all_rows(self._alias).filter(key=self.list_key)

    def _each_held(self, receipts: Iterable[str], change: Callable[[Held], None]) -> None:
        """Change the rows whose lease these receipts still hold, in as few queries as can be."""
        portions = [
            Held(alias=self._alias, ids=ids, attempts=attempts)
            for attempts, ids in _by_attempts(receipts)
        ]

        def change_all() -> None:
            for held in portions:
                change(held)

        if portions:
            self._serve(change_all)

    def _insert_all(self, tasks: Sequence[str], delay: timedelta = timedelta()) -> list[str | None]:
        parted = portions(self._connection, self.list_key, tasks)
        moment = self._column_value(self._clock.now() + delay)
        if len(parted) == 1:
            return self._insert(parted[0], moment)
        with transaction.atomic(using=self._alias):
            return [id for portion in parted for id in self._insert(portion, moment)]

    def _insert(self, tasks: Sequence[str], moment: datetime) -> list[str | None]:
        # By hand, since Django would wrap it in a transaction: two more round trips.
        connection = self._connection
        quote = connection.ops.quote_name
        columns = ", ".join(map(quote, ("key", "payload", "available_at", "attempts", "unbegun")))
        rows = ", ".join(["(%s, %s, %s, 0, 0)"] * len(tasks))
        returns = connection.features.can_return_rows_from_bulk_insert
        due = connection.ops.adapt_datetimefield_value(moment)
        statement = f"INSERT INTO {queue_table(connection)} ({columns}) VALUES {rows}"  # noqa: S608
        parameters = [each for task in tasks for each in (self.list_key, task, due)]
        if returns:
            statement = f"{statement} RETURNING id"
            bell = self._bell
            if bell is not None:
                statement, channel = bell.ringing(statement)
                parameters += channel
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return [str(row[0]) for row in cursor.fetchall()] if returns else [None] * len(tasks)

    def _column_value(self, moment: datetime) -> Any:
        """Give a moment as the columns keep it: without a zone it is UTC, not local time.

        Local time goes back once a year, and a queue that keeps it would stand still for an hour.
        """
        connection = self._connection
        if connection.vendor == "postgresql" or connection.timezone is not None:
            return moment
        return timezone.make_naive(moment, UTC)

    def _seconds_since(self, kept: datetime, now: datetime) -> float | None:
        """How long ago a moment was that was read. None: it is no moment, the row was given back."""
        if timezone.is_naive(kept):
            is_local = self._connection.vendor == "postgresql"
            kept = timezone.make_aware(kept, timezone.get_default_timezone() if is_local else UTC)
        return None if kept == IN_FRONT else (now - kept).total_seconds()

    def _serve(self, verb: Callable[[], Answer]) -> Answer:
        """Do what a verb does; again, if another's statement was in its way."""
        for _try in range(TRIES_MAX - 1):
            try:
                with self._guard():
                    return verb()
            except BrokerUnavailable as error:
                cause = error.__cause__ and error.__cause__.__cause__
                # The transaction of a caller is undone with the statement, or waits for its end.
                if self._connection.in_atomic_block or not _is_conflict(cause):
                    raise
        with self._guard():
            return verb()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn a driver's error into `BrokerUnavailable`, and drop a connection that may be broken."""
        try:
            yield
        except TransactionManagementError:
            # The caller's own transaction has failed before: that is the caller's to know.
            raise
        except (DatabaseError, InterfaceError, Error) as error:
            connection = self._connection
            if not connection.in_atomic_block:
                self.close()
            raise BrokerUnavailable(
                f"the database {self._alias!r} ({connection.vendor}) did not serve the queue "
                f"{self.list_key!r}: {type(error).__name__}: {error}".rstrip()
            ) from error


def _by_attempts(receipts: Iterable[str]) -> Iterator[tuple[int, list[int]]]:
    """Sort receipts: the rows that were delivered so and so often, some hundreds at a time.

    A receipt of another broker stands for no row here.
    """
    held: dict[int, list[int]] = defaultdict(list)
    for receipt in receipts:
        match = _RECEIPT.fullmatch(receipt)
        if match:
            held[int(match[2])].append(int(match[1]))
    for attempts, ids in held.items():
        ids.sort()
        for start in range(0, len(ids), ROWS_MAX):
            yield attempts, ids[start : start + ROWS_MAX]


def _is_conflict(error: BaseException | None) -> bool:
    """Whether the database undid a statement because of somebody else's: it may be said again."""
    if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return True
    if getattr(error, "sqlstate", None) in {"40001", "40P01"}:
        return True
    # MariaDB: a deadlock, or too long a wait for a lock.
    return error is not None and error.args[:1] in {(1205,), (1213,)}
