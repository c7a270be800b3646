"""Lists in a cache that several processes lengthen at once, without a lock and without losing anything.

A list is a row of slots: `<name>:0`, `<name>:1` and so on, each written once by `add`, which every
shared cache does for one writer alone. Whoever loses a slot takes the next one. A hint says where the
list begins and ends. It may be behind, and it may be gone; it stands in two entries, so that a cache
which throws one of them out loses nothing.

Django's file cache is the exception: its `add` looks and then writes. There a lock on a file of the
same folder keeps writers apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.files import locks

from djq.exceptions import StoreRefused, StoreUnavailable

WINDOW_MIN = 16
WINDOW_MAX = 200
"""Slots in one round trip; the first look of a list that nobody has a hint of is a small one."""
SHRINK_SLOTS = 64
"""A list of which entries go is looked at from its beginning when it has more than so many slots."""

LARGE_BYTES = 500_000
"""What a cache does not take from here on is too large for it; memcached's usual limit is 1 MB."""
TRIES_MAX = 3

KEPT_SECONDS = 30 * 86_400
"""How long a list lasts at the least of which no entry lasts for ever; memcached takes no more."""

Answer = TypeVar("Answer")
Chunk = tuple[Any, ...]
"""What is written to one slot: plain values."""


@attrs.frozen
class Hint:
    """Where a list begins and ends, as far as somebody knew."""

    tail: int
    """No slot before this one is there any more."""
    head: int
    """Every slot before this one has been written."""


@attrs.frozen(kw_only=True)
class Reading:
    """What was found in a list."""

    chunks: list[Chunk]
    position: int
    """The slot to go on from. A cache may answer for a later slot before it has got an earlier one:
    what was found behind such a gap is found once more."""
    head: int
    """Where the list ends by its hint; 0 without one."""
    end: int
    """The slot behind the last one that was found."""
    is_torn: bool
    """A slot that had been written is gone."""


class CacheLogs:
    """The lists of one cache."""

    def __init__(self, cache: BaseCache) -> None:
        self._cache = cache

    def append(
        self, chunks: Mapping[str, Sequence[Chunk]], seconds: int | None, *, shrinks: bool
    ) -> None:
        """Lengthen lists, each by its chunks; they last so many seconds, for ever with None.

        `shrinks` says that entries go from these lists in the course of time, and are not missed.

        Raises:
            StoreRefused: A chunk is too large for this cache.
            StoreUnavailable: The cache did not take a chunk; some may have been written.
        """
        hints = self._hints(chunks)
        after: dict[str, Hint] = {}
        with _exclusive(self._cache):
            # In one order everywhere: where a cache is a database, writers may wait for one another.
            for name in sorted(chunks):
                hint = hints.get(name) or self._search(name)
                number = hint.head
                for chunk in chunks[name]:
                    number = self._add(name, number, chunk, seconds) + 1
                after[name] = Hint(hint.tail, number)
        if shrinks:
            after = self._shrink(after)
        entries = {key: attrs.astuple(hint) for name in after for key, hint in _both(name, after)}
        # A list that lasts longer than its hint could not be read behind a gap.
        self._cache.set_many(entries, None if seconds is None else max(seconds, KEPT_SECONDS))

    def read(self, name: str, since: int = 0) -> Reading:
        """Read a list from slot `since` on."""
        hint = self._hints([name]).get(name)
        return self._read(name, hint or Hint(0, 0), since)

    def delete(self, name: str, end: int) -> None:
        """Delete a list, up to this slot."""
        hint = self._hints([name]).get(name)
        numbers = range(0 if hint is None else hint.tail, end)
        self._cache.delete_many([*_hint_keys(name), *(f"{name}:{each}" for each in numbers)])

    def _hints(self, names: Iterable[str]) -> dict[str, Hint]:
        keys = {key: name for name in names for key in _hint_keys(name)}
        hints: dict[str, Hint] = {}
        for key, (tail, head) in self._cache.get_many(list(keys)).items():
            known = hints.get(keys[key])
            if known is None or known.head < head:
                hints[keys[key]] = Hint(tail, head)
        return hints

    def _search(self, name: str) -> Hint:
        """Find the end of a list of which there is no hint."""
        return Hint(0, self._read(name, Hint(0, 0), 0).end)

    def _read(self, name: str, hint: Hint, since: int) -> Reading:
        found: dict[int, Chunk] = {}
        start = number = max(since, hint.tail)
        width = WINDOW_MIN
        while True:
            width = min(max(hint.head - number, width), WINDOW_MAX)
            keys = {f"{name}:{each}": each for each in range(number, number + width)}
            some = self._cache.get_many(list(keys))
            found.update((each, some[key]) for key, each in keys.items() if key in some)
            number += width
            width *= 2
            # Without a hint a gap is no end, since entries may have gone.
            is_end = number - 1 not in found if hint.head else not some
            if number >= hint.head and is_end:
                break
        position = max(start, hint.head)
        while position in found:
            position += 1
        return Reading(
            chunks=list(found.values()),
            position=position,
            head=hint.head,
            end=max(found, default=position - 1) + 1,
            is_torn=any(each not in found for each in range(start, hint.head)),
        )

    def _shrink(self, hints: Mapping[str, Hint]) -> dict[str, Hint]:
        """Let lists begin behind what is gone from their beginning."""
        long = {name: hint for name, hint in hints.items() if hint.head - hint.tail > SHRINK_SLOTS}
        slots = {
            name: [f"{name}:{each}" for each in range(hint.tail, hint.tail + SHRINK_SLOTS)]
            for name, hint in long.items()
        }
        there = (
            self._cache.get_many([key for keys in slots.values() for key in keys]) if long else {}
        )
        shrunk = dict(hints)
        for name, keys in slots.items():
            gone = next((each for each, key in enumerate(keys) if key in there), SHRINK_SLOTS)
            shrunk[name] = Hint(long[name].tail + gone, long[name].head)
        return shrunk

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
        return insist(self._cache, [chunk], lambda: self._cache.add(key, chunk, seconds))


def insist(cache: BaseCache, values: Iterable[object], write: Callable[[], Answer]) -> Answer:
    """Write, and tell a value that is too large from a cache that is away: some raise errors for both.

    Raises:
        StoreRefused: A large value is not taken again and again, and the cache answers otherwise.
    """
    tries = 0
    while True:
        try:
            return write()
        except Exception as error:
            largest = max(values, key=_size_of)
            if _size_of(largest) < LARGE_BYTES:
                raise
            # One that is away does not answer this either, and its own error is the one to tell.
            cache.get("djq:probe")
            tries += 1
            if tries == TRIES_MAX:
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


def _hint_keys(name: str) -> list[str]:
    return [f"{name}:hint", f"{name}:hint:again"]


def _both(name: str, hints: Mapping[str, Hint]) -> list[tuple[str, Hint]]:
    return [(key, hints[name]) for key in _hint_keys(name)]


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
