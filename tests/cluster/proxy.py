"""A way to a server that can be cut: what goes through it is dropped, held up, or ends in the middle."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

PIECE_BYTES = 65_536


class Proxy:
    """Passes on what comes, until it is cut; connections that are made meanwhile are refused.

    How it is cut: `drop` hangs up on both sides. `truncate` lets half of the server's next answer through
    before. `stall` hangs up on nobody and passes nothing on, until it is mended.
    """

    def __init__(self, host, port):
        self._server = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.holds_some = False
        """Something has come since it was stalled, and is held up."""
        self._how = None
        self._open = threading.Event()
        self._open.set()
        self._pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, how):
        self._open.clear()
        self.holds_some = False
        self._how = how
        if how == "drop":
            self._hang_up()

    def mend(self):
        if self._how == "truncate":
            self._hang_up()
        self._how = None
        self._open.set()

    def close(self):
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._open.set()
        self._hang_up()

    def _hang_up(self):
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            _end(*pair)

    def _accept(self):
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if self._how in {"drop", "truncate"}:
                _end(near)
                continue
            pair = near, socket.create_connection(self._server)
            self._pairs.append(pair)
            for each in pair:
                # What a client says in two pieces is not to wait for the word that the first has come.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target in (pair, pair[::-1]):
                answers = source is pair[1]
                threading.Thread(
                    target=self._pass_on,
                    args=(source, target),
                    kwargs={"answers": answers},
                    daemon=True,
                ).start()

    def _pass_on(self, source, target, *, answers):
        with suppress(OSError):
            while piece := source.recv(PIECE_BYTES):
                if self._how == "truncate" and answers:
                    target.sendall(piece[: len(piece) // 2])
                    break
                if self._how == "stall":
                    self.holds_some = True
                    self._open.wait()
                target.sendall(piece)
        _end(source, target)


def _end(*sockets):
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
