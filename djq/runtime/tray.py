"""Messages laid out for a child, which takes them one at a time; until then they can be taken back.

A message is a packet of a socket that keeps packets whole, and the sentinel keeps both of its ends:
a packet is received by exactly one of the two, and the kernel decides by whom. There is no lock, so
nobody who dies can hold one. Where the system has no such sockets (macOS) there is never any room.
"""

from __future__ import annotations

import pickle
import selectors
import socket
from typing import Any

from djq.runtime.poller import Poller

PACKET_BYTES_MAX = 32 * 1024


class Tray:
    """Both ends, made before the fork."""

    def __init__(self) -> None:
        self._giver, self._taker = _packet_pair()

    def offer(self, messages: tuple[object, ...]) -> int:
        """Lay out messages in order; gives for how many there was room."""
        if self._giver is None:
            return 0
        for count, message in enumerate(messages):
            packet = pickle.dumps(message, 5)
            if len(packet) > PACKET_BYTES_MAX:
                return count
            try:
                self._giver.send(packet, socket.MSG_DONTWAIT)
            except OSError:
                return count
        return len(messages)

    def take(self) -> Any | None:
        """The oldest message. None: there is none."""
        if self._taker is None:
            return None
        try:
            packet = self._taker.recv(PACKET_BYTES_MAX, socket.MSG_DONTWAIT)
        except OSError:
            return None
        return pickle.loads(packet) if packet else None  # noqa: S301 - written by djq itself

    def take_all(self) -> list[Any]:
        """All that the child has not taken, oldest first."""
        messages = []
        while (message := self.take()) is not None:
            messages.append(message)
        return messages

    def belong_to_child(self, poller: Poller) -> None:
        """In the child: keep the end to take from, and wake up when something is laid out."""
        if self._giver is not None and self._taker is not None:
            self._giver.close()
            poller.watch(self._taker.fileno(), selectors.EVENT_READ, _nothing)

    def close(self) -> None:
        """Close both ends, in this process."""
        for end in (self._giver, self._taker):
            if end is not None:
                end.close()


def _packet_pair() -> tuple[socket.socket | None, socket.socket | None]:
    try:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        return None, None


def _nothing(_events: int) -> None:
    pass
