"""What is sent of a batch that a broker refuses in part."""

from __future__ import annotations

from djq.components.sealing import send_packages
from djq.exceptions import TaskRefused
from djq.ports import Broker


class Picky(Broker):
    """A user's broker, which sends one at a time."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def enqueue(self, task):
        if task == "bad":
            raise TaskRefused("not this one")
        self.sent.append(task)


def test_what_a_broker_without_an_enqueue_many_sent_before_a_refusal_is_sent_once():
    broker = Picky()

    assert send_packages(broker, ["a", "b", "bad", "c", "bad"]) == {
        2: "not this one",
        4: "not this one",
    }
    assert broker.sent == ["a", "b", "c"]
