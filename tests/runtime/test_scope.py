"""Holds the database connections around tasks: each task finds one that works."""

from __future__ import annotations

import contextlib
import os
import uuid

import pytest
from django.db import DatabaseError, Error, connections
from django.db.backends.signals import connection_created
from django.db.transaction import Atomic
from freezegun import freeze_time

from djq.runtime.scope import BUSY_MILLISECONDS, close_all, fresh_connections, tune_sqlite


@pytest.fixture
def connection(server_database):
    """A connection to a server that has been used; each test leaves it as it was."""
    connection = connections[server_database]
    max_age = connection.settings_dict["CONN_MAX_AGE"]
    ask(connection)
    yield connection
    connection.settings_dict["CONN_MAX_AGE"] = max_age
    connection.close()


def ask(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()


def end_by_server(connection):
    """Have the server end a connection, as a restart of it would."""
    number, end = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "mysql": ("SELECT CONNECTION_ID()", "KILL {}"),
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(number)
        (number,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute(end.format(number))
    other.close()


def test_a_connection_in_good_order_is_kept(connection):
    before = connection.connection
    with fresh_connections():
        ask(connection)

    assert connection.connection is before


def test_an_error_in_a_query_alone_does_not_cost_the_connection(connection):
    before = connection.connection
    with fresh_connections(), contextlib.suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")

    assert connection.connection is before
    assert not connection.errors_occurred


def test_an_open_transaction_ends_with_its_task(connection):
    with fresh_connections():
        connection.ensure_connection()
        connection.set_autocommit(False)
        ask(connection)
    closed = connection.connection is None

    assert closed
    assert ask(connection) == (1,)
    assert connection.get_autocommit()


def test_an_atomic_block_that_a_task_entered_and_left_open_ends_with_it(connection):
    with fresh_connections():
        Atomic(connection.alias, savepoint=True, durable=False).__enter__()

    assert not connection.in_atomic_block
    assert connection.connection is None


@pytest.mark.parametrize("end", [end_by_server, lambda connection: connection.connection.close()])
def test_a_connection_that_broke_during_a_task_is_replaced_after_it(connection, end):
    with fresh_connections(), contextlib.suppress(Error):
        end(connection)
        ask(connection)
    with fresh_connections():
        assert ask(connection) == (1,)


def test_a_connection_that_the_server_ended_while_it_lay_idle_is_replaced(connection):
    with freeze_time() as frozen:
        with fresh_connections():
            ask(connection)
        end_by_server(connection)
        frozen.tick(2)
        with fresh_connections():
            assert ask(connection) == (1,)


@pytest.mark.parametrize(("max_age", "kept"), [(0, True), (None, True), (3_600, True), (-1, False)])
def test_a_connection_is_kept_up_to_its_age(connection, max_age, kept):
    connection.close()
    connection.settings_dict["CONN_MAX_AGE"] = max_age
    ask(connection)
    before = connection.connection
    with fresh_connections():
        ask(connection)

    assert (connection.connection is before) is kept


def test_a_connection_that_nobody_opened_is_left_alone(connection):
    connection.close()
    with fresh_connections():
        pass

    assert connection.connection is None


def test_a_task_s_exception_goes_through(connection):
    with pytest.raises(ValueError, match="no"), fresh_connections():
        raise ValueError("no")

    assert ask(connection) == (1,)


@pytest.mark.django_db(transaction=True)
def test_a_process_that_a_task_forked_does_not_come_back():
    with fresh_connections():
        pid = os.fork()
    if pid == 0:
        os._exit(9)

    assert os.waitpid(pid, 0) == (pid, 0)


def test_all_connections_are_closed_before_a_fork(connection):
    close_all()

    assert connection.connection is None


class Pooled:
    """A connection from a psycopg pool that has another one to give."""

    def __init__(self, connection, server):
        self.connection = connection
        self.server = server
        ask(connection)
        self.fill()

    def fill(self):
        other = self.connection.copy()
        ask(other)
        other.close()

    def end_by_server(self):
        """Have the server end every connection of the pool, as a restart of it would."""
        with self.server.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = %s",
                [self.connection.settings_dict["OPTIONS"]["application_name"]],
            )
            assert len(cursor.fetchall()) == 2


@pytest.fixture
def pooled(postgres, add_database):
    server = connections[postgres]
    options = {
        "pool": {"min_size": 1, "max_size": 2, "timeout": 5},
        "application_name": uuid.uuid4().hex,
    }
    alias = add_database("pooled", {**server.settings_dict, "OPTIONS": options})
    yield Pooled(connections[alias], server)
    connections[alias].close()
    connections[alias].close_pool()


def test_a_pool_is_closed_before_a_fork(pooled):
    pool = pooled.connection.pool
    close_all()

    assert pooled.connection.connection is None
    assert pool.closed
    assert ask(pooled.connection) == (1,)


def test_a_connection_from_a_pool_is_kept_between_tasks(pooled):
    before = pooled.connection.connection
    with fresh_connections():
        ask(pooled.connection)

    assert pooled.connection.connection is before


def test_a_pool_that_broke_during_a_task_is_in_order_after_it(pooled):
    with fresh_connections(), contextlib.suppress(Error):
        pooled.end_by_server()
        ask(pooled.connection)
    with fresh_connections():
        assert ask(pooled.connection) == (1,)


@pytest.mark.parametrize("is_held", [True, False])
def test_a_pool_that_broke_while_it_lay_idle_is_in_order_for_the_next_task(pooled, is_held):
    # The pool itself goes by the real time: it would find its connections expired.
    with freeze_time(ignore=["psycopg_pool"]) as frozen:
        with fresh_connections():
            ask(pooled.connection)
        pooled.end_by_server()
        if not is_held:
            pooled.connection.close()
        frozen.tick(2)
        with fresh_connections():
            assert ask(pooled.connection) == (1,)


@pytest.fixture
def tuned():
    tune_sqlite()
    tune_sqlite()
    yield
    connection_created.disconnect(dispatch_uid="djq.runtime.scope")


@pytest.fixture
def sqlite(add_database, tmp_path):
    """Makes a connection to a SQLite file, with these OPTIONS."""

    def make(**options):
        settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "db.sqlite3"}
        return connections[add_database("file", {**settings, "OPTIONS": options})]

    return make


def busy_milliseconds(connection):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (milliseconds,) = cursor.fetchone()
    return milliseconds


@pytest.mark.parametrize(
    ("options", "milliseconds", "mode"),
    [
        ({}, BUSY_MILLISECONDS, "IMMEDIATE"),
        ({"timeout": 60}, 60_000, "IMMEDIATE"),
        ({"transaction_mode": "EXCLUSIVE"}, BUSY_MILLISECONDS, "EXCLUSIVE"),
    ],
)
def test_sqlite_waits_for_its_turn_in_a_cluster(tuned, sqlite, options, milliseconds, mode):
    connection = sqlite(**options)

    assert (busy_milliseconds(connection), connection.transaction_mode) == (milliseconds, mode)


def test_sqlite_is_left_alone_elsewhere(sqlite):
    connection = sqlite()

    assert busy_milliseconds(connection) < BUSY_MILLISECONDS
    assert connection.transaction_mode is None


def test_servers_are_not_tuned(tuned, connection):
    connection.close()

    assert ask(connection) == (1,)
