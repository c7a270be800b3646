"""The ways from a cluster in process to its services: they can fail, and say when something comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from django.apps import apps
from django.db import connections
from django.utils import timezone

from djq.brokers.orm import OrmBroker
from djq.components.pusher import takes_limit
from djq.core.gathering import Gathered
from djq.core.message import Finished, TaskMessage
from djq.core.received import Waiting
from djq.core.schedules import Change, ScheduleEnd, ScheduleRow
from djq.ports import Broker, ResultStore, ScheduleStore
from djq_testing.local.troubles import Answer, Troubles

Package = tuple[str | None, str | bytes]
BRINGING = ("enqueue", "release")


class Changed(Protocol):
    """Hears that a queue has changed."""

    def __call__(self, *, arrived: bool = False) -> None: ...


class LocalBroker(Broker):
    """A broker as it is seen through the troubles of a test; what else it has, it has here too."""

    def __init__(self, inner: Broker, troubles: Troubles, changed: Changed) -> None:
        """`changed` is told of what may bring something to take, now (`arrived`) or later."""
        super().__init__(inner.list_key)
        self.inner = inner
        self.receipts = inner.receipts  # type: ignore[misc]  # as the one behind it
        self.delays = inner.delays  # type: ignore[misc]
        self.bulk_limit = inner.bulk_limit  # type: ignore[misc]
        self.max_payload = inner.max_payload  # type: ignore[misc]
        self.database = inner.database
        self.tells = isinstance(inner, OrmBroker) or hasattr(inner, "next_available")
        """It can say when a package becomes available."""
        self.came_up_empty = False
        """The last `dequeue` found nothing, and did not fail."""
        self._troubles = troubles
        self._changed = changed
        self._takes_limit = takes_limit(inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def enqueue(self, task: str) -> str | None:
        return self._do("enqueue", lambda: self.inner.enqueue(task), None)

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        nothing: list[str | None] = [None] * len(tasks)
        return self._do("enqueue", lambda: self.inner.enqueue_many(tasks), nothing)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        nothing: list[str | None] = [None] * len(tasks)
        return self._do("enqueue", lambda: self.inner.enqueue_later(tasks, seconds), nothing)

    def dequeue(self, limit: int = 1) -> Sequence[Package]:
        self.came_up_empty = False
        nothing: Sequence[Package] = ()
        take = (lambda: self.inner.dequeue(limit)) if self._takes_limit else self.inner.dequeue
        found = self._troubles.broker("dequeue", take, nothing)
        for _, package in found:
            if self._troubles.duplicates:
                self._troubles.duplicates -= 1
                self._troubles.strikes["duplicate"] += 1
                self.inner.enqueue(package if isinstance(package, str) else package.decode())
        self.came_up_empty = not found
        if found:
            self._changed()
        return found

    def acknowledge(self, id: str) -> None:
        self._do("acknowledge", lambda: self.inner.acknowledge(id), None)

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        self._do("acknowledge", lambda: self.inner.acknowledge_many(ids), None)

    def extend(self, id: str) -> str:
        return self._do("extend", lambda: self.inner.extend(id), id)

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        return self._do("extend", lambda: self.inner.extend_many(ids), {})

    def release(self, id: str, *, begun: bool = True) -> None:
        self._do("release", lambda: self.inner.release(id, begun=begun), None)

    def release_many(self, ids: Iterable[str], *, begun: bool = True) -> None:
        self._do("release", lambda: self.inner.release_many(ids, begun=begun), None)

    def fail(self, id: str) -> None:
        self._do("fail", lambda: self.inner.fail(id), None)

    def delete(self, id: str) -> None:
        self._troubles.broker("delete", lambda: self.inner.delete(id), None)

    def purge_queue(self) -> None:
        self._troubles.broker("purge_queue", self.inner.purge_queue, None)

    def delete_queue(self) -> None:
        self._troubles.broker("delete_queue", self.inner.delete_queue, None)

    def queue_size(self) -> int:
        return self._troubles.broker("queue_size", self.inner.queue_size, 0)

    def lock_size(self) -> int | None:
        return self._troubles.broker("lock_size", self.inner.lock_size, None)

    def peek(self) -> Sequence[Waiting] | None:
        return self._troubles.broker("peek", self.inner.peek, None)

    def ping(self) -> bool:
        return not self._troubles.is_away("broker") and self.inner.ping()

    def info(self) -> str:
        return self.inner.info()

    def close(self) -> None:
        """Nothing: the connection is the test's own."""

    def next_available(self) -> datetime | None:
        """When the next package comes, of all that are here; in the past: it is here. None: never."""
        if isinstance(self.inner, OrmBroker):
            return _next_row(self.inner)
        moment: datetime | None = self.inner.next_available()  # type: ignore[attr-defined]
        return moment

    def _do(self, verb: str, act: Callable[[], Answer], nothing: Answer) -> Answer:
        self._changed(arrived=verb in BRINGING)
        return self._troubles.broker(verb, act, nothing)


