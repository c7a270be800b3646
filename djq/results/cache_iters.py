"""The elements of iters in a cache: each iter has a list of them, until all are there.

Whoever lengthens the list reads what has come since. Of those who keep the last elements at the same
moment at least one sees all, and all who do come to the same outcome. A mark stays when an iter is
over: an element that is delivered once more finds it, and is dropped.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence

import attrs
from django.core.cache.backends.base import BaseCache

from djq.core.gathering import (
    Element,
    Gathered,
    gather,
    lost_element,
    oversized_iter,
    refused_iter,
)
from djq.core.message import Finished, TaskMessage
from djq.exceptions import StoreRefused
from djq.ports import Clock
from djq.results.cache_entries import chunks_of, iter_key, over_key
from djq.results.cache_log import KEPT_SECONDS, CacheLogs, Chunk

ITERS_MAX = 200
"""Iters whose progress is remembered; of others the list is read from its beginning."""


@attrs.define
class Progress:
    """How far the list of an iter has been read, and what was in it."""

    seen: bytearray
    """A byte for each place; 1: its element was there."""
    position: int = 0
    count: int = 0
    """Places seen."""
    size: int = 0
    """Bytes of their results."""

    def add(self, chunks: Iterable[Chunk]) -> None:
        """See these elements."""
        for chunk in chunks:
            for place, _success, value, *_ in chunk:
                if not self.seen[place]:
                    self.seen[place] = 1
                    self.count += 1
                    self.size += len(value)


class CacheIters:
    """The iters of one cache, as one process knows them."""

    def __init__(
        self,
        cache: BaseCache,
        *,
        logs: CacheLogs,
        clock: Clock,
        put: Callable[[Sequence[Finished]], None],
        results_bytes_max: int,
    ) -> None:
        """`put` keeps the outcomes of iters; raises StoreRefused for one that can never be kept."""
        self._cache = cache
        self._logs = logs
        self._clock = clock
        self._put = put
        self._results_bytes_max = results_bytes_max
        self._progress: OrderedDict[str, Progress] = OrderedDict()

    def forget_progress(self) -> None:
        """Read all lists from their beginning again."""
        self._progress.clear()

    def gather(self, batch: Sequence[Finished]) -> list[Gathered]:
        """Keep elements; gives the iters that are complete now, their outcomes kept."""
        iters: dict[str, list[Finished]] = defaultdict(list)
        for finished in batch:
            assert finished.message.iter is not None, "it is an element's"
            iters[finished.message.iter].append(finished)
        over = self._cache.get_many([over_key(id) for id in iters])
        for id in iters:
            if over_key(id) in over:
                # A monitor may have died before it had deleted these.
                self._logs.delete(iter_key(id), self._logs.read(iter_key(id)).end)
        open_iters = {id: iters[id] for id in sorted(iters) if over_key(id) not in over}
        chunks = {iter_key(id): list(chunks_of(some)) for id, some in open_iters.items()}
        self._logs.append(chunks, KEPT_SECONDS, shrinks=False)
        complete = [self._complete(id, some) for id, some in open_iters.items()]
        return [gathered for gathered in complete if gathered is not None]

    def _complete(self, id: str, batch: Sequence[Finished]) -> Gathered | None:
        """Keep the outcome of an iter if all its elements are there; or if some are there no more."""
        message = batch[0].message
        assert message.total is not None, "an element knows how many there are"
        progress = self._progress_of(id, message.total)
        new = self._logs.read(iter_key(id), progress.position)
        progress.position = new.position
        progress.add(new.chunks)
        is_torn = new.is_torn
        if not all(progress.seen[finished.message.place] for finished in batch):
            # What has just been written stands before the position: the list is another one.
            before, new = progress, self._logs.read(iter_key(id))
            progress = self._progress[id] = Progress(bytearray(message.total), new.position)
            progress.add(new.chunks)
            pairs = zip(before.seen, progress.seen, strict=True)
            is_torn = any(had and not has for had, has in pairs)
        is_large = progress.size > self._results_bytes_max
        if progress.count != message.total and not is_torn and not is_large:
            return None
        del self._progress[id]
        if self._cache.get(over_key(id)) is not None:
            # Another monitor was quicker, and what is missing was deleted by it.
            return None
        gathered, end = self._put_iter(message, progress.size)
        self._cache.set(over_key(id), True, KEPT_SECONDS)
        self._logs.delete(iter_key(id), max(end, new.end))
        return gathered

    def _progress_of(self, id: str, total: int) -> Progress:
        progress = self._progress.setdefault(id, Progress(bytearray(total)))
        self._progress.move_to_end(id)
        if len(self._progress) > ITERS_MAX:
            self._progress.popitem(last=False)
        return progress

    def _put_iter(self, message: TaskMessage, size: int) -> tuple[Gathered, int]:
        """Keep the outcome of an iter; gives it, and the end of its list."""
        assert message.total is not None, "an element knows how many there are"
        now = self._clock.now()
        if size > self._results_bytes_max:
            gathered = oversized_iter(message, size, self._results_bytes_max, now)
            self._put([gathered.finished])
            return gathered, 0
        everything = self._logs.read(iter_key(message.iter or ""))
        elements: dict[int, Element] = {}
        for chunk in everything.chunks:
            for values in chunk:
                elements.setdefault(values[0], Element(*values))
        whole = [
            elements[place] if place in elements else lost_element(place, now)
            for place in range(message.total)
        ]
        gathered = gather(message, whole)
        try:
            self._put([gathered.finished])
        except StoreRefused as error:
            gathered = refused_iter(gathered, error)
            self._put([gathered.finished])
        return gathered, everything.end
