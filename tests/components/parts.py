"""What the components are tested with: links in memory, an observer that remembers, and samples."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import attrs

from djq.core.call import dump_call
from djq.core.codec import Codec
from djq.core.frame import delivery_of, pack
from djq.core.message import Outcome, TaskMessage
from djq.core.protocol import Settled, Verdict
from djq.core.settlement import failure
from djq.exceptions import BadPackage
from djq.ports import Exit, Surroundings
from djq_testing.clock import ManualClock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SUCCESS = Outcome(True, pickle.dumps(42), "", NOON, 0.5)
FAILURE = failure("ValueError: no", NOON, 0.5, "Traceback: no")


class PairLink:
    """One end of a link in memory: what is sent here is received there."""

    def __init__(self):
        self.other = None
        self.sends = []
        """What each call of `send` was given."""
        self.clogged = False
        self.room = 100
        """How many messages can be on offer."""
        self.offers = []
        """What lies on offer at the other end."""
        self._mail = []
        self._closed = False

    @classmethod
    def pair(cls):
        ours, theirs = cls(), cls()
        ours.other, theirs.other = theirs, ours
        return ours, theirs

    def send(self, *messages):
        if messages:
            self.sends.append(messages)
            # As through a pipe: what cannot be pickled fails here, and the reader gets a copy.
            self.other._mail.extend(pickle.loads(pickle.dumps(message)) for message in messages)

    def receive(self):
        mail, self._mail = self._mail, []
        return mail

    def offer(self, *messages):
        room = max(self.room - len(self.offers), 0)
        self.offers += [pickle.loads(pickle.dumps(message)) for message in messages[:room]]
        return min(len(messages), room)

    def recall(self):
        offers, self.offers = self.offers, []
        return offers

    def take(self):
        return self.other.offers.pop(0) if self.other.offers else None

    def close(self):
        """This end's box is gone."""
        self.other._closed = True

    @property
    def ended(self):
        return self._closed and not self._mail


class Remembering:
    """An observer that keeps what it heard."""

    def __init__(self):
        self.events = []

    def notify(self, event):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


class RememberingReporter:
    """A reporter that keeps what it was given: each error, and the facts of its task."""

    def __init__(self):
        self.given = []

    def report(self, error, about):
        self.given.append((error, about))


class FullJitter:
    """Chance that never shortens a pause by more than half, always the same."""

    def task_id(self):
        return "f" * 32

    def jitter(self):
        return 1.0


class Scene:
    """The surroundings of one component, and both ends of its link."""

    def __init__(self):
        self.clock = ManualClock(NOON)
        self.observer = Remembering()
        self.reporter = RememberingReporter()
        self.around = Surroundings(self.clock, FullJitter(), self.observer, self.reporter)
        self.sentinel, self.link = PairLink.pair()

    def heard(self, kind=object):
        """What the component has sent since the last look."""
        return [message for message in self.sentinel.receive() if isinstance(message, kind)]


class MarkSigner:
    """Signs with a mark, so that a test reads what is signed."""

    def sign(self, text):
        return f"{text}:signed"

    def unsign(self, text):
        if not text.endswith(":signed"):
            raise BadPackage("the signature is not ours")
        return text.removesuffix(":signed")


def codec(**changes):
    options = {"signer": MarkSigner(), "compress": False, "max_payload": 1_000_000}
    return Codec(**{**options, **changes})


def message(number=1, func="math.copysign", args=(2, -2), **changes):
    given = TaskMessage(
        id=f"{number:032x}",
        name=f"task-{number}",
        func=func if isinstance(func, str) else func.__name__,
        enqueued_at=NOON,
        body=dump_call(func, args, {}),
    )
    return attrs.evolve(given, **changes)


def package(number=1, **changes):
    return codec().seal(pack(message(number, **changes)))


def delivery(number=1, *, receipt=None, attempt=1, **changes):
    return delivery_of(pack(message(number, **changes)), receipt, attempt)


def settled(number=1, *, verdict=Verdict.SAVE, outcome=SUCCESS, receipt="", death="", **changes):
    receipt = f"r{number}" if receipt == "" else receipt
    kept = None if verdict.hands_back else outcome
    return Settled(number, delivery(number, receipt=receipt, **changes), verdict, kept, death)


class FakeSpawner:
    """Children that are links in memory; the test plays their part."""

    def __init__(self):
        self.ends = {}
        """The children's ends, the dead ones' too."""
        self.labels = {}
        self.killed = []
        self.forgotten = []
        self.refuses = None
        """The error that the next spawns raise."""
        self._exits = []
        self._last_words = {}

    def spawn(self, child, label):
        if self.refuses is not None:
            raise self.refuses
        ours, self.ends[child] = PairLink.pair()
        self.labels[child] = label
        return ours

    def kill(self, child):
        self.killed.append(child)

    def exits(self):
        for child, last_words in self._last_words.items():
            self.ends[child].send(*last_words)
        self._last_words = {}
        exits, self._exits = self._exits, []
        return exits

    def forget(self, child):
        self.forgotten.append(child)

    def end(self, child, code=0, *last_words):
        """The kernel says that the child has ended; its last words come at the same moment."""
        self._last_words[child] = last_words
        self.ends[child].close()
        self._exits.append(Exit(child, code))
