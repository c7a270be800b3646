"""A run told as a story: when, who, what; only what bears on the end of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from djq.core.message import Finished, TaskMessage
from djq_testing.sim.servers import QueueServer
from djq_testing.sim.trace import Note
from djq_testing.sim.world import World

ENDS = ("I9", "I10", "I11")
"""Invariants whose stories need to know who left, and who was asked to."""

HALF_MAX = 30
"""Most lines of the beginning of a story, and of its end."""

STRIKES = {
    "broker_error_after": "gets no answer from the broker, which has done it",
    "broker_error_before": "gets no answer from the broker, which has done nothing",
    "clock_jump": "the clocks of some are set",
    "clock_skew": "the clock of its host is wrong",
    "death_at_start": "its new child will die before it is ready",
    "duplicate": "the broker will give it once more",
    "enqueue_unknown": "learns nothing of the enqueue, and will repeat it",
    "slow_message": "a message takes long",
    "slow_start": "its new child takes long to start",
    "spawn_failure": "finds no room for a new child",
    "store_error_after": "gets no answer from the store, which has kept it",
    "store_error_before": "gets no answer from the store, which has kept nothing",
}
"""What is said of faults that have no other line."""


def tell(world: World, failure: str) -> list[str]:
    """The lines of the story of a world that has failed."""
    teller = Teller(world, failure)
    lines = [
        f"{note.moment:9.3f} s  {note.who:<24} {words}"
        for note in world.trace.notes
        if (words := teller.words(note))
    ]
    if len(lines) > 2 * HALF_MAX:
        left_out = f"{'':14}... {len(lines) - 2 * HALF_MAX:,} more ..."
        lines = [*lines[:HALF_MAX], left_out, *lines[-HALF_MAX:]]
    first = failure.partition("\n")[0]
    return [*lines, f"{world.timeline.now:9.3f} s  {'the checker':<24} finds {first}"]


class Teller:
    """Finds the words for what happened."""

    def __init__(self, world: World, failure: str) -> None:
        self._name = world.checker.name
        self._queue: QueueServer = world.queue
        self._tells_ends = failure.partition(":")[0] in ENDS
        self._words: dict[str, Callable[[Any], str]] = {
            "enqueues": self._enqueues,
            "enqueues poison": lambda _: "enqueues poison",
            "fetches": self._fetches,
            "runs": lambda run: f"begins {self._name(run.task_id)}",
            "has run": lambda task_id: f"has run {self._name(task_id)}",
            "saves": self._saves,
            "acknowledges": lambda receipt: f"acknowledges {self._of(receipt)}",
            "releases": lambda receipt: f"gives back {self._of(receipt)}",
            "releases unbegun": lambda receipt: f"gives back {self._of(receipt)}, not begun",
            "fails": lambda receipt: f"fails {self._of(receipt)} with the broker",
            "rolls back": lambda _: "has its transaction rolled back",
            "puts": lambda changes: f"writes {self._schedules(c.id for c in changes)}",
            "says sent": lambda ids: f"writes that all was sent of {self._schedules(ids)}",
            "dies": self._dies,
            "stands still": lambda seconds: f"stands still {seconds}",
            "is away": lambda seconds: f"is away {seconds}",
            "is struck": lambda kind: STRIKES.get(kind, ""),
            "gets a signal": lambda _: "gets a stop signal" if self._tells_ends else "",
        }

    def words(self, note: Note) -> str:
        """A sentence without its subject; empty: it does not matter."""
        say = self._words.get(note.what)
        return "" if say is None else say(note.detail)

    def _schedules(self, ids: Iterable[int]) -> str:
        return ", ".join(f"schedule {id}" for id in ids)

    def _of(self, receipt: str) -> str:
        handed = self._queue.handed.get(receipt)
        if handed is None or handed.message is None:
            return "poison"
        return f"{self._name(handed.message.id)} (delivery {handed.attempt})"

    def _enqueues(self, message: TaskMessage | None) -> str:
        return f"enqueues {'poison' if message is None else self._name(message.id)}"

    def _fetches(self, received: list[tuple[str | None, str]]) -> str:
        return f"fetches {', '.join(self._fetched(*one) for one in received)}"

    def _fetched(self, receipt: str | None, package: str) -> str:
        if receipt is not None:
            return self._of(receipt)
        message = self._queue.read(package)
        return "poison" if message is None else self._name(message.id)

    def _saves(self, batch: list[Finished]) -> str:
        return f"saves {', '.join(self._saved(batch))}"

    def _saved(self, batch: list[Finished]) -> Iterator[str]:
        for finished in batch:
            how = "success" if finished.outcome.success else "failure"
            yield f"the {how} of {self._name(finished.message.id)}"

    def _dies(self, how: str) -> str:
        by_itself = how.endswith("by itself")
        return "" if by_itself and not self._tells_ends else f"dies {how}"
