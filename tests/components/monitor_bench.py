"""A monitor with broker, store and link that write down what they are asked for."""

from __future__ import annotations

from contextlib import contextmanager

from djq.components.monitor import Monitor
from djq.core.frame import unpack
from djq.core.protocol import Health, Keep
from djq.exceptions import BrokerUnavailable, StoreRefused, StoreUnavailable, TaskRefused
from djq.ports import Broker
from tests.components import parts

HOOK = "app.hooks.done"


class Journal(list):
    """What broker, store and link were asked for, in order."""

    def of(self, *verbs):
        return [entry for entry in self if entry[0] in verbs]

    @property
    def verbs(self):
        return [entry[0] for entry in self]


class RecordingBroker(Broker):
    """Writes into the journal; each verb may be made to fail."""

    receipts = True

    def __init__(self, journal):
        super().__init__()
        self.journal = journal
        self.away = set()
        self.refuses = set()
        """Names of the tasks that it can never take."""
        self.takes = None
        """Of a batch it takes so many, and goes away then. None: all."""
        self.renewals = {}
        self.unextended = set()
        """Receipts whose leases it cannot extend."""

    def note(self, verb, value):
        if verb in self.away:
            raise BrokerUnavailable(f"no answer to {verb}")
        self.journal.append((verb, value))

    def enqueue_many(self, tasks):
        messages = [unpack(parts.codec().open(task)) for task in tasks]
        for message in messages:
            if message.name in self.refuses:
                raise TaskRefused(f"{message.name} is too large for this queue")
        self.note("enqueue", messages[: self.takes])
        if self.takes is not None:
            raise BrokerUnavailable("gone in the midst of it", sent=range(self.takes))
        return [None for _ in tasks]

    def enqueue(self, task):
        return self.enqueue_many([task])[0]

    def acknowledge_many(self, ids):
        self.note("acknowledge", list(ids))

    def release_many(self, ids, *, begun=True):
        self.note("release" if begun else "release unbegun", list(ids))

    def extend_many(self, ids):
        self.note("extend", list(ids))
        changed = {old: self.renewals[old] for old in ids if old in self.renewals}
        if self.unextended & set(ids):
            raise BrokerUnavailable("some were not extended", changed=changed)
        return changed


class RecordingStore:
    """Writes into the journal; refuses what it is told to."""

    def __init__(self, journal):
        self.alias = None
        self.journal = journal
        self.away = False
        self.forgetful = False
        """It does not answer when it is asked what stands."""
        self.successes = {}
        """What it has kept before, by the ids of the tasks."""
        self.refuses = lambda finished: False
        self.saved = []

    def kept(self, tasks):
        ids = [message.id for message in tasks]
        if self.forgetful:
            raise StoreUnavailable("no answer to kept")
        self.journal.append(("kept", ids))
        return {id: self.successes[id] for id in ids if id in self.successes}

    def save(self, batch):
        if self.away:
            raise StoreUnavailable("no answer to save")
        if any(self.refuses(finished) for finished in batch):
            raise StoreRefused("too large for its column")
        self.journal.append(("save", [finished.message.name for finished in batch]))
        self.saved += batch
        return ()

    @contextmanager
    def unit(self):
        self.journal.append(("begin", None))
        saved = list(self.saved)
        try:
            yield
        except BaseException:
            self.saved = saved
            self.journal.append(("roll back", None))
            raise
        self.journal.append(("commit", None))

    def present(self, finished):
        raise AssertionError("a monitor calls no hook")


class Bench(parts.Scene):
    """A monitor that has said that it is ready, and the sentinel's end of its link."""

    def __init__(self, *, one_database=False, receipts=True, max_payload=1_000_000, schedules=None):
        super().__init__()
        self.journal = Journal()
        self.broker = RecordingBroker(self.journal)
        self.broker.receipts = receipts
        self.store = RecordingStore(self.journal)
        if one_database:
            self.broker.database = self.store.alias = "default"
        self.monitor = Monitor(
            link=self,
            broker=self.broker,
            store=self.store,
            schedules=schedules,
            codec=parts.codec(max_payload=max_payload),
            around=self.around,
            label="Process-1:3",
            pid=9,
        )
        self.monitor.step()
        del self.journal[:]

    # The monitor's end of its link, which writes into the journal too.

    def send(self, *messages):
        told = [message for message in messages if not isinstance(message, Health)]
        self.journal.extend((type(message).__name__, message) for message in told)
        self.link.send(*messages)

    def receive(self):
        return self.link.receive()

    @property
    def ended(self):
        return self.link.ended

    def keep(self, *items):
        self.sentinel.send(Keep(items))
        return self.monitor.step()

    def settle(self):
        """Step until there is nothing to do."""
        for _ in range(10_000):
            wait = self.monitor.step()
            if wait is None or wait.seconds is None:
                return
            self.clock.advance(wait.seconds)
        raise AssertionError("the monitor never comes to rest")

    @property
    def kept_tickets(self):
        return [ticket for _, message in self.journal.of("Kept") for ticket in message.tickets]
