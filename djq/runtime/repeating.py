"""Threads that do one thing each, again and again, for whoever must not wait for it.

A thread cannot be ended from outside. One that hangs in what it does is left behind at the end; it
lets go of what it has opened when it comes back, or ends with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from djq.runtime.clock import SystemClock

LEAVE_SECONDS = 1.0


@contextmanager
def repeating(
    works: Mapping[str, Callable[[], float]],
    *,
    let_go: Callable[[], object],
    leave_seconds: float = LEAVE_SECONDS,
) -> Iterator[None]:
    """Do all of this meanwhile, each in a thread of its own.

    Args:
        works: By the names of their threads. Each gives back the seconds until it is done again, and
            has to take care of its errors.
        let_go: Closes what a thread has opened; called in each at its end.
        leave_seconds: How long the threads may take to leave, all together.
    """
    over = threading.Event()

    def go_on(work: Callable[[], float]) -> None:
        try:
            while not over.wait(work()):
                pass
        finally:
            let_go()

    threads = [
        # The process can end while one hangs.
        threading.Thread(target=go_on, args=(work,), name=name, daemon=True)
        for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        clock = SystemClock()
        leave_at = clock.monotonic() + leave_seconds
        for thread in threads:
            thread.join(max(leave_at - clock.monotonic(), 0))
