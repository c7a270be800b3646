"""How the outcomes of an iter's elements become the one outcome of the iter.

Whoever holds all of them comes to the same: the order is that of the elements, and nothing is taken
from the delivery that happened to be the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import attrs

from djq.core.call import load_value
from djq.core.joined import join_calls, join_values
from djq.core.message import TRACEBACK_CHARACTERS_MAX, Finished, Outcome, TaskMessage, cut
from djq.core.settlement import failure

CALL_BYTES_MAX = 1_000_000
"""Up to this size in all the arguments of the elements are kept with the result."""
RESULTS_BYTES_MAX = 64 * 1024 * 1024
"""Up to this size in all the results of the elements are put together, unless a store is told otherwise."""
TRACEBACKS_MAX = 10
"""Failed elements whose tracebacks are kept, the first ones."""


@attrs.frozen
class Element:
    """The outcome of one element, as it is kept until all are there."""

    place: int
    success: bool
    value: bytes
    """The pickled result, or the pickled line that says why it failed."""
    body: bytes
    """The pickled call; empty where the calls of all elements would be too large to keep."""
    traceback: str
    stopped_at: datetime


@attrs.frozen
class Gathered:
    """An iter that is complete: its outcome, and a line about it for the log."""

    finished: Finished
    line: str
    """Empty: every element succeeded."""


def element_of(finished: Finished) -> Element:
    """What is to be kept of an element's outcome."""
    message, outcome = finished.message, finished.outcome
    assert message.total is not None, "an element knows how many there are"
    is_small = len(message.body) * message.total <= CALL_BYTES_MAX
    return Element(
        message.place,
        outcome.success,
        outcome.value,
        message.body if is_small else b"",
        outcome.traceback,
        outcome.stopped_at,
    )


def gather(message: TaskMessage, elements: Sequence[Element]) -> Gathered:
    """Make the outcome of an iter.

    Args:
        message: The message of any of its elements.
        elements: All of them, in order, each place once.
    """
    assert message.iter is not None, "it is an element's"
    bodies = [element.body for element in elements]
    outcome = Outcome(
        success=all(element.success for element in elements),
        value=join_values([(element.success, element.value) for element in elements]),
        traceback=_tracebacks(elements),
        stopped_at=max(element.stopped_at for element in elements),
        seconds=0.0,
    )
    whole = iter_message(message, join_calls(message.func, bodies) if all(bodies) else b"")
    return Gathered(Finished(whole, outcome, attempt=1), _line(elements))


def lost_element(place: int, now: datetime) -> Element:
    """Stands for an element whose outcome the store has lost, as a cache may."""
    line = "ResultLost: the cache threw this result out before all elements were there"
    lost = failure(line, now)
    return Element(place, lost.success, lost.value, b"", lost.traceback, now)


def oversized_iter(message: TaskMessage, size: int, limit: int, now: datetime) -> Gathered:
    """The failure that is kept of an iter whose results are too large to be put together at all."""
    line = (
        f"ResultTooLarge: the results of all {message.total} elements have {size:,} bytes together, "
        f"more than the {limit:,} that max_payload in Q_CLUSTER allows; return references to the data "
        "instead (primary keys, file names)"
    )
    return Gathered(Finished(iter_message(message, b""), failure(line, now), attempt=1), line)


def refused_iter(gathered: Gathered, reason: Exception) -> Gathered:
    """The failure that is kept of an iter whose outcome can never be kept as it is."""
    finished = gathered.finished
    line = f"StoreRefused: the results of all elements could not be saved together: {reason}"
    return Gathered(
        Finished(
            attrs.evolve(finished.message, body=b"", group=None),
            failure(line, finished.outcome.stopped_at),
            finished.attempt,
        ),
        line,
    )


def iter_message(element: TaskMessage, body: bytes) -> TaskMessage:
    """The message that the iter's own record is made of."""
    assert element.iter is not None, "it is an element's"
    return TaskMessage(
        id=element.iter,
        name=element.name,
        func=element.func,
        enqueued_at=element.enqueued_at,
        body=body,
        total=element.total,
        group=element.group,
        save=element.save,
        cached=element.cached,
    )


def _tracebacks(elements: Sequence[Element]) -> str:
    failed = [element for element in elements if element.traceback][:TRACEBACKS_MAX]
    room = TRACEBACK_CHARACTERS_MAX // max(len(failed), 1) - 50
    return "\n".join(f"Element {one.place}:\n{cut(one.traceback, room)}" for one in failed)


def _line(elements: Sequence[Element]) -> str:
    failed = [element for element in elements if not element.success]
    if not failed:
        return ""
    first = failed[0]
    return (
        f"{len(failed)} of {len(elements)} elements failed; "
        f"element {first.place}: {load_value(first.value)}"
    )
