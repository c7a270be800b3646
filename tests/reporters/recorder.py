"""A server on the loopback in the place of Rollbar and Sentry: it keeps what arrives.

It can answer that it has trouble, and it can take a request and never answer.
"""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LET_GO_SECONDS = 60


class Recorder:
    """What arrived, and how the next requests are answered."""

    def __init__(self, port):
        self.port = port
        self.status = 200
        self.hangs = False
        self.let_go = threading.Event()
        self.arrived = threading.Condition()
        self.bodies = []
        """Every request's path, headers and text."""

    @property
    def rollbar(self):
        """Options of Rollbar that lead here."""
        return {
            "access_token": "token-of-the-test",
            "environment": "test",
            "endpoint": f"http://127.0.0.1:{self.port}/api/1/",
        }

    @property
    def sentry(self):
        """Options of Sentry that lead here."""
        return {"dsn": f"http://key@127.0.0.1:{self.port}/1", "environment": "test"}

    def take(self, path, headers, text):
        with self.arrived:
            self.bodies.append((path, headers, text))
            self.arrived.notify_all()
        if self.hangs:
            self.let_go.wait(LET_GO_SECONDS)

    @property
    def items(self):
        """What Rollbar was sent."""
        return [json.loads(text)["data"] for path, _, text in self.bodies if path == "/api/1/item/"]

    @property
    def events(self):
        """What Sentry was sent: of each envelope the item behind the header that says `event`."""
        lines = [
            [json.loads(line) for line in text.splitlines() if line]
            for path, _, text in self.bodies
            if path == "/api/1/envelope/"
        ]
        return [
            item
            for envelope in lines
            for header, item in zip(envelope[1::2], envelope[2::2], strict=True)
            if header["type"] == "event"
        ]


@contextmanager
def recording():
    """A server while it is open; what hangs then is let go."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            recorder.take(self.path, dict(self.headers), body.decode())
            answer = b'{"err": 0, "result": {}}'
            self.send_response(recorder.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            """A client that gave up is none."""

    with Server(("127.0.0.1", 0), Handler) as server:
        recorder = Recorder(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield recorder
        finally:
            recorder.let_go.set()
            server.shutdown()
            thread.join()
