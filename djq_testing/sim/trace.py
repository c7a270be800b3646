"""What happened, line by line: equal for two runs of one seed, and readable when a seed fails."""

from __future__ import annotations

from djq.core.message import Finished, Outcome, TaskMessage
from djq.core.protocol import Assign, Deliveries, Delivery, Keep, Settled
from djq_testing.sim.timeline import Timeline

ID_LETTERS = 8


class Trace:
    """The lines, kept as values until somebody reads them."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._notes: list[tuple[float, str, str, object]] = []

    def add(self, who: str, what: str, detail: object) -> None:
        """Note that `who` does `what`."""
        self._notes.append((self._timeline.now, who, what, detail))

    def lines(self) -> list[str]:
        """All of it as text."""
        return [
            f"{moment:11.6f}  {who:<22} {what} {say(detail)}".rstrip()
            for moment, who, what, detail in self._notes
        ]


def say(value: object) -> str:  # noqa: C901, PLR0911 - a table of words
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
