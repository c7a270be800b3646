"""What the tests of the broker at IronMQ share."""

from __future__ import annotations

from contextlib import contextmanager

from requests import Response
from requests.adapters import BaseAdapter

from djq.brokers.ironmq import IronMqBroker
from djq.brokers.ironmq_client import read_server
from djq_testing.fakes.ironmq_server import serve

HERE = {"token": "hunter2", "project_id": "p"}


AWAY = {**HERE, "host": "127.0.0.1", "port": 1, "protocol": "http"}


SOON_SECONDS = 2.0


@contextmanager
def over_http(service, **options):
    """A broker that goes to this service through a socket."""
    with serve(service) as server:
        connect = read_server({**server.options, "http_timeout": SOON_SECONDS})
        broker = IronMqBroker("q", connect=connect, retry_seconds=60, **options)
        yield broker, server
        broker.close()


class Answering(BaseAdapter):
    """Says one thing to every request, and what it was asked."""

    def __init__(self, status, text, kind="application/json"):
        super().__init__()
        self.asked = []
        self.location = None
        self.raises = None
        self.closed = False
        self._status, self._text, self._kind = status, text, kind

    def send(self, request, **options):
        self.asked.append((request.method, request.url, options["timeout"]))
        if self.raises:
            raise self.raises
        response = Response()
        response.status_code, response._content = self._status, self._text.encode()
        response.reason, response.url, response.request = "Of its own", request.url, request
        if self.location:
            response.headers["Location"] = self.location
        if self._kind:
            response.headers["Content-Type"] = self._kind
        return response

    def close(self):
        self.closed = True


def hearing(adapter):
    """A broker whose service is this adapter."""

    def connect():
        client = read_server({**HERE, "protocol": "http", "host": "ironmq.invalid"})()
        client.client.session.mount("http://", adapter)
        return client

    return IronMqBroker("q", connect=connect, retry_seconds=60)


VERBS = {
    "enqueue": lambda broker: broker.enqueue("x"),
    "enqueue_later": lambda broker: broker.enqueue_later(["x"], 5),
    "dequeue": lambda broker: broker.dequeue(),
    "acknowledge": lambda broker: broker.acknowledge("1:a"),
    "acknowledge_many": lambda broker: broker.acknowledge_many(["1:a", "2:b"]),
    "extend": lambda broker: broker.extend("1:a"),
    "extend_many": lambda broker: broker.extend_many(["1:a", "2:b"]),
    "release": lambda broker: broker.release("1:a"),
    "fail": lambda broker: broker.fail("1:a"),
    "delete": lambda broker: broker.delete("1"),
    "purge_queue": lambda broker: broker.purge_queue(),
    "delete_queue": lambda broker: broker.delete_queue(),
    "queue_size": lambda broker: broker.queue_size(),
}
"""Everything that can be asked of a broker."""
