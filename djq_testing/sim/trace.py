"""What happened, line by line: equal for two runs of one seed, and readable when a seed fails."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs

from djq.core.events import HookFailed
from djq.core.message import Finished, Outcome, TaskMessage
from djq.core.protocol import Assign, Deliveries, Delivery, Keep, Returned, Settled
from djq_testing.sim.timeline import Timeline

ID_LETTERS = 8


class Note(NamedTuple):
    """One thing that happened."""

    moment: float
    """Seconds since the world began."""
    who: str
    what: str
    detail: Any


class Trace:
    """The lines, kept as values until somebody reads them."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.notes: list[Note] = []

    def add(self, who: str, what: str, detail: object) -> None:
        """Note that `who` does `what`."""
        self.notes.append(Note(self._timeline.now, who, what, detail))

    def lines(self) -> list[str]:
        """All of it as text."""
        return [
            f"{moment:11.6f}  {who:<22} {what} {say(detail)}".rstrip()
            for moment, who, what, detail in self.notes
        ]


def say(value: object) -> str:  # noqa: C901, PLR0911, PLR0912 - a table of words
    """Write a value in few words."""
    match value:
        case None:
            return ""
        case Delivery() as one:
            return f"{one.task_id[:ID_LETTERS]} (delivery {one.attempt}, receipt {one.receipt})"
        case Assign(items):
            return "Assign " + ", ".join(f"{ticket}: {say(one)}" for ticket, one in items)
        case Deliveries(items):
            return "Deliveries " + ", ".join(map(say, items))
        case Keep(items):
            return "Keep " + ", ".join(map(say, items))
        case Settled() as one:
            return f"{one.ticket}: {one.verdict.name} {say(one.delivery)} {say(one.outcome)}"
        case Returned(ticket, outcome):
            return f"Returned {ticket}: {say(outcome)}"
        case HookFailed() as one:
            # A traceback has paths in it, and other words in each Python.
            return str(attrs.evolve(one, traceback=""))
        case Outcome() as one:
            return f"success {one.success} in {one.seconds:.6f} s"
        case TaskMessage() as one:
            return f"{one.kind.value} {one.id[:ID_LETTERS]}"
        case Finished() as one:
            return f"{say(one.message)} {say(one.outcome)}"
        case list():
            return ", ".join(map(say, value))
        case tuple():
            return " ".join(str(part)[:24] for part in value)
    return str(value)
