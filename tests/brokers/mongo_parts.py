"""What the tests of the broker in MongoDB share."""

from __future__ import annotations

import struct
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from socketserver import StreamRequestHandler, ThreadingTCPServer
from uuid import uuid4

import bson

from djq.brokers.mongo import MongoBroker
from djq.brokers.mongo_client import read_server

DATABASE = "djq-test"
VERBS = {
    "enqueue": lambda broker: broker.enqueue("x"),
    "dequeue": lambda broker: broker.dequeue(5),
    "dequeue_one": lambda broker: broker.dequeue(),
    "acknowledge": lambda broker: broker.acknowledge("a:1"),
    "extend": lambda broker: broker.extend("a:1"),
    "release": lambda broker: broker.release("a:1"),
    "delete": lambda broker: broker.delete("a"),
    "purge_queue": MongoBroker.purge_queue,
    "queue_size": MongoBroker.queue_size,
    "lock_size": MongoBroker.lock_size,
    "info": MongoBroker.info,
}
"""What can be asked of a broker, each for its answer."""


@contextmanager
def mongo_brokers(port, **options):
    """A function that makes brokers on a server; nothing is left of their queues, nor of their clients."""
    made = {}
    prefix = uuid4().hex
    connect = read_server({"host": "127.0.0.1", "port": port}, DATABASE)

    def make(key="q", **more):
        around = {"connect": connect, "retry_seconds": 60.0, **options, **more}
        broker = MongoBroker(f"{prefix}-{key}", **around)
        made[broker.list_key, len(made)] = broker
        return broker

    yield make
    for broker in {broker.list_key: broker for broker in made.values()}.values():
        broker.delete_queue()
    for broker in made.values():
        broker.close()


HELLO = {
    "ok": 1.0,
    "isWritablePrimary": True,
    "maxWireVersion": 25,
    "maxBsonObjectSize": 16_777_216,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "localTime": datetime(2026, 1, 1, tzinfo=UTC),
}
_HEADER = struct.Struct("<iiii")
_OP_QUERY, _OP_MSG = 2004, 2013


@contextmanager
def mongo_answering(answer):
    """Speak MongoDB's protocol: to each command the bytes that `answer` gives for it. Gives the port."""

    class Handler(StreamRequestHandler):
        def handle(self):
            while len(header := self.rfile.read(_HEADER.size)) == _HEADER.size:
                size, request, _, kind = _HEADER.unpack(header)
                told = answer(_command_of(kind, self.rfile.read(size - _HEADER.size)))
                message = b"\0" * 5 + told
                around = _HEADER.pack(_HEADER.size + len(message), 1, request, _OP_MSG)
                self.wfile.write(around + message)

    class Server(ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _command_of(kind, message):
    """The command of a message; its first greeting has an older form than the others."""
    assert kind in (_OP_QUERY, _OP_MSG), kind
    start = message.index(b"\0", 4) + 9 if kind == _OP_QUERY else 5
    (size,) = struct.unpack_from("<i", message, start)
    return bson.decode(message[start : start + size])
