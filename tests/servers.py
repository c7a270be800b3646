"""Servers that the tests start themselves: on a port that is free, and there when they answer."""

from __future__ import annotations

import socket
import time

SECONDS_MAX = 10


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def knock(port, what):
    """Knock until the server that was just started answers; some milliseconds, as a rule."""
    end = time.monotonic() + SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), SECONDS_MAX).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end, f"{what} was started and does not answer"
        else:
            return
