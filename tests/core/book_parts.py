"""What the tests of the sentinel's book are made of."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import attrs

from djq.core.dispatch import (
    Book,
)
from djq.core.lifecycle import ChildId, Role, TaskState
from djq.core.message import Outcome
from djq.core.pace import Pace
from djq.core.protocol import Delivery
from djq.core.settlement import Policy, failure

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG = Outcome(True, b"value", "", NOON, 1.0)
SHORT = attrs.evolve(LONG, seconds=0.0001)
FAILURE = failure("ValueError: no", NOON, 1.0)


def worker(slot, generation=1):
    return ChildId(Role.WORKER, slot, generation)


FIRST, SECOND = worker(0), worker(1)


def delivery(number=1, **changes):
    name = f"task-{number}"
    given = Delivery(f"{number:032x}", name, "math.modf", None, None, f"r{number}", 1, b"frame")
    return attrs.evolve(given, **changes)


def book_of(*, workers=1, queue_limit=None, capacity=1, budget=None, **policy):
    policy.setdefault("receipts", True)
    book = Book(Policy(**policy), Pace(workers=workers, queue_limit=queue_limit))
    for slot in range(workers):
        book.join(worker(slot), capacity=capacity, budget=budget)
    return book


def arrived(book, count, **changes):
    book.arrive([delivery(number, **changes) for number in range(1, count + 1)], NOON)
    return book


def hand_out(book, now=0.0):
    return [*book.assign(now), *book.assign_ahead(now)]


def shares(book, now=0.0):
    given = {}
    for child, entries in hand_out(book, now):
        given.setdefault(child, []).extend(entry.ticket for entry in entries)
    return given


def begin(book, now=0.0):
    """Every worker begins what it was given first."""
    for held in list(book.workers.values()):
        for entry in held.oldest():
            if entry.state is TaskState.HELD:
                book.started(held.child, entry.ticket, now)


def shares_of_the_busy(book):
    """What is handed out to workers with nothing to do, and then, when they have begun it, ahead."""
    given = shares(book)
    begin(book)
    for child, tickets in shares(book).items():
        given[child] = given.get(child, []) + tickets
    return given


def queued(book):
    return [entry.ticket for entry in book.queue]


def settled(book):
    return {item.ticket: item for item in book.next_batch()}


def run(book, child, ticket, outcome=LONG, now=0.0):
    book.started(child, ticket, now)
    book.returned(child, ticket, outcome)


def line(item):
    return pickle.loads(item.outcome.value)
