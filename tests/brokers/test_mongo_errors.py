"""What the broker in MongoDB makes of answers that are none, and of packages that are none."""

from __future__ import annotations

import bson
import pytest

from djq.brokers.mongo import COLLECTION, MongoBroker
from djq.brokers.mongo_client import read_server
from djq.exceptions import BrokerUnavailable
from djq_testing.clock import ManualClock
from djq_testing.fakes.mongo import fake_mongo, make_fake
from tests.brokers.mongo_parts import HELLO, VERBS, mongo_answering

pytestmark = pytest.mark.usefixtures("pymongo_ends")

DONE = {"ok": 1.0, "n": 1, "nModified": 1}
TAKEN = {"_id": "a", "deliveries": 1, "unbegun": 0, "payload": "text"}


def asked_of(verb, answers, hello=HELLO):
    """Ask it of a server that has these answers, each as a document or as bytes; it greets as one should."""

    def answer(command):
        name = next(iter(command))
        if name.lower() not in {"hello", "ismaster"}:
            told = answers.get(name, DONE)
        # pymongo says more than its name when it greets, and djq asks for the time with that alone.
        else:
            told = hello if set(command) <= {"hello", "$db", "lsid", "$readPreference"} else HELLO
        return told if isinstance(told, bytes) else bson.encode(told)

    with mongo_answering(answer) as port:
        options = {"host": "127.0.0.1", "port": port, "serverSelectionTimeoutMS": 5_000}
        broker = MongoBroker("q", connect=read_server(options), retry_seconds=60)
        try:
            return VERBS[verb](broker)
        finally:
            broker.close()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "told",
    [b"", bson.encode(DONE)[:-2], bson.encode({"ok": 1.0, "x": "text"}).replace(b"\5", b"\xff")],
    ids=["nothing", "cut short", "broken"],
)
def test_answer_that_is_no_document_is_unavailable(verb, told):
    commands = ("createIndexes", "insert", "find", "delete", "update", "aggregate", "buildinfo")

    with pytest.raises(BrokerUnavailable, match="MongoDB did not serve the queue 'q': "):
        asked_of(verb, dict.fromkeys(commands, told))


@pytest.mark.parametrize(
    ("verb", "command", "told", "words"),
    [
        ("enqueue", "insert", {"ok": 1.0, "n": "one"}, "TypeError"),
        ("dequeue", "find", {"ok": 1.0}, "KeyError: 'cursor'"),
        ("dequeue", "find", {"ok": 1.0, "cursor": 5}, "TypeError"),
        (
            "dequeue",
            "find",
            {"ok": 1.0, "cursor": {"id": 0, "ns": "d.c", "firstBatch": [{}]}},
            "KeyError: 'place'",
        ),
        ("dequeue_one", "findAndModify", {"ok": 1.0, "value": {"_id": "a"}}, "KeyError: 'deliver"),
        ("dequeue_one", "findAndModify", {"ok": 1.0, "value": 5}, "TypeError"),
        ("queue_size", "aggregate", {"ok": 1.0, "cursor": 5}, "TypeError"),
    ],
)
def test_answer_that_lacks_something_is_unavailable_and_told(verb, command, told, words):
    with pytest.raises(BrokerUnavailable, match=rf"is none of MongoDB's \({words}.*\)\Z"):
        asked_of(verb, {command: told})


@pytest.mark.parametrize(
    ("time", "words"), [({}, "KeyError: 'localTime'"), ({"localTime": "noon"}, "TypeError")]
)
@pytest.mark.parametrize("verb", ["enqueue", "extend", "lock_size"])
def test_server_that_does_not_say_its_time_is_unavailable(verb, time, words):
    with pytest.raises(BrokerUnavailable, match=rf"is none of MongoDB's \({words}.*\)\Z"):
        asked_of(verb, {}, {"ok": 1.0, **time})


def test_package_that_is_no_text_in_utf_8_spoils_no_other():
    spoilt = bson.encode({"ok": 1.0, "value": TAKEN}).replace(b"text", b"t\xff\xfet")

    (received,) = asked_of("dequeue_one", {"findAndModify": spoilt})

    assert tuple(received) == ("a:1", "t\ufffd\ufffdt")


def test_package_without_a_text_is_given_so_that_it_can_be_failed_and_holds_up_no_other():
    connect = fake_mongo()
    broker = make_fake("q", connect=connect, clock=ManualClock(), retry_seconds=60)
    broker.enqueue("before")
    connect()[COLLECTION].insert_one(
        {"_id": "odd", "queue": "q", "due": 0, "place": "odd", "deliveries": 0, "claim": None}
    )

    (odd, text), (_, package) = broker.dequeue(5)
    broker.fail(odd)

    assert (text, package) == ("", "before")
    assert (broker.queue_size(), broker.lock_size()) == (0, 1)
