"""The bell of a queue in PostgreSQL: who sends rings it, and a cluster that found nothing waits at it.

It is NOTIFY and LISTEN, on a channel of each queue. The ring is part of the statement that sends, so it
goes out when that commits, with the caller's transaction if there is one, and never if that rolls back.

Who waits has a connection of its own for it, never one from a pool, which would be given to somebody else
while it still listens. On it one small query a second also tells when the next row comes due: a lease
ends in silence. Where there is no such connection, the cluster looks every `poll` seconds as it does on
other databases, and tries again after some time.
"""

from __future__ import annotations

import hashlib
import os
import selectors
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.utils import Error

from djq.brokers.orm_rows import queue_table
from djq.ports import Clock

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

__all__ = ["Bell", "Heard"]

WAIT_SECONDS_MAX = 1.0
"""How long an empty `dequeue` waits; a stop of the cluster waits as long."""

DEAF_SECONDS = 10.0
"""How long nobody tries to listen after that has failed."""

SILENT_SECONDS = 5.0
"""How long the server may leave a question unanswered. With psycopg 2 only the way there is watched."""

WATCHED: Mapping[str, int] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5_000,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}
"""Options of the connection that listens, unless DATABASES says otherwise: a lost server is noticed."""

_INHERITED: list[BaseDatabaseWrapper] = []
"""What a parent listens on. Its child keeps it, and never says goodbye on the socket of another process."""


class Heard(Enum):
    """What came of a wait."""

    RING = "something was sent"
    DUE = "a row is due by its time"
    NOTHING = "nothing, for about a second"
    DEAF = "nobody could wait"


