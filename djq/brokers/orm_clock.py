"""The database's own time: one clock for all clusters that share a queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.db import connections

from djq.ports import Clock

MEASURED_EVERY_SECONDS = 60.0

# The time of the statement: in a transaction the plain `now()` of PostgreSQL stands still. Plain
# numbers, since what a driver makes of a datetime depends on settings.
_STATEMENTS = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
}


class ServerClock:
    """Tells the database server's time, so that a host with a wrong clock keeps its leases right.

    It asks once a minute and counts on with the monotonic clock in between: a host whose time of
    day jumps changes nothing. SQLite has no server, and the host's own clock is used.
    """

    def __init__(self, alias: str, base: Clock) -> None:
        self._alias = alias
        self._base = base
        self._server_at: datetime | None = None
        self._measured_at = 0.0

    def now(self) -> datetime:
        """The server's time, aware, UTC. Raises what the driver raises when it has to ask and cannot."""
        statement = _STATEMENTS.get(connections[self._alias].vendor)
        if statement is None:
            return self._base.now()
        server_at = self._server_at
        if server_at is None or self.monotonic() - self._measured_at >= MEASURED_EVERY_SECONDS:
            server_at = self._server_at = self._measure(statement)
        return server_at + timedelta(seconds=self.monotonic() - self._measured_at)

    def monotonic(self) -> float:
        """As the host's clock says."""
        return self._base.monotonic()

    def _measure(self, statement: str) -> datetime:
        before = self.monotonic()
        with connections[self._alias].cursor() as cursor:
            cursor.execute(statement)
            (seconds,) = cursor.fetchone()
        # The server answered somewhere in between.
        self._measured_at = (before + self.monotonic()) / 2
        return datetime.fromtimestamp(float(seconds), UTC)
