"""Functions that a worker is made to run, and classes that it cannot read."""

from __future__ import annotations

import sys
import threading

seen = []
"""What `remember` was called with."""


def remember(*args):
    seen.append(args)


def leave(*args):
    sys.exit(*args)


def interrupt():
    raise KeyboardInterrupt


def interrupt_with_words():
    raise KeyboardInterrupt("by hand")


def recurse():
    return recurse()


def eat_memory():
    raise MemoryError


def give_lock():
    return threading.Lock()


def give_text(length):
    return "x" * length


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raise_mute():
    raise Mute


def raise_lines():
    raise ValueError("first\nsecond\r\nthird\u2028fourth")


def raise_long():
    raise ValueError("x" * 5_000)


def raise_nothing():
    raise ValueError


class Unreadable:
    """Pickles, and does not come back."""

    def __reduce__(self):
        return refuse, ()


def refuse():
    raise LookupError("no such thing here")
