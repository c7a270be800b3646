"""Packages that are due later than SQS holds a message back: what is sent beside them, and how it is read.

SQS holds a message back for fifteen minutes at most, and none of a FIFO queue. So the message has an
attribute that says how many seconds after its SentTimestamp it is due. Who is given it before that hides it
again, for twelve hours at most, and gives it to nobody. The time is SQS's own, as its answer has it; where
something on the way has taken that out, the host's.

SQS counts each of these deliveries, and they are no attempts. How many there were is reckoned: a message is
never hidden beyond the next moment that lies a multiple of `HIDDEN_SECONDS_MAX` before it is due. So it comes
too early when it comes first, and once at each of these moments after that. Where no cluster ran at one of
them there was one less, and an attempt is then not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from djq.ports import Clock

__all__ = ["ATTRIBUTE", "Attempts", "bytes_beside", "held_back", "hidden_seconds", "moment_of"]

DELAY_SECONDS_MAX = 900
HIDDEN_SECONDS_MAX = 43_140
"""A message may be hidden for twelve hours since it was given; a minute of that is for the way."""
REMEMBERED_MAX = 10_000
"""So many messages are remembered that came and could not be given."""

ATTRIBUTE = "djq-delay"
_TYPE = "Number"
_SECONDS = re.compile(r"[0-9]{1,9}")


def held_back(seconds: int, *, fifo: bool) -> dict[str, Any]:
    """What a message needs beside its text, to be delivered in so many seconds."""
    if seconds <= 0:
        return {}
    if seconds <= DELAY_SECONDS_MAX and not fifo:
        return {"DelaySeconds": seconds}
    said = {ATTRIBUTE: {"DataType": _TYPE, "StringValue": str(seconds)}}
    # Of a single message a FIFO queue takes no DelaySeconds.
    return {"MessageAttributes": said, **({} if fifo else {"DelaySeconds": DELAY_SECONDS_MAX})}


def bytes_beside(entry: Mapping[str, Any]) -> int:
    """How many bytes a message has beside its text: SQS counts attributes as well."""
    said = entry.get("MessageAttributes", {})
    return sum(
        len(name) + len(each["DataType"]) + len(each["StringValue"]) for name, each in said.items()
    )


def hidden_seconds(message: Mapping[str, Any], now: int | None) -> int:
    """For how many seconds to hide a message that came too early; 0: it is due.

    `now` is in seconds since 1970. Where it is None the message is due: better too early than never.
    """
    due = _due_at(message)
    if due is None or now is None or due <= now:
        return 0
    return (due - now - 1) % HIDDEN_SECONDS_MAX + 1


class Attempts:
    """Tells which attempt a delivery is: SQS counts those as well that were never given to anybody."""

    def __init__(self) -> None:
        self._taken_off: dict[str, int] = {}
        """By message: how many deliveries were none, as far as this process knows."""

    def of(self, message: Mapping[str, Any]) -> int:
        none = self._taken_off.get(message["MessageId"], 0) + _early_deliveries(message)
        return max(1, int(message["Attributes"]["ApproximateReceiveCount"]) - none)

    def take_off(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """These were not given: S3 did not answer, or they were too early and could not be hidden."""
        for message in messages:
            id = message["MessageId"]
            self._taken_off[id] = self._taken_off.pop(id, 0) + 1
        for oldest in list(self._taken_off)[:-REMEMBERED_MAX]:
            del self._taken_off[oldest]


def _early_deliveries(message: Mapping[str, Any]) -> int:
    """How often it was delivered before it was due, as far as that can be reckoned."""
    due = _due_at(message)
    if due is None:
        return 0
    first = int(message["Attributes"]["ApproximateFirstReceiveTimestamp"]) // 1_000
    return max(0, -((first - due) // HIDDEN_SECONDS_MAX))


def moment_of(answer: Mapping[str, Any], host_clock: Clock | None) -> int | None:
    """The server's time in seconds since 1970, as its answer has it, else the host's. None: nobody tells."""
    try:
        said = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (KeyError, ValueError):
        return None if host_clock is None else int(host_clock.now().timestamp())
    # One of the forms that HTTP knows names no zone, and means this one.
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp())


def _due_at(message: Mapping[str, Any]) -> int | None:
    """When it is due, in seconds since 1970. None: it was not held back, or by SQS alone."""
    said = message.get("MessageAttributes", {}).get(ATTRIBUTE, {}).get("StringValue", "")
    if not _SECONDS.fullmatch(said):
        return None
    return -(-int(message["Attributes"]["SentTimestamp"]) // 1_000) + int(said)
