"""The time of a MongoDB server: one clock for all clusters that share a queue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from djq.ports import Clock

MEASURED_EVERY_SECONDS = 60.0


class ServerTime:
    """Asks the server once a minute and counts on with the host's monotonic clock in between.

    A host whose time of day is wrong, or jumps, changes nothing.
    """

    def __init__(self, host_clock: Clock | None) -> None:
        self._host_clock = host_clock
        self._server_at: datetime | None = None
        self._measured_at = 0.0

    def now(self, ask: Callable[[], datetime]) -> datetime:
        """The server's time; `ask` asks it, and what that raises is raised."""
        if self._host_clock is None:
            return ask()
        passed = self._host_clock.monotonic() - self._measured_at
        if self._server_at is None or not 0 <= passed < MEASURED_EVERY_SECONDS:
            before = self._host_clock.monotonic()
            self._server_at = ask()
            # The server answered somewhere in between.
            self._measured_at = (before + self._host_clock.monotonic()) / 2
            passed = self._host_clock.monotonic() - self._measured_at
        return self._server_at + timedelta(seconds=passed)

    def __getstate__(self) -> dict[str, object]:
        """Forget what was measured: another machine's monotonic clock counts from elsewhere."""
        return {"_host_clock": self._host_clock, "_server_at": None, "_measured_at": 0.0}
