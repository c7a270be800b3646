"""How long to wait for a service that does not answer, and when to speak of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from djq.core.events import ServiceAway, ServiceBack
from djq.ports import Surroundings

PAUSE_SECONDS_FIRST = 0.1
PAUSE_SECONDS_MAX = 10.0


class Backoff:
    """Growing, jittered pauses; tells the observer once when a service goes and once when it is back."""

    def __init__(
        self,
        service: str,
        around: Surroundings,
        changed: Callable[[], None] = lambda: None,
        *,
        silent_seconds: float = 0.0,
    ) -> None:
        """Begin with a service that answers, as far as is known.

        Args:
            service: What it is called.
            around: Time, chance and the observer.
            changed: Called when the service goes, and when it is back.
            silent_seconds: For how long it may fail, one time after the other, before it counts as away.
        """
        self._service = service
        self._around = around
        self._changed = changed
        self.since: datetime | None = None
        """When the service first did not answer; aware, UTC. None: it answers, or was never asked."""
        self._silent_seconds = silent_seconds
        self._failing_since = 0.0
        self._failures = 0
        self._until = 0.0

    def failed(self, error: BaseException) -> None:
        """The service did not answer."""
        now = self._around.clock.monotonic()
        if self._failures == 0:
            self._failing_since = now
        if self.since is None and now - self._failing_since >= self._silent_seconds:
            self._around.observer.notify(ServiceAway(self._service, str(error)))
            self.since = self._around.clock.now()
            self._changed()
        pause = min(PAUSE_SECONDS_FIRST * 2.0**self._failures, PAUSE_SECONDS_MAX)
        self._failures = min(self._failures + 1, 20)
        jitter = 0.5 + self._around.ids.jitter() / 2
        self._until = now + pause * jitter

    def answered(self) -> None:
        self._failures = 0
        if self.since is not None:
            self._around.observer.notify(ServiceBack(self._service))
            self.since = None
            self._changed()

    def seconds_left(self) -> float:
        """How long to leave the service alone; 0 when it may be asked."""
        if not self._failures:
            return 0.0
        return max(self._until - self._around.clock.monotonic(), 0.0)
