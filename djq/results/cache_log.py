"""Lists in a cache that several processes lengthen at once, without a lock and without losing anything.

A list is a row of slots: `<name>:0`, `<name>:1` and so on, each written once by `add`, which every
shared cache does for one writer alone. Whoever loses a slot takes the next one. `<name>:head` says
where to begin, and is only a hint: it may be behind, and it may be gone.

Django's file cache is the exception: its `add` looks and then writes. There a lock on a file of the
same folder keeps writers apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.files import locks

from djq.exceptions import StoreRefused, StoreUnavailable

WINDOW_MIN = 16
WINDOW_MAX = 500
"""Slots in one round trip; the first look of a list that nobody has a hint of is a small one."""

LARGE_BYTES = 500_000
"""What a cache does not take from here on is too large for it; memcached's usual limit is 1 MB."""
TRIES_MAX = 3

KEPT_SECONDS = 30 * 86_400
"""How long a list lasts at the least of which no entry lasts for ever; memcached takes no more."""

Chunk = tuple[Any, ...]
"""What is written to one slot: plain values."""


@attrs.frozen(kw_only=True)
class Reading:
    """What was found in a list."""

    chunks: list[Chunk]
    position: int
    """The slot to go on from. A cache may answer for a later slot before it has got an earlier one:
    what was found behind such a gap is found once more."""
    end: int
    """The slot behind the last one that was found."""
    is_torn: bool
    """A slot that had been written is gone."""


class CacheLogs:
    """The lists of one cache."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def append(self, chunks: Mapping[str, Sequence[Chunk]], seconds: int | None) -> None:
        """Lengthen lists, each by its chunks; they last so many seconds, for ever with None.

        Raises:
            StoreRefused: A chunk is too large for this cache.
            StoreUnavailable: The cache did not take a chunk; some may have been written.
        """
        heads = self._cache.get_many([f"{name}:head" for name in chunks])
        after: dict[str, int] = {}
        with _exclusive(self._cache):
            # In one order everywhere: where a cache is a database, writers may wait for one another.
            for name in sorted(chunks):
                head = heads.get(f"{name}:head")
                number = self._end(name) if head is None else int(head)
                for chunk in chunks[name]:
                    number = self._add(name, number, chunk, seconds) + 1
                after[f"{name}:head"] = number
        # A list that lasts longer than its hint could not be read behind a gap.
        self._cache.set_many(after, None if seconds is None else max(seconds, KEPT_SECONDS))

    def read(self, name: str, since: int = 0) -> Reading:
        """Read a list from slot `since` on."""
        head = int(self._cache.get(f"{name}:head") or 0)
        found: dict[int, Chunk] = {}
        number = since
        width = WINDOW_MIN
        while True:
            width = min(max(head - number, width), WINDOW_MAX)
            keys = {f"{name}:{each}": each for each in range(number, number + width)}
            some = self._cache.get_many(list(keys))
            found.update((each, some[key]) for key, each in keys.items() if key in some)
            number += width
            width *= 2
            # Without a hint a gap is no end, since entries may have gone.
            if number >= head and (number - 1 not in found if head else not some):
                break
        position = max(since, head)
        while position in found:
            position += 1
        return Reading(
            chunks=list(found.values()),
            position=position,
            end=max(found, default=position - 1) + 1,
            is_torn=any(each not in found for each in range(since, head)),
        )

    def delete(self, name: str, end: int) -> None:
        """Delete a list of so many slots."""
        self._cache.delete_many([f"{name}:head", *(f"{name}:{each}" for each in range(end))])

    def _end(self, name: str) -> int:
        """Where a list ends of which there is no hint."""
        return self.read(name).end

    def _add(self, name: str, number: int, chunk: Chunk, seconds: int | None) -> int:
        """Write a chunk to the first free slot from this one on; gives its number."""
        tries = 0
        while not self._added(f"{name}:{number}", chunk, seconds):
            if self._cache.get(f"{name}:{number}") is not None:
                number += 1
                continue
            # Neither written nor there: a passing fault, which some caches do not tell, or its size.
            tries += 1
            if tries == TRIES_MAX:
                raise refusal(chunk)
        return number

    def _added(self, key: str, chunk: Chunk, seconds: int | None) -> bool:
        with refusing(self._cache, [chunk]):
            return self._cache.add(key, chunk, seconds)


@contextmanager
def refusing(cache: BaseCache, values: Iterable[object]) -> Iterator[None]:
    """Tell a value that is too large from a cache that is away: some raise errors for both."""
    try:
        yield
    except Exception as error:
        largest = max(values, key=_size_of)
        if _size_of(largest) < LARGE_BYTES:
            raise
        # One that is away does not answer this either, and its own error is the one to tell.
        cache.get("djq:probe")
        raise refusal(largest) from error


def refusal(value: object) -> StoreRefused | StoreUnavailable:
    """The error for a value that a cache has not taken, without saying why."""
    size = _size_of(value)
    if size >= LARGE_BYTES:
        return StoreRefused(
            f"the cache does not take an entry of {size:,} bytes; return less, or raise its limit "
            "(memcached's -I)"
        )
    return StoreUnavailable("the cache did not take an entry, and does not say why")


def _size_of(value: object) -> int:
    if isinstance(value, tuple | list):
        return sum(map(_size_of, value))
    return len(value) if isinstance(value, str | bytes) else 8


@contextmanager
def _exclusive(cache: BaseCache) -> Iterator[None]:
    """Keep other writers out, where the cache itself does not."""
    if not isinstance(cache, FileBasedCache):
        yield
        return
    folder: str = cache._dir  # type: ignore[attr-defined]  # noqa: SLF001 - the setting LOCATION
    os.makedirs(folder, 0o700, exist_ok=True)  # noqa: PTH103 - as Django makes it
    with open(os.path.join(folder, "djq.lock"), "ab") as file:  # noqa: PTH118, PTH123
        locks.lock(file, locks.LOCK_EX)
        yield
