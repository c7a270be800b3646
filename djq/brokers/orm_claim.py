"""How rows of the queue are taken, so that no two clusters ever take the same one.

There are four ways, and each database gets the best that it can do:

- PostgreSQL: one statement that picks unlocked rows, skips locked ones, and gives them back.
- SQLite: a look at what is due, then one UPDATE that takes what is still due and gives it back.
  Never a transaction that reads first: another process may write in between, and SQLite then
  answers "database is locked" at once, without any waiting. The look keeps an idle queue free
  of write locks, and it keeps the order, which SQLite's RETURNING cannot tell.
- MariaDB, MySQL 8, Oracle: a look, then SELECT … FOR UPDATE SKIP LOCKED and an UPDATE in one
  transaction. The locking SELECT goes by primary key only: by the index of due rows it would lock
  the gaps between them, and everybody who enqueues would wait.
- The rest: a look, then one conditional UPDATE a row.

Where there is a look, others may hold all that was seen, or have taken it since; then the rows behind
them are looked at, to the end of the queue. So an empty answer means that nothing was free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
from django.db import connections, transaction
from django.db.models import F, Q
from django.db.utils import Error

from djq.brokers.orm_rows import all_rows, by_primary_key, queue_table
from djq.core.received import Received

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from djq.models import OrmQ

Place = tuple[datetime, int]
"""Where a row stands in the queue: since when it is due, as the column keeps it, and its id."""


@attrs.frozen(kw_only=True)
class Wish:
    """What is to be taken."""

    alias: str
    """The Django database."""

    key: str
    """The queue's name."""

    limit: int
    """Most rows; at least 1."""

    now: datetime
    """Rows that are due by now, as the column keeps it."""

    until: datetime
    """The end of the lease, as the column keeps it."""

    def due(self, behind: Place | None = None) -> QuerySet[OrmQ]:
        """The rows in question, oldest first: all, or those behind a place."""
        rows = all_rows(self.alias).filter(key=self.key, available_at__lte=self.now)
        if behind is not None:
            since, id = behind
            rows = rows.filter(Q(available_at__gt=since) | Q(id__gt=id), available_at__gte=since)
        return rows.order_by("available_at", "id")

    def only(self, ids: Iterable[int]) -> QuerySet[OrmQ]:
        """The rows with these ids, due or not."""
        return all_rows(self.alias).filter(id__in=list(ids)).order_by("id")


Claim = Callable[[Wish], list[Received]]


def claim_for(connection: BaseDatabaseWrapper) -> Claim:
    """The best way to take rows on this database."""
    features = connection.features
    if connection.vendor == "postgresql":
        return claim_in_one_statement
    if connection.vendor == "sqlite" and features.can_return_rows_from_bulk_insert:
        return claim_by_update_returning
    if features.has_select_for_update_skip_locked:
        return claim_by_skip_locked
    return claim_row_by_row


def claim_in_one_statement(wish: Wish) -> list[Received]:
    """One UPDATE … RETURNING over rows that nobody else has locked."""
    connection = connections[wish.alias]
    oldest = wish.due().values("id", "available_at")[: wish.limit]
    picked, parameters = oldest.query.get_compiler(wish.alias).as_sql()
    table = queue_table(connection)
    # The rows are picked in a WITH of their own: as a subquery they might be picked more than once
    # in one statement, and then more rows than asked for would be taken.
    statement = (
        f"WITH picked AS ({picked} FOR UPDATE SKIP LOCKED) "  # noqa: S608
        f"UPDATE {table} AS q SET attempts = q.attempts + 1, lock = %s, available_at = %s "
        "FROM picked WHERE q.id = picked.id "
        "RETURNING picked.available_at, q.id, q.payload, q.attempts, q.unbegun"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, wish.now, wish.until])
        rows = cursor.fetchall()
    return [_received(*row[1:]) for row in sorted(rows, key=lambda row: row[:2])]


def claim_by_update_returning(wish: Wish) -> list[Received]:
    """A look, then one UPDATE … RETURNING."""
    connection = connections[wish.alias]
    table = queue_table(connection)
    now = connection.ops.adapt_datetimefield_value(wish.now)
    until = connection.ops.adapt_datetimefield_value(wish.until)

    def take(seen: list[int]) -> list[Received]:
        marks = ", ".join(["%s"] * len(seen))
        statement = (
            f"UPDATE {table} SET attempts = attempts + 1, lock = %s, available_at = %s "  # noqa: S608
            f"WHERE id IN ({marks}) AND available_at <= %s RETURNING id, payload, attempts, unbegun"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, [now, until, *seen, now])
            taken = {row[0]: row for row in cursor.fetchall()}
        return [_received(*taken[id]) for id in seen if id in taken]

    return _walk(take, wish)


def claim_by_skip_locked(wish: Wish) -> list[Received]:
    """A look, then lock what nobody else has locked, and update it."""

    def take(seen: list[int]) -> list[Received]:
        columns = ("id", "payload", "attempts", "unbegun", "available_at")
        with transaction.atomic(using=wish.alias):
            locked = wish.only(seen).select_for_update(skip_locked=True).values_list(*columns)
            rows = {row[0]: row for row in locked if row[4] <= wish.now}
            if rows:
                with by_primary_key(connections[wish.alias]):
                    wish.only(rows).update(
                        attempts=F("attempts") + 1, lock=wish.now, available_at=wish.until
                    )
        return [
            _received(id, payload, attempts + 1, unbegun)
            for id, payload, attempts, unbegun, _due in (rows[id] for id in seen if id in rows)
        ]

    return _walk(take, wish)


def claim_row_by_row(wish: Wish) -> list[Received]:
    """A look, then an UPDATE a row on the condition that nobody has taken it since.

    Each UPDATE is committed by itself. Where one fails, the rows before it are given out all the
    same: they are leased, and would be hidden for the whole lease.
    """
    columns = ("id", "payload", "attempts", "unbegun")

    def take(seen: list[int]) -> list[Received]:
        taken: dict[int, Received] = {}
        for id, payload, attempts, unbegun in wish.only(seen).values_list(*columns):
            row = wish.only([id]).filter(attempts=attempts, available_at__lte=wish.now)
            try:
                won = row.update(attempts=attempts + 1, lock=wish.now, available_at=wish.until)
            except Error:
                # In the caller's transaction the rows taken before are undone with it.
                if not taken or connections[wish.alias].in_atomic_block:
                    raise
                break
            if won:
                taken[id] = _received(id, payload, attempts + 1, unbegun)
        return [taken[id] for id in seen if id in taken]

    return _walk(take, wish)


def _walk(take: Callable[[list[int]], list[Received]], wish: Wish) -> list[Received]:
    behind: Place | None = None
    while seen := list(wish.due(behind).values_list("available_at", "id")[: wish.limit]):
        if taken := take([id for _due, id in seen]):
            return taken
        behind = seen[-1]
    return []


def _received(id: Any, payload: str, attempts: int, unbegun: int) -> Received:
    return Received(f"{id}:{attempts}", payload, attempts - unbegun)
