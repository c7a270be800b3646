"""The result store in a Django database: writes batches of outcomes, finds one again.

One upsert keeps a whole batch, by the rule that the first success of a task is final and a failure
gives way to whatever comes later. It is one statement because two would leave a gap: a failure that
another monitor writes between a DELETE and an INSERT would shut out a success. Django's own upserts
cannot carry that condition, and its `ignore_conflicts` makes MariaDB cut values silently.

The first statement of a transaction here is always a write. SQLite answers "database is locked" at
once, without waiting, to a transaction that has read before another process wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.db import DataError, IntegrityError, NotSupportedError, connections, transaction
from django.db.models import Case, Q, Value, When
from django.db.transaction import TransactionManagementError
from django.db.utils import Error

from djq.core.call import dump_value
from djq.core.frame import options_of
from djq.core.gathering import RESULTS_BYTES_MAX, Gathered, refused_iter
from djq.core.message import TRACEBACK_CHARACTERS_MAX, Finished, Outcome, TaskMessage, plain
from djq.core.settlement import winners
from djq.exceptions import StoreRefused, StoreUnavailable
from djq.results import groups
from djq.results.chains import DatabaseChains
from djq.results.elements import DatabaseElements
from djq.results.moments import as_kept, as_meant
from djq.results.texts import id_or_name, refuse_unfit

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from djq.models import Task

ID_CHARACTERS = 32
NAME_CHARACTERS_MAX = 100
FUNC_CHARACTERS_MAX = 256

COLUMNS: Mapping[str, str] = {
    "id": "text",
    "name": "text",
    "func": "text",
    "hook": "text",
    "group": "text",
    "body": "bytea",
    "value": "bytea",
    "started": "timestamptz",
    "stopped": "timestamptz",
    "success": "boolean",
    "traceback": "text",
    "attempts": "integer",
    "place": "integer",
    "queue": "text",
    "options": "text",
}
"""The columns of a row, with their kinds in PostgreSQL; the key comes first."""
ROWS_MAX = 500
BYTES_MAX = 4_000_000
"""Most rows and bytes in one statement; a larger row has one to itself."""

STATEMENT_BYTES_MAX = 200_000
"""What the other columns of one row and the statement's own words take at most."""

_HEX = frozenset("0123456789abcdefABCDEF")
_REFUSED = (DataError, IntegrityError, NotSupportedError, ValueError, TypeError, OverflowError)


