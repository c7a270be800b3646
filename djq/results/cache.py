"""The result store in a Django cache that processes share: one entry a task, and a list for each group.

What is kept of a task is its frame, unopened, and its outcome. A name has an entry that leads to the
newest task of that name. Labels and names are hashed, since a cache's keys may be short and plain.

A group is a list of (id, success, until when it is kept): counting it opens no task, and an entry
that the cache has thrown out is passed over.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import BaseDatabaseCache

from djq.cache_connections import drop_broken_connections
from djq.core.call import load_value
from djq.core.gathering import RESULTS_BYTES_MAX, Gathered
from djq.core.message import Finished, TaskMessage, plain
from djq.core.settlement import winners
from djq.exceptions import DjqError, StoreUnavailable
from djq.ports import Clock
from djq.results.cache_entries import (
    Members,
    call_order,
    chain_key,
    entry_of,
    finished_of,
    group_key,
    is_success,
    name_key,
    seconds_of,
    task_key,
)
from djq.results.cache_iters import CacheIters
from djq.results.cache_log import KEPT_SECONDS, TRIES_MAX, CacheLogs, Chunk, insist, refusal
from djq.results.texts import id_or_name, refuse_unfit

if TYPE_CHECKING:
    from djq.models import Task

ENTRIES_MAX = 500
"""Most entries in one round trip."""


class CacheStore:
    """Outcomes in one Django cache."""

    alias: str | None = None

    def __init__(
        self,
        cache: BaseCache,
        *,
        clock: Clock,
        unsaved: Callable[[Finished], Task],
        results_bytes_max: int = RESULTS_BYTES_MAX,
    ) -> None:
        """Make a store; nothing is asked of the cache yet.

        Args:
            cache: One that all processes share; in a single process a local one will do.
            clock: Tells when what is kept for a while has gone.
            unsaved: Makes the task object of an outcome, which `save()` puts into the database.
            results_bytes_max: Most bytes of all the results of an iter.
        """
        self._cache = cache
        self._clock = clock
        self._unsaved = unsaved
        self._logs = CacheLogs(cache)
        self._iters = CacheIters(
            cache,
            logs=self._logs,
            clock=clock,
            put=self._put,
            results_bytes_max=results_bytes_max,
        )

    def save(self, batch: Sequence[Finished]) -> Sequence[Gathered]:
        """Keep outcomes and elements. What a failure leaves behind does no harm at the next try."""
        whole = [finished for finished in batch if finished.message.iter is None]
        elements = [finished for finished in batch if finished.message.iter is not None]
        with self._guard():
            self._put(whole)
            return self._iters.gather(elements) if elements else ()

    def unit(self) -> AbstractContextManager[None]:
        """Nothing to undo: what is saved here stays saved."""
        return nullcontext()

    def forget_progress(self) -> None:
        """Read the lists of iters from their beginning again: what was seen may have been undone."""
        self._iters.forget_progress()

    def kept(self, tasks: Iterable[TaskMessage]) -> dict[str, Finished]:
        """What is kept of these tasks."""
        with self._guard():
            return self._load(message.id for message in tasks)

    def sent(self, links: Iterable[TaskMessage]) -> dict[str, int]:
        """How many links of the chains of these have been sent."""
        keys = {chain_key(link.chain): link.chain for link in links if link.chain is not None}
        with self._guard():
            found = self._get_many(list(keys))
        return {keys[key]: count for key, count in found.items()}

    def mark_sent(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent; what is known already is not taken back."""
        counts = {
            chain_key(link.chain): link.place + 1
            for link in sorted(links, key=lambda link: link.place)
            if link.chain is not None
        }
        with self._guard():
            known = self._get_many(list(counts))
            highest = {key: max(count, known.get(key, 0)) for key, count in counts.items()}
            self._set_many(highest, KEPT_SECONDS)

    def present(self, finished: Finished) -> Task:
        """The task object that a hook is called with: an unsaved one."""
        return self._unsaved(finished)

    def find(self, task_id_or_name: str | UUID) -> Task | None:
        """The task with this id, otherwise the newest with this name."""
        wanted = id_or_name(task_id_or_name)
        with self._guard():
            finished = self._find(wanted)
        return None if finished is None else self._unsaved(finished)

    def delete(self, task_id_or_name: str | UUID) -> bool:
        """Delete a task, from its group too; says whether it was there."""
        wanted = id_or_name(task_id_or_name)
        with self._guard():
            finished = self._find(wanted)
            if finished is None:
                return False
            message = finished.message
            self._cache.delete_many([task_key(message.id)])
            if message.group is not None:
                gone: Chunk = ((message.id, None, None),)
                self._logs.append({group_key(message.group): [gone]}, None, shrinks=True)
            return True

    def group_tasks(self, label: str, *, failures: bool = True) -> list[Task]:
        """The tasks of a group, in the order in which they were asked for."""
        return [self._unsaved(one) for one in self._group(label, failures=failures)]

    def group_results(self, label: str, *, failures: bool = False) -> list[Any]:
        """Their results alone, in the same order; of a failure the line that says why."""
        return [load_value(one.outcome.value) for one in self._group(label, failures=failures)]

    def group_count(self, label: str, *, failures: bool = False) -> int:
        """How many outcomes there are in a group; with `failures` how many failures."""
        return self.group_counter(label, failures=failures)()

    def group_counter(self, label: str, *, failures: bool = False) -> Callable[[], int]:
        """A function that counts a group; each time it reads only what is new in the list."""
        members = Members(self._logs, label)

        def count() -> int:
            with self._guard():
                alive = members.alive(self._clock.now())
            return sum(not success for success in alive.values()) if failures else len(alive)

        return count

    def group_delete(self, label: str, *, rows: bool = False) -> int:
        """Take the label off the tasks of a group, or delete them; gives how many there were."""
        members = Members(self._logs, label)
        with self._guard():
            ids = list(members.alive(self._clock.now()))
            if rows:
                self._cache.delete_many([task_key(id) for id in ids])
            else:
                self._unlabel(ids, members)
            self._logs.delete(group_key(label), members.end)
            return len(ids)

    # Entries.

    def _put(self, outcomes: Sequence[Finished]) -> None:
        """Write entries, then names and lists: what is listed can be found."""
        wanted = winners(outcomes)
        if not wanted:
            return
        for one in wanted:
            refuse_unfit(one.message)
        names = {one.message.id: name_key(one.message.name) for one in wanted}
        keys = [task_key(one.message.id) for one in wanted]
        present = self._get_many([*keys, *names.values()])
        new = [one for one in wanted if not is_success(present.get(task_key(one.message.id)))]
        entries: dict[int | None, dict[str, Any]] = defaultdict(dict)
        lists: dict[int | None, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for one in sorted(new, key=lambda one: (one.outcome.stopped_at, one.message.id)):
            seconds, name = seconds_of(one.message), names[one.message.id]
            if one.outcome.success or task_key(one.message.id) in present:
                entries[seconds][task_key(one.message.id)] = entry_of(one)
            else:
                self._put_failure(one)
            at = (one.outcome.stopped_at, one.message.id)
            if name not in present or present[name] <= at:
                present[name] = entries[seconds][name] = at
        for one in wanted:
            if one.message.group is not None:
                seconds = seconds_of(one.message)
                until = None if seconds is None else self._clock.now().timestamp() + seconds
                record = (one.message.id, one.outcome.success, until)
                lists[seconds][group_key(one.message.group)].append(record)
        for seconds, some in entries.items():
            self._set_many(some, seconds)
        for seconds, groups in lists.items():
            chunks = {key: [tuple(group)] for key, group in groups.items()}
            self._logs.append(chunks, seconds, shrinks=True)

    def _put_failure(self, finished: Finished) -> None:
        """Write a first failure; not over what another monitor has written meanwhile."""
        key, entry = task_key(finished.message.id), entry_of(finished)
        seconds = seconds_of(finished.message)
        is_first = insist(self._cache, [entry], lambda: self._cache.add(key, entry, seconds))
        if not is_first and not is_success(self._cache.get(key)):
            self._set_many({key: entry}, seconds)

    def _get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for start in range(0, len(keys), ENTRIES_MAX):
            found.update(self._cache.get_many(keys[start : start + ENTRIES_MAX]))
        return found

    def _set_many(self, entries: Mapping[str, Any], seconds: int | None) -> None:
        if isinstance(self._cache, BaseDatabaseCache):
            # Its `set` keeps errors to itself; its `add` tells them.
            refused = [
                key for key, value in entries.items() if not self._replace(key, value, seconds)
            ]
        else:
            refused = insist(
                self._cache,
                entries.values(),
                lambda: list(self._cache.set_many(dict(entries), seconds) or ()),
            )
        for key in refused:
            raise refusal(entries[key])

    def _replace(self, key: str, value: object, seconds: int | None) -> bool:
        for _try in range(TRIES_MAX):
            # Another monitor may write the same entry, the outcome of an iter say, at the same moment.
            if self._cache.add(key, value, seconds) or self._cache.get(key) == value:
                return True
            self._cache.delete(key)
        return False

    def _load(self, ids: Iterable[str]) -> dict[str, Finished]:
        found = self._get_many([task_key(id) for id in ids])
        outcomes = [finished_of(entry) for entry in found.values()]
        return {one.message.id: one for one in outcomes if one is not None}

    def _find(self, wanted: str) -> Finished | None:
        if plain(wanted) != wanted:
            return None
        keys = [task_key(wanted.lower()), name_key(wanted)]
        found = self._cache.get_many(keys)
        if keys[0] in found:
            return finished_of(found[keys[0]])
        if keys[1] not in found:
            return None
        return finished_of(self._cache.get(task_key(found[keys[1]][1])))

    # Groups.

    def _group(self, label: str, *, failures: bool) -> list[Finished]:
        members = Members(self._logs, label)
        with self._guard():
            ids = members.alive(self._clock.now())
            outcomes = self._load(ids).values()
        wanted = [one for one in outcomes if failures or one.outcome.success]
        return sorted(wanted, key=call_order)

    def _unlabel(self, ids: Sequence[str], members: Members) -> None:
        now = self._clock.now().timestamp()
        entries: dict[int | None, dict[str, Any]] = defaultdict(dict)
        for one in self._load(ids).values():
            until = members.until[one.message.id]
            seconds = None if until is None else max(1, math.ceil(until - now))
            unlabelled = attrs.evolve(one, message=attrs.evolve(one.message, group=None))
            entries[seconds][task_key(one.message.id)] = entry_of(unlabelled)
        for seconds, some in entries.items():
            self._set_many(some, seconds)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except DjqError:
            raise
        except Exception as error:  # each kind of cache raises errors of its own
            drop_broken_connections(self._cache)
            raise StoreUnavailable(
                f"the cache ({type(self._cache).__name__}) did not serve the results: "
                f"{type(error).__name__}: {error}".rstrip()
            ) from error
