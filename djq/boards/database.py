"""Statistics in a table of the database that holds the queue: where processes share no cache.

A cluster has one row, found by its key, and writes it by one UPDATE; no other cluster ever writes there. Its
first one is an INSERT, and who makes that takes away what has ended of others, so that the table never has
more rows than clusters that run and those that ended since one last began. A reader asks for all rows of a
queue at once.

When a text ends is told by the database's own time, in the statement itself, so that hosts need not agree.
It is a number: a column of moments is local time in a project without USE_TZ, and that goes back once a
year. There is no index beside the key: rows are few, and PostgreSQL renews a row in its place while no index
names what has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.db import connections, transaction
from django.db.transaction import TransactionManagementError
from django.db.utils import Error

from djq.exceptions import BoardUnavailable
from djq.ports import Clock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["DatabaseBoard"]

LOCK_MILLISECONDS = 300
"""How long a put waits for SQLite's lock: that is in C, where no alarm ends it, and the command has half a
second."""


class DatabaseBoard:
    """The board of one queue's clusters in the table `djq_picture`."""

    cycle_seconds: ClassVar[float] = 1.0
    """A commit for each is more than an idle queue in SQLite should cost its disk."""

    times: ClassVar[Mapping[str, str]] = {
        "postgresql": "EXTRACT(EPOCH FROM clock_timestamp())",
        "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
        "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    }
    """How the database says how many seconds have passed since 1970, by its vendor."""

    def __init__(
        self, list_key: str, *, alias: str, host_clock: Clock, clock: Clock | None = None
    ) -> None:
        """Make a board; nothing is asked of the database yet.

        Args:
            list_key: The queue's name.
            alias: The key of the database in DATABASES.
            host_clock: Tells when texts end where the database's own time is not known here.
            clock: Tells when texts end. None: the database's time.
        """
        self._list_key = list_key
        self._alias = alias
        self._host_clock = host_clock
        self._clock = clock

    def put(self, place: str, text: str, seconds: float) -> None:
        id = sha256(f"{self._list_key}\0{place}".encode()).hexdigest()
        with self._served(), self._lent(), self._short_waits():
            now, at = self._now()
            until = [*at, seconds]
            written = self._run(
                f"UPDATE {{table}} SET {{text}} = %s, {{until}} = {now} + %s WHERE {{id}} = %s",  # noqa: S608
                [text, *until, id],
            )
            if written:
                return
            self._run(
                "INSERT INTO {table} ({id}, {queue}, {text}, {until}) "  # noqa: S608
                f"VALUES (%s, %s, %s, {now} + %s)",
                [id, self._list_key, text, *until],
            )
            self._run(f"DELETE FROM {{table}} WHERE {{until}} <= {now}", at)  # noqa: S608

    def read(self) -> list[str]:
        with self._served():
            now, at = self._now()
            statement = f"SELECT {{text}} FROM {{table}} WHERE {{queue}} = %s AND {{until}} > {now}"  # noqa: S608
            with self._connection.cursor() as cursor:
                cursor.execute(self._named(statement), [self._list_key, *at])
                return [text for (text,) in cursor.fetchall()]

    def close(self) -> None:
        """Close the connection, but not in the midst of a transaction, which is somebody else's."""
        connection = self._connection
        if not connection.in_atomic_block:
            with suppress(Error):
                connection.close()

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    def _run(self, statement: str, parameters: Sequence[Any]) -> int:
        """Run a statement; gives how many rows it found."""
        with self._connection.cursor() as cursor:
            cursor.execute(self._named(statement), parameters)
            return int(cursor.rowcount)

    def _named(self, statement: str) -> str:
        """A statement with the quoted names of the table and its columns."""
        quote = self._connection.ops.quote_name
        names = {name: quote(name) for name in ("id", "queue", "text", "until")}
        # Found when it is asked for: models stand above boards, and load later.
        options = apps.get_model("djq", "Picture")._meta  # noqa: SLF001 - documented all the same
        return statement.format(table=quote(options.db_table), **names)

    def _now(self) -> tuple[str, list[float]]:
        """The present moment in a statement, and the parameters that it needs."""
        own = self.times.get(self._connection.vendor) if self._clock is None else None
        if own is not None:
            return own, []
        return "%s", [(self._clock or self._host_clock).now().timestamp()]

    @contextmanager
    def _lent(self) -> Iterator[None]:
        """Give a connection back to its pool: where the cluster is threads, one of them may wait for it."""
        yield
        if getattr(self._connection, "pool", None) is not None:
            self.close()

    @contextmanager
    def _short_waits(self) -> Iterator[None]:
        """On SQLite wait for another's lock for a moment alone; the connection may be a program's."""
        connection = self._connection
        if connection.vendor != "sqlite":
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            (before,) = cursor.fetchone()
            cursor.execute(f"PRAGMA busy_timeout = {min(before, LOCK_MILLISECONDS)}")
        try:
            yield
        finally:
            with suppress(Error), connection.cursor() as cursor:
                cursor.execute(f"PRAGMA busy_timeout = {before}")

    @contextmanager
    def _served(self) -> Iterator[None]:
        """Turn a driver's error into `BoardUnavailable`; a connection that may be broken is dropped.

        In somebody's transaction an error undoes what was done here, and leaves the rest as it is.
        """
        connection = self._connection
        apart: AbstractContextManager[None] = nullcontext()
        if connection.in_atomic_block:
            apart = transaction.atomic(using=self._alias)
        try:
            with apart:
                yield
        except TransactionManagementError:
            # The caller's own transaction has failed before: that is the caller's to know.
            raise
        except Error as error:
            self.close()
            raise BoardUnavailable(
                f"the database {self._alias!r} ({connection.vendor}): {type(error).__name__}: {error}"
            ) from error
        except TimeoutError:
            # An answer that was not waited for must not be taken for the next one.
            self.close()
            raise