class Bell:
    """Rings for one queue, and hears it ring."""

    def __init__(
        self,
        alias: str,
        list_key: str,
        *,
        clock: Clock,
        wait_seconds: float = WAIT_SECONDS_MAX,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        """`alias` is the key of the database in DATABASES; nothing is asked of it yet."""
        self.channel = f"djq_{hashlib.sha256(list_key.encode()).hexdigest()[:32]}"
        self._alias = alias
        self._list_key = list_key
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._silent_seconds = silent_seconds
        self.due_at: datetime | None = None
        """Since when the first row is due or will be, as the last wait heard."""
        self._listening: BaseDatabaseWrapper | None = None
        self._pid: int | None = None
        self._rung = False
        self._deaf_until = 0.0

    @property
    def works(self) -> bool:
        """Whether the database has bells."""
        return connections[self._alias].vendor == "postgresql"

    def ringing(self, insert: str) -> tuple[str, list[str]]:
        """Let an `INSERT … RETURNING id` ring too, once: the statement, and what it needs in the end."""
        statement = (
            f"WITH sent AS ({insert}), rung AS (SELECT pg_notify(%s, '')) "  # noqa: S608
            "SELECT sent.id FROM sent, rung ORDER BY sent.id"
        )
        return statement, [self.channel]

    def ring(self) -> None:
        """Ring without sending anything. Raises what Django raises when the database is away."""
        with connections[self._alias].cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [self.channel])

    def wait(self) -> Heard:
        """Wait until it rings or a row comes due, at most for a second."""
        self._forget_inherited()
        if self._listening is None and self._clock.monotonic() < self._deaf_until:
            return Heard.DEAF
        try:
            listening = self._listening = self._listening or self._listen()
            with listening.wrap_database_errors:
                return self._wait(listening)
        except (Error, OSError):
            self.close()
            self._deaf_until = self._clock.monotonic() + DEAF_SECONDS
            return Heard.DEAF

    def hush(self) -> None:
        """Forget rings that were not waited for: the server keeps them until they are read."""
        self._forget_inherited()
        if self._listening is not None:
            try:
                with self._listening.wrap_database_errors:
                    self._read(self._listening.connection)
            except (Error, OSError):
                self.close()
        self._rung = False

    def close(self) -> None:
        """Stop listening; the next wait begins anew."""
        self._forget_inherited()
        listening, self._listening = self._listening, None
        self._rung = False
        self._deaf_until = 0.0
        if listening is not None:
            with suppress(Error):
                listening.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_listening": None}

    def _listen(self) -> BaseDatabaseWrapper:
        """Connect as Django does, and never by way of a pool."""
        shared = connections[self._alias]
        given = shared.settings_dict["OPTIONS"]
        options = {**WATCHED, **{name: given[name] for name in given if name != "pool"}}
        listening = type(shared)({**shared.settings_dict, "OPTIONS": options}, self._alias)
        listening.inc_thread_sharing()  # whoever closes the broker may be another thread
        try:
            listening.connect()
            listening.set_autocommit(True)
            with listening.cursor() as cursor:
                cursor.execute(f"LISTEN {self.channel}")
        except BaseException:
            with suppress(Error):
                listening.close()
            raise
        self._pid = os.getpid()
        return listening

    def _forget_inherited(self) -> None:
        if self._listening is not None and self._pid != os.getpid():
            _INHERITED.append(self._listening)
            self._listening = None
            self._rung = False

    def _wait(self, listening: BaseDatabaseWrapper) -> Heard:
        seconds = self._seconds_to_next(listening)
        if not self._rung and seconds > 0:
            if _has_come(listening.connection, min(seconds, self._wait_seconds)):
                self._read(listening.connection)
            elif seconds <= self._wait_seconds:
                return Heard.DUE
        if self._rung:
            self._rung = False
            return Heard.RING
        return Heard.NOTHING if seconds > 0 else Heard.DUE

    def _seconds_to_next(self, listening: BaseDatabaseWrapper) -> float:
        """How long until a row is due; what was rung before the answer is heard after it."""
        statement = (
            "SELECT EXTRACT(EPOCH FROM min(available_at)), EXTRACT(EPOCH FROM clock_timestamp()) "  # noqa: S608
            f"FROM {queue_table(listening)} WHERE key = "
        )
        raw = listening.connection
        if hasattr(raw, "pgconn"):
            due, now = self._ask(raw, f"{statement} $1")
        else:
            with listening.cursor() as cursor:
                cursor.execute(f"{statement} %s", [self._list_key])
                due, now = cursor.fetchone()
            self._note_older_driver(raw)
        self.due_at = None if due is None else datetime.fromtimestamp(float(due), UTC)
        return float("inf") if due is None else float(due) - float(now)

    def _ask(self, raw: Any, question: str) -> list[Any]:
        """Ask for one row, and give up a server that is silent: a cursor would wait for ever."""
        pgconn, result = raw.pgconn, None
        pgconn.send_query_params(question.encode(), [self._list_key.encode()])
        while True:
            while pgconn.is_busy():
                if not _has_come(raw, self._silent_seconds):
                    raise TimeoutError(f"silent for {self._silent_seconds} s")
                self._read(raw)
            part = pgconn.get_result()
            if part is None:
                break
            result = part
        # A ring that came with the answer, behind it, is known only once the answer was fetched.
        self._note(pgconn)
        if result is None or result.ntuples != 1:
            raise OSError("no answer")
        return [result.get_value(0, column) for column in range(result.nfields)]

    def _read(self, raw: Any) -> None:
        """Read all that has come without a question; never waits."""
        if not hasattr(raw, "pgconn"):
            raw.poll()
            self._note_older_driver(raw)
            return
        raw.pgconn.consume_input()
        self._note(raw.pgconn)

    def _note(self, pgconn: Any) -> None:
        while pgconn.notifies():
            self._rung = True

    def _note_older_driver(self, raw: Any) -> None:
        """Psycopg 2 keeps a list of what it was told."""
        if raw.notifies:
            raw.notifies.clear()
            self._rung = True


def _has_come(raw: Any, seconds: float) -> bool:
    """Wait until something has come."""
    with selectors.DefaultSelector() as selector:
        selector.register(raw.fileno(), selectors.EVENT_READ)
        return bool(selector.select(seconds))
