"""Database connections around forks and tasks.

A connection that two processes share is broken, so all are closed before a fork, those to caches
too. In a worker each task gets connections that work: one that an earlier task left broken, in an
open transaction, or out of autocommit is closed after that task, and so is one that is older than
CONN_MAX_AGE. With CONN_MAX_AGE at 0 a connection is kept all the same: in a worker no request ends,
and a new connection for every task costs more than most tasks. A server may have ended a connection
that was idle for a while (it was restarted, or has a limit), so such a one is tried before it is used.

A driver's pool (`OPTIONS` has `pool`) outlives its connections, with sockets and threads of its own,
so it is closed as well before a fork. Django takes a connection from a pool as good without trying
it, so here it goes back when there is doubt, and the pool tries what it has.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from django.core.cache import caches
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.transaction import non_atomic_requests

from djq.runtime.clock import SystemClock

_clock = SystemClock()
View = TypeVar("View", bound=Callable[..., Any])

BUSY_MILLISECONDS = 20_000
"""How long a SQLite connection of a cluster's process waits for its turn to write."""

LEAST_LOCK_MILLISECONDS = 500
"""A monitor that may only wait for less would fail where others write, too."""

IDLE_SECONDS = 1.0
"""How long a connection may lie unused before it is tried first, which costs one round trip."""


class _Own(threading.local):
    """What each thread has of its own, as it has its own connections."""

    is_tuned = False
    """Its connections to SQLite wait for their turn."""

    lock_milliseconds: int | None = None
    """How long its connections wait for another's lock. None: as long as the server says."""

    def __init__(self) -> None:
        self.left_at = _clock.monotonic()
        """When its last task ended."""


_own = _Own()


def close_own() -> None:
    """Close this thread's connections to databases and caches; one from a pool goes back to it."""
    connections.close_all()
    caches.close_all()


def close_all() -> None:
    """Close every connection of this process, of which only this thread has any, and every pool.

    Call it before a fork.
    """
    close_own()
    for connection in connections.all(initialized_only=True):
        close_pool = getattr(connection, "close_pool", None)
        if close_pool is not None:
            close_pool()


def outside_transactions(view: View) -> View:
    """Let a view be in no transaction of a database, whatever ATOMIC_REQUESTS says.

    With it a database that is away ends a request before the view begins. Each database has its own.
    """
    for alias in connections:
        view = non_atomic_requests(using=alias)(view)
    return view


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Surround one task in a worker. A process that the task forked does not come back."""
    pid = os.getpid()
    if _clock.monotonic() - _own.left_at >= IDLE_SECONDS:
        _distrust()
    try:
        yield
    finally:
        if os.getpid() != pid:
            # A task that forked and returned twice: only the worker may answer.
            os._exit(0)
        for connection in connections.all(initialized_only=True):
            _tidy(connection)
        _own.left_at = _clock.monotonic()


def tune_sqlite() -> None:
    """In a cluster's process: SQLite connections wait for their turn instead of failing.

    A transaction that begins as a reader cannot become a writer while another writes: it fails at
    once, however long the timeout. So transactions begin as writers here, and wait up to 20 seconds.
    """
    connection_created.connect(_wait_for_the_lock, dispatch_uid="djq.runtime.scope")


def tune_sqlite_here() -> None:
    """As `tune_sqlite`, in a cluster's thread: those of the program around it stay as they are."""
    _own.is_tuned = True
    connection_created.connect(_wait_if_tuned, dispatch_uid="djq.runtime.scope.own")


def bound_lock_waits(seconds: float) -> None:
    """In a monitor: no statement waits longer for another's lock; it fails, and is tried again.

    Whoever waits in the database cannot renew leases meanwhile, and they would run out. It holds for
    the connections that this thread opens from now on.
    """
    _own.lock_milliseconds = max(int(seconds * 1000), LEAST_LOCK_MILLISECONDS)
    connection_created.connect(_bound_the_wait, dispatch_uid="djq.runtime.scope.bound")


def _bound_the_wait(connection: BaseDatabaseWrapper, **_: object) -> None:
    milliseconds = _own.lock_milliseconds
    if milliseconds is None:
        return
    statements = {
        "postgresql": f"SET lock_timeout = {milliseconds}",
        "mysql": f"SET SESSION innodb_lock_wait_timeout = {max(milliseconds // 1000, 1)}, "
        f"lock_wait_timeout = {max(milliseconds // 1000, 1)}",
        "sqlite": f"PRAGMA busy_timeout = {min(milliseconds, BUSY_MILLISECONDS)}",
    }
    if connection.vendor in statements:
        with connection.cursor() as cursor:
            cursor.execute(statements[connection.vendor])


def _wait_if_tuned(connection: BaseDatabaseWrapper, **_: object) -> None:
    if _own.is_tuned:
        _wait_for_the_lock(connection)


def _wait_for_the_lock(connection: BaseDatabaseWrapper, **_: object) -> None:
    if connection.vendor != "sqlite":
        return
    if getattr(connection, "transaction_mode", None) is None:
        connection.transaction_mode = "IMMEDIATE"  # type: ignore[attr-defined]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (milliseconds,) = cursor.fetchone()
        if milliseconds < BUSY_MILLISECONDS:
            cursor.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")


def _distrust() -> None:
    """Have each open connection tried before it is used, and a new one opened if need be."""
    for connection in connections.all(initialized_only=True):
        if getattr(connection, "pool", None) is not None:
            _let_go(connection)
            continue
        connection.health_check_enabled = True  # type: ignore[attr-defined]
        connection.health_check_done = False  # type: ignore[attr-defined]


def _let_go(connection: BaseDatabaseWrapper) -> None:
    """Close a connection; one from a pool goes back to it, and the pool tries all that it has."""
    # A driver may mind that the connection is closed already; the task has nothing to do with it.
    with suppress(Error):
        connection.close()
    pool: Any = getattr(connection, "pool", None)
    # Only psycopg's can be asked to; Oracle's tries a connection that was idle by itself.
    if hasattr(pool, "check") and not pool.closed:
        pool.check()


def _tidy(connection: BaseDatabaseWrapper) -> None:
    if connection.connection is None:
        return
    unfinished = connection.in_atomic_block or not connection.get_autocommit()
    max_age = connection.settings_dict["CONN_MAX_AGE"]
    close_at = connection.close_at
    too_old = bool(max_age) and close_at is not None and _clock.monotonic() >= close_at
    if unfinished or too_old or (connection.errors_occurred and not connection.is_usable()):
        connection.in_atomic_block = False
        _let_go(connection)
    connection.errors_occurred = False
