"""A pipe between two boxes: one writer and one reader at each end, whole messages, no lock.

A message is a frame: a mark of eight bytes, its length in eight more, and its pickle. Frames that
are sent together go in one system call where the kernel takes them, and whatever has arrived is read
in one. A child writes and waits; the sentinel's end never waits: what the kernel does not take is
kept and written when it does. Half a frame of a child that died is dropped with its link.

Only djq's own words travel here, with the user's values inside as bytes. A task can write to the
descriptors of its worker all the same (whoever closes a file twice does it unknowingly): what does
not begin with the mark ends the link, and with it the child, and no more than the child.
"""

from __future__ import annotations

import pickle
import selectors
import socket
import struct
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from djq.runtime.poller import Poller
from djq.runtime.tray import Tray

HEAD = struct.Struct("<QQ")
MARK = int.from_bytes(b"\x00djqlink", "big")
READ_BYTES = 256 * 1024
READS_MAX = 16
"""Reads in one `receive`, so that one talkative child does not keep the sentinel from the others."""
JOIN_BYTES_MAX = 256 * 1024


class SocketLink:
    """One end of a socket pair."""

    def __init__(
        self, sock: socket.socket, poller: Poller, *, waits: bool, tray: Tray | None = None
    ) -> None:
        """`waits`: `send` blocks until all is written (a child's end); `tray` is for `offer`."""
        sock.setblocking(waits)
        self._socket = sock
        self._poller = poller
        self._tray = tray
        self._waits = waits
        self._in = bytearray()
        self._out: deque[memoryview] = deque()
        self._readable = True
        self._eof = False
        self._broken = False
        poller.watch(sock.fileno(), selectors.EVENT_READ, self._notice)

    @property
    def ended(self) -> bool:
        """The other end is closed, and all that it had sent has been received."""
        return self._eof

    def send(self, *messages: object) -> None:
        """Write the messages in order; nothing happens when the other end is gone."""
        if not messages or self._broken:
            return
        frames = []
        for message in messages:
            body = pickle.dumps(message, 5)
            frames.append(HEAD.pack(MARK, len(body)))
            frames.append(body)
        if self._waits:
            self._write_all(frames)
            return
        was_empty = not self._out
        self._out.extend(memoryview(piece) for piece in _joined(frames))
        if was_empty:
            self._write_some()

    def receive(self) -> Sequence[Any]:
        """All whole messages that have arrived; never blocks."""
        if not self._readable or self._eof:
            return ()
        self._readable = False
        for _ in range(READS_MAX):
            try:
                data = self._socket.recv(READ_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            if not data:
                self._eof = True
                self._poller.forget(self._socket.fileno())
                break
            self._in += data
            if len(data) < READ_BYTES:
                break
        else:
            self._readable = True
        return self._messages()

    def offer(self, *messages: object) -> int:
        """Lay small messages out for the child to take one at a time: for how many there was room."""
        return 0 if self._tray is None or self._broken else self._tray.offer(messages)

    def recall(self) -> Sequence[Any]:
        """Take back what was offered and not taken, oldest first."""
        return () if self._tray is None else self._tray.take_all()

    def take(self) -> Any | None:
        """At the child's end: the oldest message on offer. None: there is none."""
        return None if self._tray is None else self._tray.take()

    @property
    def clogged(self) -> bool:
        """Something sent earlier has not been taken by the kernel yet."""
        return bool(self._out)

    def never_wait(self) -> None:
        """From now on `send` does not block: for a child that is itself somebody's sentinel."""
        self._waits = False
        self._socket.setblocking(False)

    def look(self) -> None:
        """Let the next `receive` read, although the poller has not said that there is something."""
        self._readable = True

    def close(self) -> None:
        """Close this end, in this process."""
        if self._socket.fileno() >= 0:
            self._poller.forget(self._socket.fileno())
            self._socket.close()
            if self._tray is not None:
                self._tray.close()

    def _notice(self, events: int) -> None:
        if events & selectors.EVENT_READ:
            self._readable = True
        if events & selectors.EVENT_WRITE:
            self._write_some()

    def _messages(self) -> list[Any]:
        buffer, at, messages = self._in, 0, []
        end = len(buffer)
        with memoryview(buffer) as view:
            while end - at >= HEAD.size:
                mark, length = HEAD.unpack_from(buffer, at)
                if mark != MARK:
                    self._hang_up()
                    at = end
                    break
                start = at + HEAD.size
                if end - start < length:
                    break
                with view[start : start + length] as body:
                    messages.append(pickle.loads(body))  # noqa: S301 - written by djq itself
                at = start + length
        del buffer[:at]
        return messages

    def _hang_up(self) -> None:
        """End the link in both directions: the child at the other end finds it ended, and leaves."""
        if not self._eof:
            self._eof = True
            self._poller.forget(self._socket.fileno())
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _write_all(self, frames: list[bytes]) -> None:
        try:
            for piece in _joined(frames):
                self._socket.sendall(piece)
        except ConnectionError:
            self._broken = True

    def _write_some(self) -> None:
        try:
            while self._out:
                sent = self._socket.sendmsg(list(self._out)[:64])
                while sent and self._out:
                    if sent >= len(self._out[0]):
                        sent -= len(self._out.popleft())
                    else:
                        self._out[0] = self._out[0][sent:]
                        sent = 0
        except BlockingIOError:
            self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        except ConnectionError:
            self._broken = True
            self._out.clear()
        self._watch(selectors.EVENT_READ)

    def _watch(self, events: int) -> None:
        if not self._eof:
            self._poller.watch(self._socket.fileno(), events, self._notice)


def _joined(frames: list[bytes]) -> list[bytes]:
    """Put small pieces together, so that a write is one system call; leave large ones uncopied."""
    if sum(map(len, frames)) <= JOIN_BYTES_MAX:
        return [b"".join(frames)]
    return frames


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """The two sockets of a link; neither survives an exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
