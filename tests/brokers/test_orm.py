"""What the ORM broker does beside the contract: round trips, transactions, errors, clocks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connections, transaction

from djq.brokers.orm import OrmBroker
from djq.exceptions import ConfigError, TaskRefused
from djq_testing.clock import ManualClock
from tests.brokers.orm_parts import make_broker, queries, rows

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
