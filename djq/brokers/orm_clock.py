"""The database's own time: one clock for all clusters that share a queue."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connections

from djq.brokers.measured import ServerTime
from djq.ports import Clock

# The time of the statement: in a transaction the plain `now()` of PostgreSQL stands still. Plain
# numbers, since what a driver makes of a datetime depends on settings.
_STATEMENTS = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
}


class ServerClock:
    """Tells the database server's time, so that a host with a wrong clock keeps its leases right.

    It is measured as `ServerTime` says. SQLite has no server, and the host's own clock is used.
    """

    def __init__(self, alias: str, base: Clock) -> None:
        self._alias = alias
        self._base = base
        self._time = ServerTime(base)

    def now(self) -> datetime:
        """The server's time, aware, UTC. Raises what the driver raises when it has to ask and cannot."""
        if not self._has_server:
            return self._base.now()
        # Connecting is no part of what is measured.
        connections[self._alias].ensure_connection()
        return self._time.now(self._ask)

    def catch_up(self, moment: datetime) -> None:
        """The server is known to be as late as this; raises as `now` does."""
        if self._has_server:
            self._time.catch_up(moment, self._ask)

    def monotonic(self) -> float:
        """As the host's clock says."""
        return self._base.monotonic()

    @property
    def _has_server(self) -> bool:
        return connections[self._alias].vendor in _STATEMENTS

    def _ask(self) -> datetime:
        connection = connections[self._alias]
        with connection.cursor() as cursor:
            cursor.execute(_STATEMENTS[connection.vendor])
            (seconds,) = cursor.fetchone()
        return datetime.fromtimestamp(float(seconds), UTC)
