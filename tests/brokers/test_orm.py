"""What the ORM broker does beside the contract: round trips, transactions, errors, clocks."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from djq.brokers.orm import OrmBroker, ServerClock
from djq.brokers.orm_claim import claim_by_update_returning, claim_for, claim_row_by_row
from djq.exceptions import BrokerUnavailable, ConfigError, TaskRefused
from djq.models import OrmQ
from djq_testing.clock import ManualClock


def make_broker(alias, clock=None, **options):
    return OrmBroker(
        "q", **{"alias": alias, "clock": clock or ManualClock(), "retry_seconds": 60.0, **options}
    )


def rows(alias):
    return OrmQ.objects.using(alias)


@contextmanager
def queries(alias):
    """Collect the first words of what is asked of the database meanwhile."""
    asked = []
    with CaptureQueriesContext(connections[alias]) as context:
        yield asked
    asked += [query["sql"].split()[0] for query in context.captured_queries]


def hang_up(alias):
    """End the session of this process at the server, as a restart would."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        postgres = connection.vendor == "postgresql"
        cursor.execute("SELECT pg_backend_pid()" if postgres else "SELECT CONNECTION_ID()")
        (session,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)" if postgres else "KILL %s", [session])
    other.close()


# Round trips.


def test_hundreds_are_sent_in_one_statement(live_database):
    broker = make_broker(live_database)
    broker.ping()

    with queries(live_database) as asked:
        ids = broker.enqueue_many(["x"] * 300)

    assert asked == ["INSERT"]
    assert ids == [str(row.id) for row in rows(live_database).order_by("id")]


def test_thousands_are_sent_whole_or_not_at_all(live_database):
    broker = make_broker(live_database)

    with queries(live_database) as asked:
        ids = broker.enqueue_many([str(number) for number in range(700)])

    assert asked == ["BEGIN", "INSERT", "INSERT", "INSERT", "COMMIT"]
    assert len(set(ids)) == rows(live_database).count() == 700


def test_large_packages_are_sent_in_statements_of_their_own(live_database):
    broker = make_broker(live_database)
    large = ["x" * 3_000_000, "y" * 3_000_000, "z"]

    with queries(live_database) as asked:
        broker.enqueue_many(large)

    # MariaDB is asked what it takes.
    measure = ["SELECT"] if connections[live_database].vendor == "mysql" else []
    assert asked == [*measure, "BEGIN", "INSERT", "INSERT", "COMMIT"]
    assert [package for _, package in broker.dequeue(5)] == large


@pytest.fixture
def mariadb(server_database):
    if connections[server_database].vendor != "mysql":
        pytest.skip("PostgreSQL takes a gigabyte")
    return server_database


@pytest.fixture
def most(mariadb):
    """The longest statement that MariaDB takes, in bytes."""
    with connections[mariadb].cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("letter", ["x", "'", "é"])
