"""What is sent of a batch that a broker refuses in part, or in the midst of which it goes."""

from __future__ import annotations

import pytest

from djq.components.sealing import send_all, send_packages
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.ports import Broker
from tests.components.parts import codec


class Picky(Broker):
    """A user's broker, which sends one at a time, and so many at all."""

    def __init__(self, room=100):
        super().__init__()
        self.room = room
        self.sent = []

    def enqueue(self, task):
        if task == "bad":
            raise TaskRefused("not this one")
        if len(self.sent) == self.room:
            raise BrokerUnavailable("gone")
        self.sent.append(task)


def test_what_a_broker_without_an_enqueue_many_sent_before_a_refusal_is_sent_once():
    broker = Picky()

    assert send_packages(broker, ["a", "b", "bad", "c", "bad"]) == {
        2: "not this one",
        4: "not this one",
    }
    assert broker.sent == ["a", "b", "c"]


@pytest.mark.parametrize("room", range(4))
def test_broker_that_goes_says_what_it_was_sent_after_a_refusal_as_well(room):
    packages = ["a", "bad", "b", "bad", "c", "d"]
    broker = Picky(room)

    with pytest.raises(BrokerUnavailable, match="gone") as caught:
        send_packages(broker, packages)

    assert sorted(caught.value.sent) == [0, 2, 4, 5][:room]
    assert broker.sent == ["a", "b", "c", "d"][:room]


def test_places_of_what_was_sent_are_those_of_all_tasks():
    broker = Picky(1)
    broker.max_payload = 200

    with pytest.raises(BrokerUnavailable) as caught:
        send_all(broker, codec(), [b"x" * 1_000, b"a", b"b"])

    assert list(caught.value.sent) == [1]
