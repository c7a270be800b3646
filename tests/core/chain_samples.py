"""Chains and iters in memory: messages, outcomes, and a pickle that tells when it is opened."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import attrs

from djq.core.call import dump_call
from djq.core.frame import pack, unpack
from djq.core.message import Finished, Outcome, TaskMessage
from djq.core.settlement import failure

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LINE = "ValueError: no"

opened: list[str] = []
"""What was unpickled of the traps below; a fixture empties it."""


def tell(name: str) -> str:
    opened.append(name)
    return name


class Trap:
    """Tells `opened` when its pickle is opened."""

    def __init__(self, name):
        self.name = name

    def __reduce__(self):
        return tell, (self.name,)


def fail_to_open() -> None:
    raise RuntimeError("it does not open")


class Broken:
    """Pickles, and never unpickles."""

    def __reduce__(self):
        return fail_to_open, ()


CHAIN = "c" * 32


def link(number, **changes):
    message = TaskMessage(
        id=f"{number:032x}",
        name=f"link-{number}",
        func="builtins.list",
        enqueued_at=NOON,
        body=dump_call("builtins.list", (), {}),
        group="letters",
        place=number,
    )
    return attrs.evolve(message, **changes)


def chain(length, **changes):
    """The first link of a chain, which has the others inside."""
    rest = b""
    for number in reversed(range(length)):
        rest = pack(link(number, total=length, chain=CHAIN, rest=rest, **changes))
    return unpack(rest)


def succeeded(message, value="value", *, after=1.0, attempt=1):
    stopped_at = NOON + timedelta(seconds=after)
    return Finished(message, Outcome(True, pickle.dumps(value), "", stopped_at, after), attempt)


def failed(message, line=LINE, *, after=1.0, attempt=1, traceback="Traceback: no"):
    stopped_at = NOON + timedelta(seconds=after)
    return Finished(message, failure(line, stopped_at, after, traceback), attempt)
