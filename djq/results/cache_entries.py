"""What stands in the cache: keys, entries, the elements of iters, and who is in a group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import attrs

from djq.core.frame import pack, unpack
from djq.core.gathering import element_of
from djq.core.message import Finished, Outcome, TaskMessage, plain
from djq.exceptions import BadPackage
from djq.results.cache_log import CacheLogs, Chunk
from djq.results.texts import checked_label

PREFIX = "djq"
ID_CHARACTERS = 32
SECONDS_MAX = 5 * 365 * 86_400
"""What is to be kept for longer is kept for ever: not every cache can count so far."""
CHUNK_BYTES_MAX = 250_000
"""Most bytes of elements in one entry; a larger element has one to itself."""


class Members:
    """Who is in a group, as far as its list has been read."""

    def __init__(self, logs: CacheLogs, label: str) -> None:
        self._logs = logs
        self._key = group_key(label)
        self._successes: dict[str, bool] = {}
        self.until: dict[str, float | None] = {}
        """When each is gone, in seconds since 1970. None: never."""
        self._position = 0
        self.end = 0
        """The slot behind the last one that was found."""

    def alive(self, now: datetime) -> dict[str, bool]:
        """Those that have not gone by now, and whether each is a success."""
        new = self._logs.read(self._key, self._position)
        if new.head < self._position:
            # The hint is behind, or the list was deleted since and is another one.
            self._successes, self._position, self.end = {}, 0, 0
            new = self._logs.read(self._key)
        self._position, self.end = new.position, max(self.end, new.end)
        for chunk in new.chunks:
            for id, success, until in chunk:
                if success is None:
                    self._successes.pop(id, None)
                else:
                    self._successes[id] = success or self._successes.get(id, False)
                    self.until[id] = until
        stamp = now.timestamp()
        return {
            id: success
            for id, success in self._successes.items()
            if (until := self.until[id]) is None or until > stamp
        }


def digest(text: str) -> str:
    return sha256(plain(text).encode()).hexdigest()[:40]


def task_key(id: str) -> str:
    is_plain = len(id) <= ID_CHARACTERS and id.isalnum() and id.isascii()
    return f"{PREFIX}:task:{id}" if is_plain else f"{PREFIX}:odd:{digest(id)}"


def name_key(name: str) -> str:
    return f"{PREFIX}:name:{digest(name)}"


def group_key(label: str) -> str:
    return f"{PREFIX}:group:{digest(checked_label(label))}"


def iter_key(id: str) -> str:
    return f"{PREFIX}:iter:{id}"


def chain_key(id: str) -> str:
    return f"{PREFIX}:chain:{id}"


def over_key(id: str) -> str:
    return f"{PREFIX}:iter:{id}:over"


def seconds_of(message: TaskMessage) -> int | None:
    """How long the cache is to keep a task, in the whole seconds that caches know. None: for ever."""
    if isinstance(message.cached, bool) or message.cached > SECONDS_MAX:
        return None
    return math.ceil(message.cached)


def entry_of(finished: Finished) -> tuple[Any, ...]:
    outcome = finished.outcome
    frame = pack(attrs.evolve(finished.message, rest=b""))
    return (frame, *attrs.astuple(outcome), finished.attempt)


def finished_of(entry: Any) -> Finished | None:
    """What an entry holds; None of one that nothing of ours has written, or a later djq."""
    try:
        frame, *outcome, attempt = entry
        return Finished(unpack(frame), Outcome(*outcome), attempt)
    except (BadPackage, TypeError, ValueError):
        return None


def is_success(entry: Any) -> bool:
    """Whether an entry holds a success."""
    finished = finished_of(entry)
    return finished is not None and finished.outcome.success


def call_order(finished: Finished) -> tuple[datetime, int, str]:
    message = finished.message
    return message.enqueued_at, message.place, message.id


def chunks_of(batch: Sequence[Finished]) -> Iterator[Chunk]:
    """Part elements into entries."""
    chunk: list[tuple[Any, ...]] = []
    size = 0
    for element in map(element_of, batch):
        added = len(element.value) + len(element.body) + len(element.traceback)
        if chunk and size + added > CHUNK_BYTES_MAX:
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(attrs.astuple(element))
        size += added
    yield tuple(chunk)