def test_package_that_mariadb_would_hang_up_on_is_refused(mariadb, most, letter):
    broker = make_broker(mariadb)
    written = len(letter.encode()) * (1 if letter in "xé" else 2)
    fits = letter * ((most - 1_000) // written)

    broker.enqueue(fits)
    with pytest.raises(TaskRefused, match=rf"'{mariadb}' takes {most:,} .* max_allowed_packet"):
        broker.enqueue_many(["small", letter * (most // written)])

    assert [package for _, package in broker.dequeue(5)] == [fits]


def test_refusal_for_size_leaves_the_callers_transaction_usable(mariadb, most):
    broker = make_broker(mariadb)

    with transaction.atomic(using=mariadb):
        with pytest.raises(TaskRefused):
            broker.enqueue("x" * most)
        broker.enqueue("small")

    assert [package for _, package in broker.dequeue(5)] == ["small"]


def test_small_packages_are_not_measured(mariadb):
    with queries(mariadb) as asked:
        make_broker(mariadb).enqueue_many(["x" * 3_000] * 300)

    assert asked == ["INSERT"]


@pytest.mark.parametrize("limit", [1, 100])
def test_dequeue_costs_the_least_that_the_database_allows(live_database, limit):
    broker = make_broker(live_database)
    broker.enqueue_many(["x"] * 50)
    cost = {
        "postgresql": ["WITH"],
        "sqlite": ["SELECT", "UPDATE"],
        "mysql": ["SELECT", "BEGIN", "SELECT", "UPDATE", "COMMIT"],
    }

    with queries(live_database) as asked:
        broker.dequeue(limit)

    assert asked == cost[connections[live_database].vendor]


def test_look_at_an_empty_queue_costs_one_query(live_database):
    broker = make_broker(live_database)

    with queries(live_database) as asked:
        assert broker.dequeue(10) == []

    assert len(asked) == 1


def test_many_are_acknowledged_extended_and_released_in_one_statement_each(live_database):
    broker = make_broker(live_database)
    broker.enqueue_many(["x"] * 30)
    held = [receipt for receipt, _ in broker.dequeue(30)]

    with queries(live_database) as asked:
        broker.extend_many(held)
        broker.release_many(held[:10])
        broker.acknowledge_many(held[10:])

    assert asked == ["UPDATE", "UPDATE", "DELETE"]
    assert rows(live_database).count() == 10


def test_nothing_to_acknowledge_costs_no_query(database):
    with queries(database) as asked:
        make_broker(database).acknowledge_many([])

    assert asked == []


# Rows.


def test_row_shows_when_it_was_picked_up_and_how_often(database):
    clock = ManualClock()
    broker = make_broker(database, clock)
    broker.enqueue("x")
    clock.advance(5)

    (received,) = broker.dequeue()

    row = rows(database).get()
    assert received[0] == f"{row.id}:1"
    assert (row.lock, row.attempts) == (clock.now(), 1)
    assert row.available_at == clock.now() + timedelta(seconds=60)


def test_row_shows_how_often_it_was_given_back_unbegun(database):
    broker = make_broker(database)
    broker.enqueue("x")
    for begun in (False, True, False):
        broker.release(broker.dequeue()[0][0], begun=begun)

    (received,) = broker.dequeue()

    row = rows(database).get()
    assert (received[0], received.attempt) == (f"{row.id}:4", 2)
    assert (row.attempts, row.unbegun) == (4, 2)


def test_released_rows_come_before_an_expired_lease(database):
    clock = ManualClock()
    broker = make_broker(database, clock)
    broker.enqueue_many(["a", "b", "c"])
    (_, b, _) = [receipt for receipt, _ in broker.dequeue(3)]

    clock.advance(61)
    broker.release(b)

    assert [package for _, package in broker.dequeue(3)] == ["b", "a", "c"]


@pytest.mark.parametrize("receipt", ["", "x", "1", "1:", ":1", "1:1:1", "-1:1", "9" * 40 + ":1"])
def test_receipt_of_another_broker_is_ignored(database, receipt):
    broker = make_broker(database)
    broker.enqueue("a")
    broker.dequeue()

    broker.acknowledge(receipt)
    broker.release(receipt)

    assert broker.extend(receipt) == receipt
    assert broker.lock_size() == 1


@pytest.mark.parametrize("tracking_id", ["", "x", "9" * 18, "9" * 40])
def test_tracking_id_that_is_not_there_is_no_error(database, tracking_id):
    broker = make_broker(database)
    broker.enqueue("a")

    broker.delete(tracking_id)

    assert broker.queue_size() == 1


def test_receipt_deletes_as_long_as_its_lease_is_held(database):
    clock = ManualClock()
    broker = make_broker(database, clock)
    broker.enqueue_many(["a", "b"])
    (lost, _), (held, _) = broker.dequeue(2)
    broker.release(lost)
    broker.dequeue()

    broker.delete(lost)
    broker.delete(held)

    assert [row.payload for row in rows(database).all()] == ["a"]


def test_queue_name_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="101 characters; at most 100"):
        OrmBroker("n" * 101, alias="default", clock=ManualClock(), retry_seconds=60.0)


def test_says_which_database_it_is(database):
    broker = make_broker(database)

    assert broker.info() == f"ORM {database} ({connections[database].vendor})"
    assert broker.database == database


# The caller's transaction.


def test_sending_joins_the_callers_transaction(live_database):
    broker = make_broker(live_database)

    with transaction.atomic(using=live_database):
        broker.enqueue("undone")
        transaction.set_rollback(True, using=live_database)
    with transaction.atomic(using=live_database):
        broker.enqueue("done")

    assert [package for _, package in broker.dequeue(5)] == ["done"]


def test_broken_transaction_of_the_caller_is_reported_as_what_it_is(live_database):
    broker = make_broker(live_database)

    with transaction.atomic(using=live_database):
        transaction.set_rollback(True, using=live_database)
        with pytest.raises(transaction.TransactionManagementError):
            broker.enqueue("x")


# Errors.


def test_database_that_is_away_is_unavailable(away):
    broker = make_broker(away)
    verbs = [
        lambda: broker.enqueue("x"),
        lambda: broker.enqueue_many(["x"] * 400),
        broker.dequeue,
        lambda: broker.acknowledge("1:1"),
        lambda: broker.extend("1:1"),
        lambda: broker.release("1:1"),
        lambda: broker.delete("1"),
        broker.purge_queue,
        broker.queue_size,
        broker.lock_size,
    ]

    for verb in verbs:
        with pytest.raises(BrokerUnavailable, match=r"'away'.*queue 'q'.*Error"):
            verb()

    assert broker.ping() is False


def test_clock_that_cannot_be_asked_is_unavailable_as_well(away):
    broker = make_broker(away, ServerClock(away, ManualClock()))

    with pytest.raises(BrokerUnavailable):
        broker.enqueue("x")


def test_lost_session_is_told_once_and_replaced(server_database):
    broker = make_broker(server_database)
    broker.enqueue("x")
    hang_up(server_database)

    with pytest.raises(BrokerUnavailable) as caught:
        broker.dequeue()

    assert caught.value.__cause__ is not None
    assert [package for _, package in broker.dequeue()] == ["x"]


def test_lost_session_leaves_the_callers_transaction_to_the_caller(server_database):
    broker = make_broker(server_database)
    connection = connections[server_database]

    seen = []

    def caller():
        with transaction.atomic(using=server_database):
            hang_up(server_database)
            try:
                broker.enqueue("x")
            finally:
                seen.append((connection.in_atomic_block, connection.closed_in_transaction))

    with pytest.raises(BrokerUnavailable):
        caller()

    assert seen == [(True, False)]
    broker.enqueue("y")
    assert [package for _, package in broker.dequeue(5)] == ["y"]


def test_table_that_is_not_there_is_unavailable(add_database, tmp_path):
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}

    with pytest.raises(BrokerUnavailable, match="no such table"):
        make_broker(add_database("empty", settings)).dequeue()


@pytest.fixture
def impatient(add_database, tmp_path):
    """A SQLite file that does not wait for locks."""
    settings = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "queue.sqlite3"),
        "OPTIONS": {"timeout": 0},
    }
    return add_database("impatient", settings, OrmQ)


