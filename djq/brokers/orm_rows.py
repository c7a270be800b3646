"""How rows of the queue that are known by their ids are changed, without a look at any other row.

MariaDB decides by itself how it finds them. A small table it prefers to read whole; on its way it
waits for rows that others have locked, and two clusters that do so end in a deadlock. FORCE INDEX
keeps an UPDATE from it and does nothing for a DELETE (both tried); a DELETE is kept from it by a
join that it has to begin at the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
from django.apps import apps
from django.db import connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from djq.models import OrmQ


def all_rows(alias: str) -> QuerySet[OrmQ]:
    """The rows of all queues in a database."""
    # Found when it is asked for: models stand above brokers, and load later.
    queue: type[OrmQ] = apps.get_model("djq", "OrmQ")
    return queue.objects.using(alias)


def queue_table(connection: BaseDatabaseWrapper) -> str:
    """The quoted name of the table."""
    options = apps.get_model("djq", "OrmQ")._meta  # noqa: SLF001 - documented all the same
    return connection.ops.quote_name(options.db_table)


def delete_rows(rows: QuerySet[OrmQ]) -> None:
    """Delete in one statement; the plain delete() would wrap a transaction round it."""
    rows._raw_delete(rows.db)  # noqa: SLF001 - the only way to say so


@contextmanager
def by_primary_key(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Keep MariaDB's updates of the queue to the rows that they name."""
    if connection.vendor != "mysql":
        yield
        return
    table = queue_table(connection)

    def hint(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        hinted = f"UPDATE {table} FORCE INDEX (PRIMARY) SET"
        return execute(sql.replace(f"UPDATE {table} SET", hinted, 1), *rest)

    with connection.execute_wrapper(hint):
        yield


@attrs.frozen(kw_only=True)
class Held:
    """Rows out on their `attempts`th delivery: none of those that were delivered again since."""

    alias: str
    """The Django database."""

    ids: Sequence[int]
    """At least one, sorted: everybody locks in the same order, so that nobody waits in a ring."""

    attempts: int
    """The delivery that the receipts speak of."""

    def update(self, **values: Any) -> None:
        """Change the columns named, in one statement."""
        with by_primary_key(connections[self.alias]):
            self._rows().update(**values)

    def delete(self) -> None:
        """Delete them, in one statement."""
        connection = connections[self.alias]
        if connection.vendor != "mysql":
            delete_rows(self._rows())
            return
        ids = " UNION ALL ".join(["SELECT %s AS id"] * len(self.ids))
        statement = (
            f"DELETE q FROM ({ids}) AS held STRAIGHT_JOIN {queue_table(connection)} q "
            "ON q.id = held.id WHERE q.attempts = %s AND q.lock IS NOT NULL"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, [*self.ids, self.attempts])

    def _rows(self) -> QuerySet[OrmQ]:
        # Not by the queue's name: a database might go by the index of due rows then.
        rows = all_rows(self.alias).filter(id__in=self.ids)
        return rows.filter(attempts=self.attempts, lock__isnull=False)
