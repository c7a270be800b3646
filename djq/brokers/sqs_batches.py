"""What one message of Amazon SQS may be, and what goes into one call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from djq.brokers.sqs_later import bytes_beside
from djq.exceptions import TaskRefused

__all__ = ["BATCH", "portions", "refuse_unfit"]

BATCH = 10
"""Most messages in one call."""

_UNFIT = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def refuse_unfit(tasks: Sequence[str], most: int | None) -> None:
    """Refuse what SQS can never take; `most` is how many bytes it takes. None: what is more goes elsewhere.

    Raises:
        TaskRefused: One is too large, or has a character that no message has.
    """
    for task in tasks:
        unfit = _UNFIT.search(task)
        if unfit:
            raise TaskRefused(f"SQS takes no message with the character {unfit[0]!r} in it")
        size = len(task.encode())
        if most is not None and size > most:
            raise TaskRefused(
                f"the task needs {size:,} bytes in the queue, and SQS takes {most:,}; "
                "pass a reference to the data instead (a primary key, a file name), or name an "
                "'s3_bucket' in Q_CLUSTER['sqs']"
            )


def portions(entries: Sequence[Mapping[str, Any]], most: int) -> Iterator[list[Mapping[str, Any]]]:
    """Part entries into batches: so many, and of so many bytes together, as one call takes."""
    portion: list[Mapping[str, Any]] = []
    room = most
    for entry in entries:
        size = len(entry["MessageBody"].encode()) + bytes_beside(entry)
        if portion and (len(portion) == BATCH or size > room):
            yield portion
            portion, room = [], most
        portion.append(entry)
        room -= size
    if portion:
        yield portion
