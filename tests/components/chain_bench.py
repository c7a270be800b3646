"""A monitor whose store keeps what it is given, and a broker that sees that nothing is sent before."""

from __future__ import annotations

from contextlib import contextmanager

import attrs

from djq.components.monitor import Monitor
from djq.core.frame import delivery_of, pack
from djq.core.message import Kind
from djq.core.protocol import Keep, Settled, Verdict
from djq.exceptions import StoreUnavailable
from djq_testing.memory import MemoryStore
from tests.components import parts
from tests.components.monitor_bench import Bench, RecordingBroker
from tests.core.chain_samples import failed, succeeded

HOOK = "app.hooks.done"


class KeepingStore(MemoryStore):
    """A store in memory that may be away, and that undoes a unit that did not come to its end."""

    def __init__(self, journal):
        super().__init__()
        self.journal = journal
        self.away = set()

    def note(self, verb, value):
        if verb in self.away:
            raise StoreUnavailable(f"no answer to {verb}")
        self.journal.append((verb, value))

    def kept(self, tasks):
        wanted = list(tasks)
        self.note("kept", [message.id for message in wanted])
        return super().kept(wanted)

    def save(self, batch):
        self.note("save", [finished.message.name for finished in batch])
        return super().save(batch)

    def sent(self, links):
        self.note("sent", [link.name for link in links])
        return super().sent(links)

    def mark_sent(self, links):
        self.note("mark", [link.name for link in links])
        super().mark_sent(links)

    @contextmanager
    def unit(self):
        before = dict(self._tasks), dict(self._elements), dict(self._sent)
        self.journal.append(("begin", None))
        try:
            yield
        except BaseException:
            self._tasks, self._elements, self._sent = before
            self.journal.append(("roll back", None))
            raise
        self.journal.append(("commit", None))


class OrderlyBroker(RecordingBroker):
    """Refuses to see a link before the outcome of the one before it is kept."""

    store = None

    def note(self, verb, value):
        super().note(verb, value)
        for message in value if verb == "enqueue" else ():
            if message.kind is Kind.TASK:
                before = f"{message.place - 1:032x}"
                is_kept = self.store is None or self.store.find(before) is not None
                assert is_kept, f"{message.name} was sent too early"


class ChainBench(Bench):
    """As `Bench`, with monitors that can be replaced."""

    def __init__(self, *, one_database=False, **options):
        super().__init__(one_database=one_database, **options)
        self.broker = OrderlyBroker(self.journal)
        self.store = self.broker.store = KeepingStore(self.journal)
        if one_database:
            self.broker.database = self.store.alias = "default"
        self.replace()

    def replace(self):
        """The monitor dies, with all that it holds; another takes its place."""
        self.sentinel, self.link = parts.PairLink.pair()
        self.monitor = Monitor(
            link=self,
            broker=self.broker,
            store=self.store,
            codec=parts.codec(),
            around=self.around,
            label="Process-1:3",
            pid=9,
        )
        self.monitor.step()

    def give(self, *finished, verdict=Verdict.SAVE):
        """Hand outcomes to the monitor, as one batch, and let it work once."""
        items = [
            Settled(
                ticket,
                attrs.evolve(
                    delivery_of(pack(one.message), f"r{ticket}", one.attempt), attempt=one.attempt
                ),
                verdict,
                one.outcome,
            )
            for ticket, one in enumerate(finished, 1)
        ]
        self.sentinel.send(Keep(tuple(items)))
        self.monitor.step()

    def end(self, *finished, verdict=Verdict.SAVE):
        """As `give`, until nothing is left to do."""
        self.give(*finished, verdict=verdict)
        self.settle()

    @property
    def sent(self):
        """What the broker has taken, less what was undone."""
        sent, undone = [], 0
        for verb, value in self.journal:
            if verb == "begin":
                undone = len(sent)
            elif verb == "roll back":
                del sent[undone:]
            elif verb == "enqueue":
                sent += value
        return sent

    @property
    def sent_links(self):
        return [message for message in self.sent if message.kind is Kind.TASK]

    @property
    def hooks(self):
        """The hooks that were sent, each with the name of its task and whether that succeeded."""
        told = [parts.pickle.loads(hook.body) for hook in self.sent if hook.kind is Kind.HOOK]
        return [(one.message.name, one.outcome.success) for one in told]

    @property
    def outcomes(self):
        """What is kept, by name: the result, or the class of the error."""
        return {
            task.name: task.result if task.success else task.result.split(":")[0]
            for task in sorted(self.store.tasks, key=lambda task: task.id)
        }


__all__ = ["HOOK", "ChainBench", "failed", "succeeded"]
