"""Parts for the tests of sending: brokers that count or fail, a cache that counts what it is asked."""

from __future__ import annotations

from typing import ClassVar

from django.core.cache.backends.locmem import LocMemCache

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


class CountingCache(LocMemCache):
    """A cache in memory that counts the entries that it is asked for."""

    reads: ClassVar[int] = 0

    def get(self, *args, **kwargs):
        type(self).reads += 1
        return super().get(*args, **kwargs)
