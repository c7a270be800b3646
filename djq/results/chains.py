"""How many links of each chain have been sent, in a database: a link that comes twice sends nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connections

from djq.core.message import TaskMessage
from djq.results.elements import KEPT_DAYS, forget_before
from djq.results.moments import as_kept

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from djq.models import Progress

TABLE = "djq_progress"
ROWS_MAX = 200
"""Most rows in one statement: old versions of SQLite take 999 parameters."""


class DatabaseChains:
    """The chains in the table `djq_progress` of one database."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def sent(self, links: Iterable[TaskMessage]) -> dict[str, int]:
        """How many links of these chains have been sent."""
        chains = {link.chain for link in links}
        model: type[Progress] = apps.get_model("djq", "Progress")
        rows = model.objects.using(self._alias).filter(id__in=chains)
        return dict(rows.values_list("id", "done"))

    def mark(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent; one statement for hundreds.

        What is known already is never taken back: a monitor that stood still may mark a link long
        after another has marked a later one.
        """
        connection = connections[self._alias]
        last = {link.chain: link for link in sorted(links, key=lambda link: link.place)}
        rows = [
            (chain, link.total or 0, link.place + 1, as_kept(connection, link.enqueued_at))
            for chain, link in sorted(last.items(), key=lambda pair: pair[1].id)
            if chain is not None
        ]
        with connection.cursor() as cursor:
            for start in range(0, len(rows), ROWS_MAX):
                some = rows[start : start + ROWS_MAX]
                parameters = [value for row in some for value in _adapted(connection, row)]
                cursor.execute(_statement(connection, len(some)), parameters)
        if any(link.place + 1 == link.total for link in links):
            newest = max(link.enqueued_at for link in links)
            forget_before(self._alias, newest - timedelta(days=KEPT_DAYS))


def _adapted(connection: BaseDatabaseWrapper, row: tuple[Any, ...]) -> tuple[Any, ...]:
    *rest, touched = row
    return (*rest, connection.ops.adapt_datetimefield_value(touched))


def _statement(connection: BaseDatabaseWrapper, rows: int) -> str:
    marks = ", ".join(["(%s, %s, %s, %s)"] * rows)
    insert = f"INSERT INTO {TABLE} (id, total, done, touched) VALUES {marks} "  # noqa: S608
    if connection.features.supports_update_conflicts_with_target:
        higher = f"CASE WHEN excluded.done > {TABLE}.done THEN excluded.done ELSE {TABLE}.done END"
        return insert + (
            f"ON CONFLICT (id) DO UPDATE SET done = {higher}, touched = excluded.touched"
        )
    return insert + (
        "ON DUPLICATE KEY UPDATE done = GREATEST(done, VALUES(done)), touched = VALUES(touched)"
    )
