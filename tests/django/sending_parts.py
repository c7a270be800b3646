"""Brokers for the tests of sending: one that counts its calls, one that a function can be slow to fill."""

from __future__ import annotations

from djq.assembly import make_codec
from djq.conf import get_config
from djq.core.call import load_call
from djq.core.frame import unpack
from djq.exceptions import BrokerUnavailable
from djq_testing.clock import ManualClock
from djq_testing.memory import MemoryBroker


class CountingBroker(MemoryBroker):
    """Remembers the size of each call."""

    def __init__(self, list_key="default"):
        super().__init__(list_key, clock=ManualClock())
        self.calls = []
        self.away_after = None
        """So many calls it answers, and no more."""

    def enqueue(self, task):
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks):
        if self.away_after == len(self.calls):
            raise BrokerUnavailable("no answer")
        self.calls.append(len(tasks))
        return [super(CountingBroker, self).enqueue(task) for task in tasks]

    def sent(self):
        """The messages in the queue, opened; they are gone after that."""
        codec = make_codec(get_config(), self.list_key)
        return [unpack(codec.open(package)) for _, package in self.dequeue(1_000_000)]

    def sent_calls(self):
        return [load_call(message.body) for message in self.sent()]


class ForgetfulBroker(CountingBroker):
    """Counts the packages, and keeps none of them: for very many."""

    def enqueue_many(self, tasks):
        self.calls.append(len(tasks))
        return [None for _ in tasks]
