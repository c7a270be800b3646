"""The IronMQ in memory over HTTP: iron-mq's client comes to it through a socket, as to the real service."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, cast
from urllib.parse import unquote, urlsplit

from djq_testing.fakes.ironmq_service import Answer, IronMqService

__all__ = ["IronMqHttpServer", "serve"]

REQUEST_BYTES_MAX = 67_108_864
"""More than a hundred messages of the largest size."""
TICK_SECONDS = 0.1
"""How often it is looked whether a waiting client is still there."""


class IronMqHttpServer(ThreadingHTTPServer):
    """One service at a free port of this machine."""

    daemon_threads = True

    def __init__(self, service: IronMqService) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service
        self.news = threading.Condition()
        """Told when messages may have come."""
        self.open: set[socket.socket] = set()
        """Connections of clients."""

    @property
    def port(self) -> int:
        """Where it is."""
        return int(self.server_address[1])

    @property
    def options(self) -> dict[str, Any]:
        """The setting `iron_mq` for it."""
        where = {"host": "127.0.0.1", "port": self.port, "protocol": "http"}
        return {**self.service.options, **where, "lease_seconds_min": 1}

    def hang_up(self) -> None:
        """End all connections."""
        for each in list(self.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def serve(service: IronMqService) -> Iterator[IronMqHttpServer]:
    """Serve it until the block ends."""
    with IronMqHttpServer(service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            server.hang_up()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize: ClassVar[int] = 65_536  # an answer goes out whole

    @property
    def _iron(self) -> IronMqHttpServer:
        return cast("IronMqHttpServer", self.server)

    def setup(self) -> None:
        super().setup()
        self._iron.open.add(self.connection)

    def finish(self) -> None:
        self._iron.open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        status, told = self._answer()
        text = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the library's own names

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> Answer:
        server = self._iron
        length = self._length()
        if length is None:
            self.close_connection = True
            return 411, {"msg": f"Content-Length has to be {REQUEST_BYTES_MAX} at most"}
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionAbortedError("the client went away in the midst of its request")
        request = self.command, self.path, body, self.headers.get("Authorization", "")
        with server.news:
            answer = server.service.answer(*request)
            if self.path.endswith("/reservations"):
                return self._waited(request, answer)
            if self.path.endswith(("/messages", "/release")):
                server.news.notify_all()
            return answer

    def _length(self) -> int | None:
        """How long the body is. None: that is not said, or not as it has to be.

        What was cut off in its head does not say it; without a body it could stand for another request.
        """
        told = self.headers.get("Content-Length", "0" if self.command == "GET" else "")
        digits = len(str(REQUEST_BYTES_MAX))
        is_number = told.isascii() and told.isdigit() and len(told) <= digits
        return int(told) if is_number and int(told) <= REQUEST_BYTES_MAX else None

    def _is_there(self) -> bool:
        """Whether the client has not hung up; it may have sent more."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable or self.connection.recv(1, socket.MSG_PEEK) != b""

    def _waited(self, request: tuple[str, str, bytes, str], answer: Answer) -> Answer:
        """Give messages as soon as there are any, or nothing when the client's time is over."""
        server, clock = self._iron, self._iron.service.clock
        if answer[1].get("messages") != []:
            return answer
        # Only a request that is understood gives messages, or none.
        until = clock.monotonic() + json.loads(request[2] or b"{}").get("wait", 0)
        name = unquote(urlsplit(self.path).path.split("/")[5])
        while answer[1].get("messages") == [] and (left := until - clock.monotonic()) > 0:
            next_at = server.service.next_available(name)
            if next_at is not None:
                left = min(left, max((next_at - clock.now()) / timedelta(seconds=1), 0.001))
            server.news.wait(min(left, TICK_SECONDS))
            if not self._is_there():
                raise ConnectionAbortedError("the client went away while it waited")
            answer = server.service.answer(*request)
            server.service.asked.pop()
        return answer