@contextmanager
def locked(alias):
    """Hold the write lock of a SQLite file, as another process would."""
    other = sqlite3.connect(connections[alias].settings_dict["NAME"], isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield other
    finally:
        other.close()


@contextmanager
def locked_after(alias, updates):
    """Hold the write lock from when so many updates have been made."""
    made = []

    def count(execute, sql, *rest):
        if sql.startswith("UPDATE"):
            made.append(sql)
            if len(made) == updates + 1:
                other.execute("BEGIN IMMEDIATE")
        return execute(sql, *rest)

    name = connections[alias].settings_dict["NAME"]
    with (
        closing(sqlite3.connect(name, isolation_level=None)) as other,
        connections[alias].execute_wrapper(count),
    ):
        yield


def test_statement_that_was_in_anothers_way_is_said_again(impatient):
    make_broker(impatient).enqueue("x")
    tries = []
    with locked(impatient) as other:

        def claim(wish):
            tries.append(wish)
            try:
                return claim_by_update_returning(wish)
            finally:
                if len(tries) == 2:
                    other.execute("ROLLBACK")

        (received,) = make_broker(impatient, claim=claim).dequeue()

    assert (received[1], len(tries)) == ("x", 3)


@pytest.fixture
def refusing(impatient):
    """A SQLite file that lets nobody take the package `b`."""
    with connections[impatient].cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON djq_ormq WHEN NEW.payload = 'b' "
            "BEGIN SELECT RAISE(ABORT, 'nobody gets it'); END"
        )
    return impatient


