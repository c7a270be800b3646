"""Looks at several services at the same time, and waits for none of them longer than is asked.

A driver may wait for its server as long as it likes, in C code too, where no alarm ends it. So each
look has a thread of its own, and whoever waits goes on without those that are late. A late thread
ends when its driver does; it keeps no program from its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from djq.runtime import scope

__all__ = ["side_by_side"]


def side_by_side(looks: Sequence[Callable[[], object]], seconds: float) -> None:
    """Run each in a thread; comes back when all have ended, or when so many seconds have passed.

    A look says by itself what it has found, and raises nothing. Its connections to databases and
    caches are closed after it.
    """
    ended: list[object] = []
    has_ended = threading.Condition()

    def run(look: Callable[[], object]) -> None:
        try:
            look()
        finally:
            # What it has found is there: that a connection closes badly changes nothing.
            with suppress(Exception):
                scope.close_own()
            with has_ended:
                ended.append(look)
                has_ended.notify()

    for look in looks:
        threading.Thread(target=run, args=(look,), name="djq look", daemon=True).start()
    with has_ended:
        has_ended.wait_for(lambda: len(ended) == len(looks), timeout=seconds)
