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
        wanted = list(tasks)
        cached = [message for message in wanted if message.cached]
        rest = [message for message in wanted if not message.cached]
        found = self._cache.kept(cached) if cached else {}
        return {**found, **self._database.kept(rest)} if rest else found

    def present(self, finished: Finished) -> Task:
        """The task object that a hook is called with."""
        return (self._cache if finished.message.cached else self._database).present(finished)
