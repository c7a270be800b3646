"""A server's time, measured now and then and counted on by the host: one clock for all that share a queue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from djq.ports import Clock

__all__ = ["APART_SECONDS_MAX", "MEASURED_EVERY_SECONDS", "ServerTime"]

MEASURED_EVERY_SECONDS = 60.0

APART_SECONDS_MAX = 0.25
"""By how much the host's two clocks may run apart before the server is asked again.

The monotonic one stands still while a host is suspended, or its virtual machine paused; the time of day has
gone on when that ends.
"""

SLOW_SECONDS = 0.02
"""An answer that took longer may have spent most of it in connecting, and is asked for once more."""


@attrs.frozen
class _Measured:
    server: datetime
    day: datetime
    """The host's time of day at that moment."""
    monotonic: float
    """The host's monotonic clock at that moment."""
    took: float = 0.0


class ServerTime:
    """Asks the server once a minute and counts on with the host's monotonic clock in between.

    A host whose time of day is wrong changes nothing; one whose time of day jumps asks once more.
    """

    def __init__(self, host: Clock | None) -> None:
        """Without a host's clock the server is asked each time."""
        self._host = host
        self._measured: _Measured | None = None

    def now(self, ask: Callable[[], datetime]) -> datetime:
        """The server's time; `ask` asks it, and what that raises is raised."""
        if self._host is None:
            return ask()
        measured = self._measured
        if measured is None or not _counts_on(measured, self._host):
            measured = self._measured = _measure(self._host, ask)
        return measured.server + timedelta(seconds=self._host.monotonic() - measured.monotonic)

    def catch_up(self, moment: datetime, ask: Callable[[], datetime]) -> None:
        """The server is known to be as late as this: measure anew if that is news."""
        if self._host is None or self.now(ask) >= moment:
            return
        measured = _measure(self._host, ask)
        # No measuring is as exact as what was just seen.
        self._measured = attrs.evolve(measured, server=max(moment, measured.server))

    def __getstate__(self) -> dict[str, object]:
        """Forget what was measured: another machine's monotonic clock counts from elsewhere."""
        return {"_host": self._host, "_measured": None}


def _counts_on(measured: _Measured, host: Clock) -> bool:
    passed = host.monotonic() - measured.monotonic
    if not 0 <= passed < MEASURED_EVERY_SECONDS:
        return False
    return abs((host.now() - measured.day).total_seconds() - passed) <= APART_SECONDS_MAX


def _measure(host: Clock, ask: Callable[[], datetime]) -> _Measured:
    measured = _measure_once(host, ask)
    if measured.took > SLOW_SECONDS:
        return min(measured, _measure_once(host, ask), key=lambda each: each.took)
    return measured


def _measure_once(host: Clock, ask: Callable[[], datetime]) -> _Measured:
    before = host.monotonic()
    server = ask()
    after = host.monotonic()
    half = (after - before) / 2
    # The server answered somewhere in between.
    day = host.now() - timedelta(seconds=half)
    return _Measured(server, day, before + half, took=after - before)
