"""Serves one page over HTTP, made anew at each request, in threads beside the one that waits for signals.

For machines that ask now and then, as a collector of metrics does. Each request has a thread of its own,
so one that hangs keeps neither the next one nor the end of the program waiting.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["PageServer"]

CLIENT_SECONDS_MAX = 10.0
"""How long a client may keep its thread waiting for the rest of what it says, or for being heard."""

LOOK_SECONDS = 0.1
"""How long its thread may take to see that it is to end."""

Page = Callable[[str], tuple[bytes, str]]
"""Makes the page and its type, from what the request's header `Accept` says."""


class PageServer:
    """Listens once it is made, and answers once it is started."""

    def __init__(self, *, host: str, port: int, path: str, page: Page) -> None:
        """Take the port, 0 for any that is free.

        Raises:
            OSError: The host has no such address, or the port is taken or not allowed.
        """
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        handler = type("Handler", (_Handler,), {"path_served": path, "page": staticmethod(page)})
        self._server = _Server(address, family, handler)
        name, self.port = self._server.socket.getsockname()[:2]
        shown = f"[{name}]" if family == socket.AF_INET6 else name
        self.url = f"http://{shown}:{self.port}{path}"

    def start(self) -> None:
        """Answer, in a thread that keeps no program from its end."""
        threading.Thread(
            target=self._server.serve_forever, args=[LOOK_SECONDS], name="djq page", daemon=True
        ).start()

    def close(self) -> None:
        """Answer nobody any more; waits a moment, and not for who is being answered."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def __init__(
        self, address: Any, family: socket.AddressFamily, handler: type[BaseHTTPRequestHandler]
    ) -> None:
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # Not as the class above does: it asks the network for the name of the host, which may take long.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that has gone is nobody's fault; all else gets its traceback on standard error.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    path_served: str
    page: Page
    timeout = CLIENT_SECONDS_MAX

    def do_GET(self) -> None:
        """Answer with the page."""
        if self.path.partition("?")[0] != self.path_served:
            self._answer(HTTPStatus.NOT_FOUND, f"The page is {self.path_served}\n".encode())
            return
        try:
            body, content_type = type(self).page(self.headers.get("Accept", ""))
        except Exception:
            # The reason may have a secret in it.
            self._answer(
                HTTPStatus.INTERNAL_SERVER_ERROR, b"No page; standard error has the reason.\n"
            )
            raise
        self._answer(HTTPStatus.OK, body, content_type)

    do_HEAD = do_GET  # noqa: N815 - the name that it has there

    def _answer(
        self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """What the header `Server` says."""
        return "djq"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that it has there
        """Say nothing: a scrape each few seconds would fill the log."""
