"""The elements of iters in a database: kept aside until all are there, and counted once.

An iter has a row of its own. Whoever keeps elements locks it first, so that two monitors do so one
after the other, and the one that keeps the last element sees all that are there. The row stays for a
while when its iter is complete: an element that is delivered once more finds it, and is dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections
from django.db.models import Sum
from django.db.models.functions import Length

from djq.core.gathering import (
    RESULTS_BYTES_MAX,
    Element,
    Gathered,
    element_of,
    gather,
    oversized_iter,
)
from djq.core.message import Finished, TaskMessage, plain
from djq.results.moments import as_kept, as_meant

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from djq.models import IterElement, Progress

KEPT_DAYS = 30
"""Iters and chains of which nothing more has come for so long are given up, with what is there of them."""

ROWS_MAX = 200
BYTES_MAX = 2_000_000
"""Most rows and bytes in one statement; a larger row has one to itself."""


class DatabaseElements:
    """The iters in the tables `djq_progress` and `djq_iterelement` of one database."""

    def __init__(self, alias: str, results_bytes_max: int = RESULTS_BYTES_MAX) -> None:
        """`results_bytes_max` is how large all the results of an iter may be together."""
        self._alias = alias
        self._results_bytes_max = results_bytes_max

    def keep(self, batch: Sequence[Finished]) -> list[Gathered]:
        """Keep elements, in the transaction of the caller; gives the iters that are complete now.

        What was kept of these is deleted: the caller keeps their outcomes in the same transaction.
        """
        iters: dict[str, list[Finished]] = defaultdict(list)
        for finished in batch:
            assert finished.message.iter is not None, "it is an element's"
            iters[finished.message.iter].append(finished)
        # Everybody locks in the same order, so that nobody waits in a ring.
        complete = [self._keep_one(id, iters[id]) for id in sorted(iters)]
        return [gathered for gathered in complete if gathered is not None]

    def _keep_one(self, id: str, batch: Sequence[Finished]) -> Gathered | None:
        message = batch[0].message
        latest = max(finished.outcome.stopped_at for finished in batch)
        done, total = self._lock(id, message, latest)
        if done >= total:
            return None
        new: dict[int, Finished] = {}
        for finished in batch:
            new.setdefault(finished.message.place, finished)
        for place in self._elements(id).filter(place__in=list(new)).values_list("place", flat=True):
            del new[place]
        self._insert(id, [element_of(finished) for finished in new.values()])
        done += len(new)
        self._progress().filter(id=id).update(done=done)
        if done < total:
            return None
        # They are summed up where they are: what is too large is not to be loaded first.
        size = self._elements(id).aggregate(size=Sum(Length("value")))["size"]
        if size > self._results_bytes_max:
            gathered = oversized_iter(message, size, self._results_bytes_max, latest)
        else:
            gathered = gather(message, list(self._load(id)))
        _delete(self._elements(id))
        forget_before(self._alias, latest - timedelta(days=KEPT_DAYS))
        return gathered

    def _lock(self, id: str, message: TaskMessage, latest: datetime) -> tuple[int, int]:
        """Lock the row of an iter, made now if this is the first that is heard of it."""
        assert message.total is not None, "an element knows how many there are"
        # A write, so that it waits for others and then sees what they have committed. One statement: on
        # MariaDB a plain insert of what is there already takes a weaker lock, and two who then want
        # the stronger one wait for each other.
        connection = connections[self._alias]
        progress = self._progress()
        row = progress.model(
            id=id, total=message.total, done=0, touched=as_kept(connection, latest)
        )
        has_target = connection.features.supports_update_conflicts_with_target
        progress.bulk_create(
            [row],
            update_conflicts=True,
            update_fields=["touched"],
            unique_fields=["id"] if has_target else None,
        )
        return progress.filter(id=id).values_list("done", "total").get()

    def _insert(self, id: str, elements: Sequence[Element]) -> None:
        model: type[IterElement] = apps.get_model("djq", "IterElement")
        connection = connections[self._alias]
        for portion in _portions(elements):
            rows = [
                model(
                    iter=id,
                    place=element.place,
                    success=element.success,
                    value=element.value,
                    body=element.body,
                    traceback=plain(element.traceback),
                    stopped=as_kept(connection, element.stopped_at),
                )
                for element in portion
            ]
            model.objects.using(self._alias).bulk_create(rows)

    def _load(self, id: str) -> Iterator[Element]:
        columns = ("place", "success", "value", "body", "traceback", "stopped")
        rows = self._elements(id).order_by("place").values_list(*columns)
        for place, success, value, body, traceback, stopped in rows:
            moment = as_meant(stopped)
            yield Element(place, success, bytes(value), bytes(body), traceback, moment)

    def _elements(self, id: str) -> QuerySet[IterElement]:
        model: type[IterElement] = apps.get_model("djq", "IterElement")
        elements = model.objects.using(self._alias).filter(iter=id)
        # MariaDB may show a transaction what was there when it began; a locking read sees all.
        mysql = connections[self._alias].vendor == "mysql"
        return elements.select_for_update() if mysql else elements

    def _progress(self) -> QuerySet[Progress]:
        model: type[Progress] = apps.get_model("djq", "Progress")
        return model.objects.using(self._alias).all()


def forget_before(alias: str, moment: datetime) -> None:
    """Give up iters and chains of which nothing has come since then, some at a time."""
    progress: type[Progress] = apps.get_model("djq", "Progress")
    elements: type[IterElement] = apps.get_model("djq", "IterElement")
    old = progress.objects.using(alias).filter(touched__lt=as_kept(connections[alias], moment))
    ids = list(old.values_list("id", flat=True)[:ROWS_MAX])
    if ids:
        _delete(elements.objects.using(alias).filter(iter__in=ids))
        _delete(progress.objects.using(alias).filter(id__in=ids))


def _portions(elements: Sequence[Element]) -> Iterator[list[Element]]:
    portion: list[Element] = []
    size = 0
    for element in elements:
        added = len(element.value) + len(element.body) + len(element.traceback)
        if portion and (len(portion) == ROWS_MAX or size + added > BYTES_MAX):
            yield portion
            portion, size = [], 0
        portion.append(element)
        size += added
    if portion:
        yield portion


def _delete(rows: QuerySet[Any]) -> None:
    """Delete in one statement; the plain delete() would read the rows first."""
    rows.order_by()._raw_delete(rows.db)  # noqa: SLF001 - the only way to say so
