"""Functions that schedules of these tests call; all that they are given has a literal form."""

from __future__ import annotations

import os
import time

from tests.cluster.tasks import append


def note_time(path):
    """Write down when it ran."""
    append(path, str(time.time()))


def note_slot(path, name, when, seconds=0.0):
    """Write down for which slot it ran."""
    append(path, f"{name} {when} {os.getpid()}")
    time.sleep(seconds)


def fail():
    raise ValueError("not today")
