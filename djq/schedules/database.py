"""The schedule store in a Django database: rows are taken by locks, and written many at a time.

Whoever takes a row holds its lock until the transaction ends, and writes when it is due next in the
same transaction. Others pass over rows that are locked. How that is done depends on the database:

- PostgreSQL: one SELECT … FOR UPDATE SKIP LOCKED by the index of due rows.
- MariaDB, MySQL 8, Oracle: a look by that index, then SELECT … FOR UPDATE SKIP LOCKED by primary key
  alone, since a lock by the index would lock the gaps, and everybody who writes a schedule would wait.
- SQLite and the rest: the transaction begins with a write, which only one can have at a time; a
  transaction that has read first would fail as soon as another writes.

SQLite has no time of its own, so there schedules go by the host's clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import DatabaseError, InterfaceError, connections, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Left
from django.db.transaction import TransactionManagementError
from django.db.utils import Error

from djq.core.literals import CHARACTERS_MAX
from djq.core.schedules import RUN_FAILED, Change, ScheduleEnd, ScheduleRow
from djq.exceptions import StoreUnavailable
from djq.ports import Clock
from djq.schedules.rows import COLUMNS, row_from, universal
from djq.schedules.statements import TABLE, Column, local, tell_ends, update_rows

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from djq.models import Schedule

TEXTS = ("args", "kwargs", "q_options")
ROWS_MAX = 500
"""Most rows in one statement."""

WRITTEN = (
    Column("next_run", "timestamptz"),
    Column("repeats", "integer"),
    Column("task", "text"),
    Column("last_error", "text"),
    Column("anchor", "text"),
    Column("pending", "text"),
    Column("held_until", "timestamptz"),
    Column("unfinished", "text"),
    Column("sent_at", "timestamptz"),
)
"""The columns of a `Change`."""


class DatabaseScheduleStore:
    """Schedules in the table `djq_schedule`."""

    def __init__(self, *, alias: str, clock: Clock) -> None:
        """Make a store; nothing is asked of the database yet.

        Args:
            alias: The key of the database in DATABASES.
            clock: Whose time the schedules keep; that of the server where there is one.
        """
        self.alias: str | None = alias
        self._alias = alias
        self._clock = clock

    def now(self) -> datetime:
        """The time that schedules go by."""
        with self._guard():
            return self._clock.now()

    def next_due(self) -> datetime | None:
        """When the next row comes due; one query that reads one entry of one index."""
        due = self._rows().filter(due_at__isnull=False).order_by("due_at", "id")
        with self._guard():
            return universal(due.values_list("due_at", flat=True).first())

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction of this database: rows taken in it are nobody else's until it ends."""
        with self._guard(), transaction.atomic(using=self._alias):
            if not self._connection.features.has_select_for_update_skip_locked:
                self._begin_to_write()
            yield

    def take(self, now: datetime, limit: int) -> list[ScheduleRow]:
        """Rows that are due and that nobody else holds, oldest first."""
        moment = local(self._connection, now)
        columns = [each for each in (*COLUMNS, "held_until", "due_at") if each not in TEXTS]
        cut = {f"cut_{text}": Left(text, CHARACTERS_MAX + 1) for text in TEXTS}
        with self._guard():
            for rows in self._locked(moment, min(limit, ROWS_MAX)):
                found = [
                    each
                    for each in rows.values(*columns, **cut)
                    if each["due_at"] is not None and each["due_at"] <= moment
                ]
                if found:
                    found.sort(key=lambda each: (each["due_at"], each["id"]))
                    return [
                        row_from(each | {text: each[f"cut_{text}"] for text in TEXTS})
                        for each in found
                    ]
        return []

    def put(self, changes: Sequence[Change]) -> None:
        """Write what became of rows; a few statements for hundreds."""
        gone = [each.id for each in changes if each.delete and not each.pending]
        kept = [each for each in changes if not each.delete or each.pending]
        with self._guard():
            for start in range(0, len(kept), ROWS_MAX):
                portion = sorted(kept[start : start + ROWS_MAX], key=lambda each: each.id)
                update_rows(self._connection, WRITTEN, portion)
            if gone:
                self._rows().filter(id__in=gone)._raw_delete(self._alias)  # noqa: SLF001

    def sent(self, token: str, ids: Sequence[int]) -> None:
        """All that these rows were sending by this token was sent."""
        rows = self._rows().filter(id__in=sorted(ids), pending__startswith=token)
        over = Q(schedule_type="O", repeats__lt=0, next_run__isnull=True)
        with self._guard():
            rows.filter(over)._raw_delete(self._alias)  # noqa: SLF001
            rows.update(pending="", held_until=None)

    def ended(self, ends: Sequence[ScheduleEnd]) -> None:
        """Tell schedules how their tasks ended; one statement for hundreds."""
        latest = {end.task_id: end for end in ends}
        portion = sorted(latest.values(), key=lambda end: (end.schedule, end.task_id))
        with self._guard():
            for start in range(0, len(portion), ROWS_MAX):
                tell_ends(self._connection, portion[start : start + ROWS_MAX], RUN_FAILED)

    def unhold(self, now: datetime, latest: datetime) -> None:
        """Let rows come due that are held for longer than anybody holds them."""
        moments = [local(self._connection, moment) for moment in (now, latest)]
        with self._guard():
            self._rows().filter(held_until__gt=moments[1]).update(held_until=moments[0])

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    def _rows(self) -> QuerySet[Schedule]:
        # Found when it is asked for: models stand above stores, and load later.
        model: type[Schedule] = apps.get_model("djq", "Schedule")
        return model._base_manager.using(self._alias)  # noqa: SLF001 - documented all the same

    def _locked(self, moment: datetime, limit: int) -> Iterator[QuerySet[Schedule]]:
        """Queries that lock rows as they are read; where the first finds none, the next may."""
        due = self._rows().filter(due_at__lte=moment).order_by("due_at", "id")
        if not self._connection.features.has_select_for_update_skip_locked:
            yield due[:limit]
        elif self._connection.vendor == "postgresql":
            yield due.select_for_update(skip_locked=True)[:limit]
        else:
            start = 0
            while seen := list(due.values_list("id", flat=True)[start : start + limit]):
                yield self._rows().filter(id__in=seen).select_for_update(skip_locked=True)
                start += limit

    def _begin_to_write(self) -> None:
        """Take SQLite's one lock for writing before anything is read."""
        with self._connection.cursor() as cursor:
            cursor.execute(f"UPDATE {TABLE} SET id = id WHERE id = -1")  # noqa: S608

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn a driver's error into `StoreUnavailable`, and drop a connection that may be broken."""
        try:
            yield
        except TransactionManagementError:
            raise
        except (DatabaseError, InterfaceError, Error) as error:
            connection = self._connection
            if not connection.in_atomic_block:
                with suppress(Error):
                    connection.close()
            raise StoreUnavailable(
                f"the database {self._alias!r} ({connection.vendor}) did not serve the schedules: "
                f"{type(error).__name__}: {error}".rstrip()
            ) from error
