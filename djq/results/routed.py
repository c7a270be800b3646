"""The results of a project: those of cached tasks in the cache, all others in the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from djq.core.gathering import Gathered
from djq.core.message import Finished, TaskMessage
from djq.results.cache import CacheStore
from djq.results.database import DatabaseStore

if TYPE_CHECKING:
    from djq.models import Task


class RoutedStore:
    """A task's own header says where its outcome goes."""

    def __init__(self, *, database: DatabaseStore, cache: CacheStore) -> None:
        self.alias: str | None = database.alias
        self._database = database
        self._cache = cache

    def save(self, batch: Sequence[Finished]) -> Sequence[Gathered]:
        """Keep the outcomes; the cache comes first, so that no row is locked while it is asked."""
        cached = [finished for finished in batch if finished.message.cached]
        if not cached:
            return self._database.save(batch)
        rest = [finished for finished in batch if not finished.message.cached]
        gathered = self._cache.save(cached)
        return [*gathered, *self._database.save(rest)] if rest else gathered

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction of the database; a cache takes part in it only if it lives there too."""
        try:
            with self._database.unit():
                yield
        except BaseException:
            self._cache.forget_progress()
            raise

    def kept(self, tasks: Iterable[TaskMessage]) -> dict[str, Finished]:
        """What is kept of these tasks, each where its outcome goes."""
        cached, rest = _parted(tasks)
        found = self._cache.kept(cached) if cached else {}
        return {**found, **self._database.kept(rest)} if rest else found

    def sent(self, links: Iterable[TaskMessage]) -> dict[str, int]:
        """How many links of the chains of these have been sent."""
        cached, rest = _parted(links)
        found = self._cache.sent(cached) if cached else {}
        return {**found, **self._database.sent(rest)} if rest else found

    def mark_sent(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent."""
        cached, rest = _parted(links)
        if cached:
            self._cache.mark_sent(cached)
        if rest:
            self._database.mark_sent(rest)

    def present(self, finished: Finished) -> Task:
        """The task object that a hook is called with."""
        return (self._cache if finished.message.cached else self._database).present(finished)


def _parted(tasks: Iterable[TaskMessage]) -> tuple[list[TaskMessage], list[TaskMessage]]:
    """Those whose outcomes go to the cache, and the others."""
    wanted = list(tasks)
    cached = [message for message in wanted if message.cached]
    return cached, [message for message in wanted if not message.cached]
