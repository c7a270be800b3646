"""Looks at several services at the same time, and waits for none of them longer than is asked.

A driver may wait for its server as long as it likes, in C code too, where no alarm ends it. So each
look has a thread of its own, and whoever waits goes on without those that are late. A late thread
ends when its driver does; it keeps no program from its end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait

from djq.runtime.lookout import ask

__all__ = ["side_by_side"]


def side_by_side(looks: Sequence[Callable[[], object]], seconds: float) -> None:
    """Run each in a thread; comes back when all have ended, or when so many seconds have passed.

    A look says by itself what it has found, and raises nothing. Its connections to databases and
    caches are closed after it.
    """
    wait([ask(look, thread="djq look") for look in looks], timeout=seconds)