def _next_row(broker: OrmBroker) -> datetime | None:
    assert broker.database is not None, "this broker lives in a database"
    rows = apps.get_model("djq", "OrmQ")._base_manager.using(broker.database)  # noqa: SLF001 - documented
    due = rows.filter(key=broker.list_key).order_by("available_at", "id")
    moment: datetime | None = due.values_list("available_at", flat=True).first()
    if moment is None or timezone.is_aware(moment):
        return moment
    is_local = connections[broker.database].vendor == "postgresql"
    return timezone.make_aware(moment, timezone.get_default_timezone() if is_local else UTC)


class LocalStore:
    """A result store as it is seen through the troubles of a test."""

    def __init__(self, inner: ResultStore, troubles: Troubles) -> None:
        self.alias = inner.alias
        self._inner = inner
        self._troubles = troubles

    def save(self, batch: Sequence[Finished]) -> Sequence[Gathered]:
        """Keep the outcomes, all or none."""
        nothing: Sequence[Gathered] = ()
        return self._troubles.save(lambda: self._inner.save(batch), nothing)

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction; in a test that has one itself, a savepoint."""
        self._troubles.store(bool)
        with self._inner.unit():
            yield

    def kept(self, tasks: Iterable[TaskMessage]) -> Mapping[str, Finished]:
        """What is kept of these tasks."""
        return self._troubles.store(lambda: self._inner.kept(tasks))

    def sent(self, links: Iterable[TaskMessage]) -> Mapping[str, int]:
        """How many links of the chains of these have been sent."""
        return self._troubles.store(lambda: self._inner.sent(links))

    def mark_sent(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent."""
        self._troubles.store(lambda: self._inner.mark_sent(links))

    def present(self, finished: Finished) -> object:
        """The task object that a hook is called with."""
        return self._inner.present(finished)


class LocalSchedules:
    """A schedule store as it is seen through the troubles of a test."""

    def __init__(self, inner: ScheduleStore, troubles: Troubles) -> None:
        self.alias = inner.alias
        self.inner = inner
        self.seen: datetime | None = None
        """What the last look said."""
        self.is_quiet = False
        """The last verb was such a look, and nothing was due."""
        self._troubles = troubles

    def now(self) -> datetime:
        """The time that schedules go by."""
        return self._do(self.inner.now)

    def next_due(self) -> datetime | None:
        """When the next row comes due."""
        self.seen = self._do(self.inner.next_due)
        self.is_quiet = self.seen is None or self.seen > self.inner.now()
        return self.seen

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction; in a test that has one itself, a savepoint."""
        self._do(bool)
        with self.inner.unit():
            yield

    def take(self, now: datetime, limit: int) -> Sequence[ScheduleRow]:
        """Rows that are due."""
        return self._do(lambda: self.inner.take(now, limit))

    def put(self, changes: Sequence[Change]) -> None:
        """Write what became of rows."""
        self._do(lambda: self.inner.put(changes))

    def sent(self, token: str, ids: Sequence[int]) -> None:
        """All that these rows were sending was sent."""
        self._do(lambda: self.inner.sent(token, ids))

    def ended(self, ends: Sequence[ScheduleEnd]) -> None:
        """Tell schedules how their tasks ended."""
        self._do(lambda: self.inner.ended(ends))

    def unhold(self, now: datetime, latest: datetime) -> None:
        """Rows that are held beyond `latest` come due now."""
        self._do(lambda: self.inner.unhold(now, latest))

    def _do(self, act: Callable[[], Answer]) -> Answer:
        return self._troubles.store(act)
