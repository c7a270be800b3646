"""Bounds work in the main thread by the alarm signal: drivers of servers may wait as long as they like."""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 0.5
"""Somebody may have taken the first alarm for an error of his own, and tried again."""
IMPORTING = "<frozen importlib._bootstrap>"
"""The file of the code that imports."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """End what is done inside with `TimeoutError` when it takes longer.

    A wait in a library of C may end only when that comes back, and an import is not ended at all: a
    library cut short on its way in is never whole again, while an import waits for nobody. One that was
    under way already, as when the whole program is one, is its caller's. Nothing is bounded in another
    thread than the main one, on a system without alarms, or where the alarm is somebody else's already.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or not hasattr(signal, "setitimer")
        or signal.getitimer(signal.ITIMER_REAL)[0]
    ):
        yield
        return
    is_over = False
    around = _imports(inspect.currentframe())

    def end(_number: int, frame: FrameType | None) -> None:
        if not is_over and _imports(frame) <= around:
            raise TimeoutError(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)


def _imports(frame: FrameType | None) -> int:
    """How many frames from this one outwards are the importing code's."""
    count = 0
    while frame is not None:
        count += frame.f_code.co_filename == IMPORTING
        frame = frame.f_back
    return count
