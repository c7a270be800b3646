"""Statements that write many rows of schedules, each its own values, without a statement a row.

The values come as a table of their own, and the rows are found by primary key. MariaDB has to begin at
that table: left to itself it may read all of a small one, and wait for rows that others hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs
from django.utils import timezone

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from djq.core.schedules import Change, ScheduleEnd

TABLE = "djq_schedule"


@attrs.frozen
class Column:
    """One column that is written."""

    name: str
    """Also the name of the value's field."""

    kind: str
    """Its type in PostgreSQL."""


def local(connection: BaseDatabaseWrapper, moment: datetime) -> datetime:
    """A moment as Django keeps it: without USE_TZ it has no zone, and is in the project's."""
    if connection.timezone is not None:
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())


def update_rows(
    connection: BaseDatabaseWrapper, columns: Sequence[Column], changes: Sequence[Change]
) -> None:
    """Write the columns of rows, each with its own values."""
    if not changes:
        return
    rows = [
        [each.id, *(_value(connection, each, column) for column in columns)] for each in changes
    ]
    sets = {column.name: f"v.{column.name}" for column in columns}
    _run(connection, [Column("id", "bigint"), *columns], rows, sets, "")


def tell_ends(
    connection: BaseDatabaseWrapper, ends: Sequence[ScheduleEnd], run_failed: str
) -> None:
    """Write how tasks ended, where that is news: who waits for one, and what its last error is."""
    columns = [Column("id", "bigint"), Column("task_id", "text"), Column("error", "text")]
    rows = [[end.schedule, end.task_id, end.error and f"{run_failed}{end.error}"] for end in ends]
    is_last = f"{TABLE}.task = v.task_id AND {TABLE}.last_error <> v.error"
    # An error of the schedule itself is not the task's to take away.
    is_last += f" AND ({TABLE}.last_error = '' OR {TABLE}.last_error LIKE '{run_failed}%%')"
    waits = f"{TABLE}.unfinished = v.task_id"
    sets = {
        "last_error": f"CASE WHEN {is_last} THEN v.error ELSE {TABLE}.last_error END",
        "unfinished": f"CASE WHEN {waits} THEN '' ELSE {TABLE}.unfinished END",
    }
    _run(connection, columns, rows, sets, f" AND ({waits} OR ({is_last}))")


def _run(
    connection: BaseDatabaseWrapper,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    sets: Mapping[str, str],
    also: str,
) -> None:
    written = ", ".join(f"{name} = {value}" for name, value in sets.items())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            names = ", ".join(column.name for column in columns)
            arrays = ", ".join(f"%s::{column.kind}[]" for column in columns)
            parameters: list[Any] = [list(values) for values in zip(*rows, strict=True)]
            cursor.execute(
                f"UPDATE {TABLE} SET {written} FROM unnest({arrays}) AS v({names}) "  # noqa: S608
                f"WHERE {TABLE}.id = v.id{also}",
                parameters,
            )
        elif connection.vendor == "mysql":
            first = ", ".join(f"%s AS {column.name}" for column in columns)
            rest = ", ".join(["%s"] * len(columns))
            values = " UNION ALL ".join([f"SELECT {first}", *[f"SELECT {rest}"] * (len(rows) - 1)])
            cursor.execute(
                f"UPDATE ({values}) AS v STRAIGHT_JOIN {TABLE} ON {TABLE}.id = v.id SET "  # noqa: S608
                + ", ".join(f"{TABLE}.{name} = {value}" for name, value in sets.items())
                + f" WHERE 1 = 1{also}",
                [value for row in rows for value in row],
            )
        else:
            # In one process with its database: a statement a row costs no round trip.
            values = ", ".join(f"%s AS {column.name}" for column in columns)
            cursor.executemany(
                f"UPDATE {TABLE} SET {written} FROM (SELECT {values}) AS v "  # noqa: S608
                f"WHERE {TABLE}.id = v.id{also}",
                rows,
            )


def _value(connection: BaseDatabaseWrapper, change: Change, column: Column) -> Any:
    value = getattr(change, column.name)
    if not isinstance(value, datetime):
        return value
    return connection.ops.adapt_datetimefield_value(local(connection, value))
