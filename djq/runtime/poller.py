"""Waits for file descriptors and time, for one process: every wait of a component ends here."""

from __future__ import annotations

import selectors
from collections.abc import Callable

Notice = Callable[[int], None]

WAIT_SECONDS_MAX = 24 * 60 * 60
"""Systems take no more than some 24 days for one wait; whoever waits longer is asked again sooner."""


class Poller:
    """Calls back whoever is watched when its descriptor is ready."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, fd: int, events: int, notice: Notice) -> None:
        """Call `notice(events)` during a wait when the descriptor is ready; may be called again."""
        known = self._selector.get_map().get(fd)
        if known is None:
            self._selector.register(fd, events, notice)
        elif known.events != events or known.data != notice:
            self._selector.modify(fd, events, notice)

    def forget(self, fd: int) -> None:
        """Watch the descriptor no more; call it before the descriptor is closed."""
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def wait(self, seconds: float | None) -> None:
        """Wait for the first ready descriptor, at most so long; None: as long as it takes.

        A wait of more than a day ends after a day: a component then finds that there is nothing yet.
        """
        bounded = None if seconds is None else min(seconds, WAIT_SECONDS_MAX)
        for key, events in self._selector.select(bounded):
            key.data(events)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's selector without touching what it watches.

        The two processes share it, so taking out a descriptor here would take it from the parent.
        """
        self._selector.close()
        self._selector = selectors.DefaultSelector()

    def close(self) -> None:
        self._selector.close()
