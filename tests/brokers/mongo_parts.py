"""What the tests of the broker in MongoDB share."""

from __future__ import annotations

from contextlib import contextmanager
from uuid import uuid4

from djq.brokers.mongo import MongoBroker
from djq.brokers.mongo_client import read_server

DATABASE = "djq-test"


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
