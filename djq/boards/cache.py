"""Statistics in a Django cache that processes share: each cluster has a numbered entry to itself.

A cache cannot list what it has, and a list that everybody rewrites loses who writes second. So there
are slots. A cluster takes a free one with `add`, which one alone can win, and writes its text there
until it ends; before each time it looks whether the slot is its own still. Where another is in it, or
nobody since the cache forgot, it takes one anew.

A reader asks for a whole block of slots at once. Who had to go to a later block leaves a mark in those
before it, which is read with them and ends as a text does: the way to it is never lost behind a slot
that has become free.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import ClassVar
from zlib import crc32

from django.core.cache.backends.base import BaseCache

from djq.cache_connections import drop_broken_connections
from djq.exceptions import BoardUnavailable, DjqError

BLOCK = 64
"""Slots that are read at once."""
BLOCKS_MAX = 64


class CacheBoard:
    """The board of one queue's clusters in one Django cache."""

    cycle_seconds: ClassVar[float] = 0.0

    def __init__(self, list_key: str, cache: BaseCache) -> None:
        """Make a board; nothing is asked of the cache yet."""
        # A cache's keys may be short and plain.
        self._prefix = f"djq:stat:{sha256(list_key.encode()).hexdigest()[:20]}"
        self._cache = cache
        self._slots: dict[str, int] = {}
        """The slot of each place that was put up here."""

    def put(self, place: str, text: str, seconds: float) -> None:
        timeout = math.ceil(seconds)
        entry = (place, text)
        with self._served():
            slot = self._slots.get(place)
            if slot is None or not self._is_ours(slot, place):
                self._slots[place] = slot = self._claim(entry, timeout)
            else:
                self._cache.set(self._slot_key(slot), entry, timeout)
            marks = {self._mark_key(block): True for block in range(slot // BLOCK)}
            if marks:
                self._cache.set_many(marks, timeout)

    def read(self) -> list[str]:
        texts: list[str] = []
        with self._served():
            for block in range(BLOCKS_MAX):
                mark = self._mark_key(block)
                found = self._cache.get_many([*self._slot_keys(block), mark])
                goes_on = found.pop(mark, False)
                texts += [text for _, text in found.values()]
                if not goes_on:
                    break
        return texts

    def close(self) -> None:
        """Nothing of its own is open."""

    def _is_ours(self, slot: int, place: str) -> bool:
        entry = self._cache.get(self._slot_key(slot))
        return entry is not None and entry[0] == place

    def _claim(self, entry: tuple[str, str], timeout: int) -> int:
        # Each begins elsewhere, since `add` of a cache in files may let two win at once.
        first = crc32(entry[0].encode()) % BLOCK
        for block in range(BLOCKS_MAX):
            keys = self._slot_keys(block)
            taken = self._cache.get_many(keys)
            for step in range(BLOCK):
                slot = (first + step) % BLOCK
                if keys[slot] not in taken and self._cache.add(keys[slot], entry, timeout):
                    return block * BLOCK + slot
        raise BoardUnavailable(f"more than {BLOCK * BLOCKS_MAX} clusters have a place in the cache")

    def _slot_keys(self, block: int) -> list[str]:
        return [self._slot_key(slot) for slot in range(block * BLOCK, (block + 1) * BLOCK)]

    def _slot_key(self, slot: int) -> str:
        return f"{self._prefix}:{slot}"

    def _mark_key(self, block: int) -> str:
        return f"{self._prefix}:after:{block}"

    @contextmanager
    def _served(self) -> Iterator[None]:
        try:
            yield
        except DjqError:
            raise
        except Exception as error:  # each kind of cache raises errors of its own
            drop_broken_connections(self._cache)
            raise BoardUnavailable(
                f"the cache ({type(self._cache).__name__}): {type(error).__name__}: {error}"
            ) from error
