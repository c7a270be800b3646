"""Disque over TCP, in memory: the nodes of a `FakeDisque` on free ports of this machine.

They speak Redis' protocol of 2016, so that the real client can be tried; a client that waits for jobs
waits in real time, whatever the jobs go by.
"""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from redis.exceptions import ResponseError

from djq_testing.fakes.disque_jobs import FakeDisque

__all__ = ["DisqueServer", "serve"]

HOST = "127.0.0.1"
TICK_SECONDS = 0.1
"""How often a waiting GETJOB looks for jobs that have come due, and whether its client is still there."""
WORDS_MAX = 1_048_576
WORD_BYTES_MAX = 536_870_912
LINE_BYTES_MAX = 65_536
"""More of these is no command, as at the real server."""
STATUSES = (b"ADDJOB", b"AUTH")
"""Commands whose answer is a status, and no text of any length."""


@contextmanager
def serve(disque: FakeDisque) -> Iterator[list[DisqueServer]]:
    """Serve each node of it; give the servers, which can be stopped and started."""
    bell = threading.Condition()
    nodes = [DisqueServer(disque, bell) for _ in disque.ports]
    for node in nodes:
        node.start()
    disque.ports = [node.port for node in nodes]
    disque.members = nodes
    try:
        yield nodes
    finally:
        for node in nodes:
            node.stop()


class DisqueServer:
    """One node."""

    def __init__(self, disque: FakeDisque, bell: threading.Condition) -> None:
        self.disque = disque
        self.bell = bell
        """Held while a command is done, and rung when there may be a new job."""
        self.port = 0
        self.connections: set[socket.socket] = set()
        self.commands: list[bytes] = []
        """The name of every command that came."""
        self._server: _Listener | None = None

    @property
    def address(self) -> str:
        """As the setting `disque_nodes` has it."""
        return f"{HOST}:{self.port}"

    @property
    def up(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    def start(self) -> None:
        """Listen; on the port that it had, if it had one."""
        self._server = _Listener((HOST, self.port), _Connection)
        self._server.node = self
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and hang up on everybody."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections."""
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def answer(self, command: Sequence[bytes], is_there: Callable[[], bool]) -> Any:
        """Do as the command says; GETJOB waits as long as it may, and its client is there."""
        name = command[0].upper()
        with self.bell:
            self.commands.append(name)
            answer = self.disque.answer(command)
            if name == b"GETJOB" and answer is None:
                answer = self._wait(command, is_there)
            self.bell.notify_all()
        return answer

    def _wait(self, command: Sequence[bytes], is_there: Callable[[], bool]) -> Any:
        place = command.index(b"FROM")
        options = list(command[:place])
        if b"NOHANG" in options:
            return None
        seconds = 0.0
        if b"TIMEOUT" in options:
            seconds = int(options[options.index(b"TIMEOUT") + 1]) / 1_000
        if b"COUNT" in options:
            # Who had to wait gets one job, whatever was asked for.
            options[options.index(b"COUNT") + 1] = b"1"
        one = [*options, *command[place:]]
        came: list[Any] = []

        def look() -> bool:
            if self._server is None or not is_there():
                return True
            came[:] = self.disque.answer(one) or []
            return bool(came)

        for _ in range(max(1, round(seconds / TICK_SECONDS))):
            if self.bell.wait_for(look, TICK_SECONDS):
                break
        return came or None


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    node: DisqueServer


class _Connection(socketserver.StreamRequestHandler):
    """Reads commands and writes answers, until the client hangs up."""

    disable_nagle_algorithm = True
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.server.node.connections.add(self.request)

    def finish(self) -> None:
        self.server.node.connections.discard(self.request)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError):
            try:
                self._converse()
            except _Unspoken as wrong:
                self.wfile.write(f"-ERR Protocol error: {wrong}\r\n".encode())

    def _converse(self) -> None:
        node = self.server.node
        is_in = node.disque.password is None
        while (command := self._read()) is not None:
            if not command:
                continue
            is_auth = command[0].upper() == b"AUTH"
            if is_in or is_auth:
                answer = node.answer(command, self._is_there)
                is_in = is_in or answer == b"OK"
            else:
                answer = ResponseError("NOAUTH Authentication required.")
            self.wfile.write(_written(answer, command[0].upper()))

    def _is_there(self) -> bool:
        """Whether the client has not hung up; it may have sent more."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable or self.connection.recv(1, socket.MSG_PEEK) != b""

    def _read(self) -> list[bytes] | None:
        """One command, as a list of texts of known lengths. None: the client has hung up, or in its midst."""
        count = self._number(b"*", "invalid multibulk length", WORDS_MAX)
        if count is None:
            return None
        words = []
        for _ in range(count):
            length = self._number(b"$", "invalid bulk length", WORD_BYTES_MAX)
            if length is None:
                return None
            word = self.rfile.read(length + 2)
            if len(word) < length + 2:
                return None
            words.append(word[:-2])
        return words

    def _number(self, sign: bytes, wrong: str, most: int) -> int | None:
        """What stands in a line behind its sign. None: the client has hung up."""
        line = self.rfile.readline(LINE_BYTES_MAX)
        if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
            return None
        if line[:1] != sign:
            raise _Unspoken(f"expected {sign.decode()!r}, got {line[:1]!r}")
        digits = line[1:].strip()
        if not digits.isdigit() or len(digits) > len(str(most)) or int(digits) > most:
            raise _Unspoken(wrong)
        return int(digits)


class _Unspoken(Exception):
    """What came is not Redis' protocol."""


def _written(answer: Any, name: bytes) -> bytes:
    match answer:
        case ResponseError():
            text = str(answer)
            is_code = text.split(" ", 1)[0].isupper()
            return f"-{text if is_code else 'ERR ' + text}\r\n".encode()
        case None:
            return b"*-1\r\n" if name == b"GETJOB" else b"$-1\r\n"
        case int():
            return b":%d\r\n" % answer
        case list():
            return b"*%d\r\n" % len(answer) + b"".join(_written(part, b"") for part in answer)
        case _ if name in STATUSES:
            return b"+" + bytes(answer) + b"\r\n"
        case _:
            return b"$%d\r\n%s\r\n" % (len(answer), answer)