class DatabaseStore:
    """Outcomes in the table `djq_task`."""

    def __init__(
        self,
        *,
        alias: str,
        save_limit: int,
        results_bytes_max: int = RESULTS_BYTES_MAX,
        queue: str = "",
    ) -> None:
        """Make a store; nothing is asked of the database yet.

        Args:
            alias: The key of the database in DATABASES.
            save_limit: Most successes kept. 0: all of them. Below 0: only those that ask for it.
            results_bytes_max: Most bytes of all the results of an iter.
            queue: Name of the queue whose tasks these are, for whoever sends one again. Empty: not said.
        """
        self.alias: str | None = alias
        self._alias = alias
        self._save_limit = save_limit
        self._queue = queue
        self._chains = DatabaseChains(alias)
        self._elements = DatabaseElements(alias, results_bytes_max)

    def save(self, batch: Sequence[Finished]) -> Sequence[Gathered]:
        """Keep the outcomes, all or none, then all but the newest `save_limit` successes go.

        Elements of iters are kept aside, and as the outcome of their iter once all are there.
        """
        whole = [finished for finished in batch if finished.message.iter is None]
        if len(whole) == len(batch):
            self._save_whole(whole)
            return ()
        elements = [finished for finished in batch if finished.message.iter is not None]
        with self._guard(), transaction.atomic(using=self._alias):
            for finished in elements:
                self._refuse_oversized(finished.message.id, _size(finished))
            complete = self._elements.keep(elements)
            # The iters last: their successes may push others out of the limit, which stand until then.
            self._save_whole(whole)
            return [self._save_gathered(one) for one in complete]

    def _save_whole(self, batch: Sequence[Finished]) -> None:
        # In the order of ids: monitors that write the same tasks never wait for one another in a ring.
        wanted = [finished for finished in batch if self._is_kept(finished)]
        kept = winners(wanted)
        if not kept:
            return
        with self._guard():
            # One that another of this batch stands for is refused as it would be by itself.
            for finished in wanted:
                refuse_unfit(finished.message)
            rows = [self._row(finished) for finished in kept]
            with transaction.atomic(using=self._alias):
                for portion in self._portions(rows):
                    self._upsert(portion)
                if self._save_limit > 0 and any(finished.outcome.success for finished in kept):
                    self._prune()

    def _save_gathered(self, gathered: Gathered) -> Gathered:
        """Save the outcome of an iter; a failure that says so if that can never be kept."""
        try:
            with transaction.atomic(using=self._alias):
                self._save_whole([gathered.finished])
        except StoreRefused as error:
            refused = refused_iter(gathered, error)
            self._save_whole([refused.finished])
            return refused
        return gathered

    @contextmanager
    def unit(self) -> Iterator[None]:
        """A transaction of this database, for what has to be kept together."""
        with self._guard(body=False), transaction.atomic(using=self._alias):
            yield

    def present(self, finished: Finished) -> Task:
        """The task object as it would be found again; of a success not kept, an unsaved one."""
        task = self.unsaved(finished)
        if self._is_kept(finished):
            task._state.adding = False  # noqa: SLF001 - documented all the same
            task._state.db = self._alias  # noqa: SLF001
        return task

    def unsaved(self, finished: Finished) -> Task:
        """The task object that its `save()` would put here."""
        model: type[Task] = apps.get_model("djq", "Task")
        return model(**self._row(finished))

    def kept(self, tasks: Iterable[TaskMessage]) -> dict[str, Finished]:
        """What is kept of these tasks; one query for hundreds."""
        wanted = sorted({message.id for message in tasks if plain(message.id) == message.id})
        with self._guard():
            return {
                task.id: self._finished(task)
                for start in range(0, len(wanted), ROWS_MAX)
                for task in self.tasks().filter(id__in=wanted[start : start + ROWS_MAX])
            }

    def sent(self, links: Iterable[TaskMessage]) -> dict[str, int]:
        """How many links of the chains of these have been sent."""
        with self._guard():
            return self._chains.sent(links)

    def mark_sent(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent."""
        with self._guard():
            self._chains.mark(links)

    def tasks(self) -> QuerySet[Task]:
        """All that is kept here."""
        model: type[Task] = apps.get_model("djq", "Task")
        return model.objects.using(self._alias)

    def find(self, task_id_or_name: str | UUID) -> Task | None:
        """The task with this id, otherwise the newest with this name; one query."""
        wanted = id_or_name(task_id_or_name)
        tasks = self.tasks()
        if plain(wanted) != wanted:
            return None
        with self._guard():
            if len(wanted) != ID_CHARACTERS or not _HEX.issuperset(wanted):
                return tasks.filter(name=wanted).order_by("-stopped", "-id").first()
            by_id_first = Case(When(id=wanted.lower(), then=Value(0)), default=Value(1))
            found = tasks.filter(Q(id=wanted.lower()) | Q(name=wanted))
            return found.order_by(by_id_first, "-stopped", "-id").first()

    def group_tasks(self, label: str, *, failures: bool = True) -> QuerySet[Task]:
        """The tasks of a group, in the order in which they were asked for."""
        return groups.group_tasks(self.tasks(), label, failures=failures)

    def group_results(self, label: str, *, failures: bool = False) -> list[Any]:
        """Their results alone, in the same order; of a failure the line that says why."""
        with self._guard(body=False):
            return groups.group_results(self.tasks(), label, failures=failures)

    def group_count(self, label: str, *, failures: bool = False) -> int:
        """How many outcomes there are in a group; with `failures` how many failures."""
        with self._guard(body=False):
            return groups.group_count(self.tasks(), label, failures=failures)

    def group_counter(self, label: str, *, failures: bool = False) -> Callable[[], int]:
        """A function that counts a group."""
        return partial(self.group_count, label, failures=failures)

    def group_delete(self, label: str, *, rows: bool = False) -> int:
        """Take the label off the tasks of a group, or delete them; gives how many there were."""
        with self._guard(body=False):
            return groups.group_delete(self.tasks(), label, rows=rows)

    @property
    def _connection(self) -> BaseDatabaseWrapper:
        return connections[self._alias]

    def _is_kept(self, finished: Finished) -> bool:
        if not finished.outcome.success:
            return True
        save = finished.message.save
        return self._save_limit >= 0 if save is None else save

    def _row(self, finished: Finished) -> dict[str, Any]:
        message, outcome = finished.message, finished.outcome
        return {
            "id": message.id,
            "name": plain(message.name)[:NAME_CHARACTERS_MAX],
            "func": plain(message.func)[:FUNC_CHARACTERS_MAX],
            "hook": message.hook,
            "group": message.group,
            "body": message.body,
            "value": outcome.value,
            "started": as_kept(self._connection, message.enqueued_at),
            "stopped": as_kept(self._connection, outcome.stopped_at),
            "success": outcome.success,
            "traceback": plain(outcome.traceback),
            "attempts": finished.attempt,
            "place": message.place,
            "queue": self._queue,
            "options": options_of(message),
        }

    def _finished(self, task: Task) -> Finished:
        """A row as what it was made from, as far as the row tells."""
        message = TaskMessage(
            id=task.id,
            name=task.name,
            func=task.func,
            enqueued_at=as_meant(task.started),
            body=bytes(task.body),
            group=task.group,
            hook=task.hook,
            save=True,
            place=task.place,
        )
        value = dump_value(None) if task.value is None else bytes(task.value)
        stopped_at = as_meant(task.stopped)
        outcome = Outcome(task.success, value, task.traceback, stopped_at, seconds=0.0)
        return Finished(message, outcome, task.attempts)

    def _portions(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
        """Part rows into statements, after a look at what can never be kept."""
        parameters_max = self._connection.features.max_query_params or ROWS_MAX * len(COLUMNS)
        rows_max = min(ROWS_MAX, parameters_max // len(COLUMNS))
        portion: list[Mapping[str, Any]] = []
        size = 0
        for row in rows:
            added = len(row["body"]) + len(row["value"]) + len(row["traceback"])
            self._refuse_oversized(row["id"], len(row["body"]) + len(row["value"]))
            if portion and (len(portion) == rows_max or size + added > BYTES_MAX):
                yield portion
                portion, size = [], 0
            portion.append(row)
            size += added
        yield portion

    def _refuse_oversized(self, id: str, size: int) -> None:
        """Refuse what MariaDB would answer by hanging up: it would be tried again for ever."""
        if size <= BYTES_MAX - TRACEBACK_CHARACTERS_MAX or self._connection.vendor != "mysql":
            return
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT @@max_allowed_packet")
            (limit,) = cursor.fetchone()
        # Drivers send each byte as two hexadecimal digits, or may have to escape it.
        needed = 2 * size + STATEMENT_BYTES_MAX
        if needed > limit:
            raise StoreRefused(
                f"the call and the result of task {id} need {needed} bytes together; the "
                f"database takes {limit} in one statement; raise its max_allowed_packet, or "
                "return less"
            )

    def _upsert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        connection = self._connection
        columns = [self._column(name, [row[name] for row in rows]) for name in COLUMNS]
        parameters: list[Any]
        if connection.vendor == "postgresql":
            # One array a column: thousands of placeholders cost psycopg more than all the rest.
            arrays = ", ".join(f"%s::{kind}[]" for kind in COLUMNS.values())
            values, parameters = f"SELECT * FROM unnest({arrays})", columns  # noqa: S608
        else:
            marks = f"({', '.join(['%s'] * len(columns))})"
            values = f"VALUES {', '.join([marks] * len(rows))}"
            parameters = list(chain.from_iterable(zip(*columns, strict=True)))
        with connection.cursor() as cursor:
            cursor.execute(_upsert_statement(connection, values), parameters)

    def _column(self, name: str, values: list[Any]) -> list[Any]:
        """Make values ready for the driver, as Django's fields would, in much less time."""
        if name in {"started", "stopped"}:
            return list(map(self._connection.ops.adapt_datetimefield_value, values))
        if name in {"body", "value"}:
            driver = self._connection.Database  # type: ignore[attr-defined]  # each backend has it
            return list(map(driver.Binary, values))
        return values

    def _prune(self) -> None:
        """Keep the newest successes; those of one moment are parted by their ids."""
        connection = self._connection
        offset = connection.ops.limit_offset_sql(self._save_limit, None)
        superfluous = (
            f"SELECT id FROM djq_task WHERE success ORDER BY stopped DESC, id DESC {offset}"  # noqa: S608
        )
        with connection.cursor() as cursor:
            if connection.vendor != "mysql":
                cursor.execute(f"DELETE FROM djq_task WHERE id IN ({superfluous})")  # noqa: S608
                return
            # MariaDB would lock what the inner SELECT reads; and a DELETE by ids alone may go through
            # the whole table and wait for others' rows on its way. Both end in deadlocks.
            cursor.execute(superfluous)
            ids = sorted(row[0] for row in cursor.fetchall())
            for start in range(0, len(ids), ROWS_MAX):
                some = ids[start : start + ROWS_MAX]
                old = " UNION ALL ".join(["SELECT %s AS id"] * len(some))
                cursor.execute(
                    f"DELETE t FROM ({old}) AS old STRAIGHT_JOIN djq_task t ON t.id = old.id", some
                )

    @contextmanager
    def _guard(self, *, body: bool = True) -> Iterator[None]:
        """Turn a driver's error into djq's, and drop a connection that may be broken."""
        try:
            yield
        except TransactionManagementError:
            # The caller's own transaction has failed before: that is the caller's to know.
            raise
        except _REFUSED as error:
            if not body and not isinstance(error, Error):
                raise
            raise StoreRefused(f"{type(error).__name__}: {error}") from error
        except Error as error:
            connection = self._connection
            if not connection.in_atomic_block:
                with suppress(Error):
                    connection.close()
            raise StoreUnavailable(
                f"the database {self._alias!r} ({connection.vendor}) did not serve the results: "
                f"{type(error).__name__}: {error}".rstrip()
            ) from error


def _upsert_statement(connection: BaseDatabaseWrapper, values: str) -> str:
    quote = connection.ops.quote_name
    columns = list(map(quote, COLUMNS))
    success = quote("success")
    # MariaDB assigns from left to right: the condition's own column comes last.
    changing = sorted(columns[1:], key=lambda column: column == success)
    if connection.features.supports_update_conflicts_with_target:
        updates = ", ".join(f"{column} = excluded.{column}" for column in changing)
        rule = f"ON CONFLICT (id) DO UPDATE SET {updates} WHERE NOT djq_task.{success}"
    else:
        updates = ", ".join(f"{c} = IF({success}, {c}, VALUES({c}))" for c in changing)
        rule = f"ON DUPLICATE KEY UPDATE {updates}"
    return f"INSERT INTO djq_task ({', '.join(columns)}) {values} {rule}"


def _size(finished: Finished) -> int:
    return len(finished.message.body) + len(finished.outcome.value)
