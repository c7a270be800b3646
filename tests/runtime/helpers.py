"""Bounded waiting: on what a poller watches, and never longer than a broken test may take."""

from __future__ import annotations

import time

SECONDS_MAX = 20


def until(poller, holds):
    """Wait on the poller until `holds()`."""
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("what was waited for has not come")
        poller.wait(0.05)