def test_rows_taken_before_one_that_fails_are_delivered(refusing):
    broker = make_broker(refusing, claim=claim_row_by_row)
    broker.enqueue_many(["a1", "a2", "b", "c"])

    taken = broker.dequeue(4)

    assert [(one[1], one.attempt) for one in taken] == [("a1", 1), ("a2", 1)]
    assert (broker.lock_size(), broker.queue_size()) == (2, 2)
    with pytest.raises(BrokerUnavailable, match="nobody gets it"):
        broker.dequeue(4)


def test_row_that_fails_in_the_callers_transaction_undoes_those_before_it(refusing):
    broker = make_broker(refusing, claim=claim_row_by_row)
    broker.enqueue_many(["a", "b"])

    with (
        pytest.raises(BrokerUnavailable, match="nobody gets it"),
        transaction.atomic(using=refusing),
    ):
        broker.dequeue(2)

    assert (broker.lock_size(), broker.queue_size()) == (0, 2)


def test_rows_taken_before_one_that_another_has_locked_are_not_taken_again(impatient):
    broker = make_broker(impatient, claim=claim_row_by_row)
    broker.enqueue_many(["a", "b"])
    with locked_after(impatient, updates=1):
        first = broker.dequeue(2)

    rest = broker.dequeue(2)

    assert [(one[1], one.attempt) for one in (*first, *rest)] == [("a", 1), ("b", 1)]


def test_lock_that_never_ends_is_unavailable(impatient):
    with locked(impatient), pytest.raises(BrokerUnavailable, match="locked"):
        make_broker(impatient).enqueue("x")


def test_statement_in_the_callers_transaction_is_said_once(impatient):
    make_broker(impatient).enqueue("x")
    tries = []

    def claim(wish):
        tries.append(wish)
        return claim_by_update_returning(wish)

    broker = make_broker(impatient, claim=claim)
    with (
        locked(impatient),
        pytest.raises(BrokerUnavailable),
        transaction.atomic(using=impatient),
    ):
        broker.dequeue()

    assert len(tries) == 1


# Time.


def test_queue_goes_on_while_local_time_goes_back(database, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    clock = ManualClock(datetime(2026, 11, 1, 5, 59, tzinfo=UTC))
    broker = make_broker(database, clock)
    broker.enqueue("x")

    clock.advance(minutes=2)

    assert [package for _, package in broker.dequeue()] == ["x"]


def test_database_tells_its_own_time(live_database):
    wrong = ManualClock(datetime(2001, 1, 1, tzinfo=UTC))
    clock = ServerClock(live_database, wrong)

    if connections[live_database].vendor == "sqlite":
        assert clock.now() == wrong.now()
    else:
        told = clock.now()
        assert told.tzinfo is UTC
        # The server runs on this machine or beside it; its year is enough.
        assert abs(told - datetime.now(UTC)) < timedelta(hours=1)


def test_server_is_asked_once_a_minute_and_the_clock_counts_on(server_database):
    base = ManualClock()
    clock = ServerClock(server_database, base)
    first = clock.now()

    with queries(server_database) as asked:
        base.advance(59.5)
        later = clock.now()
    with queries(server_database) as asked_again:
        base.advance(1)
        fresh = clock.now()

    assert (asked, later - first) == ([], timedelta(seconds=59.5))
    assert asked_again == ["SELECT"]
    assert fresh < later


def test_server_tells_its_time_without_time_zones(server_database, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"

    told = ServerClock(server_database, ManualClock()).now()

    assert abs(told - datetime.now(UTC)) < timedelta(hours=1)


def test_server_time_moves_on_within_a_transaction(server_database):
    base = ManualClock()
    with transaction.atomic(using=server_database):
        first = ServerClock(server_database, base).now()
        second = ServerClock(server_database, base).now()

    assert second > first


def test_each_database_gets_its_way_of_claiming(database):
    ways = {
        "postgresql": "claim_in_one_statement",
        "sqlite": "claim_by_update_returning",
        "mysql": "claim_by_skip_locked",
    }

    claim = claim_for(connections[database])

    assert claim.__name__ == ways[connections[database].vendor]
