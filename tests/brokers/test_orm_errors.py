"""What the ORM broker does when its database errs, and whose time it keeps."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connections, transaction
from django.db.backends.signals import connection_created

from djq.brokers.orm import ServerClock
from djq.brokers.orm_claim import claim_by_update_returning, claim_for, claim_row_by_row
from djq.exceptions import BrokerUnavailable
from djq.models import OrmQ
from djq_testing.clock import ManualClock
from tests.brokers.orm_parts import hang_up, make_broker, queries

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


@contextmanager
def overtaken(alias, ids):
    """Let another cluster take these rows between the first look at them and the taking."""
    name = connections[alias].settings_dict["NAME"]

    def overtake(execute, sql, *rest):
        if sql.startswith("UPDATE"):
            other.execute(
                f"UPDATE djq_ormq SET available_at = '2999-01-01 00:00:00' WHERE id IN {ids}"
            )
        return execute(sql, *rest)

    with (
        closing(sqlite3.connect(name, isolation_level=None)) as other,
        connections[alias].execute_wrapper(overtake),
    ):
        yield


@pytest.mark.parametrize("claim", [claim_by_update_returning, claim_row_by_row])
def test_rows_behind_those_that_another_took_are_found(impatient, claim):
    broker = make_broker(impatient, claim=claim)
    broker.enqueue_many(["a", "b", "c", "d", "e"])

    with overtaken(impatient, ids=(1, 2, 3, 4)):
        taken = broker.dequeue(2)

    assert [package for _, package in taken] == ["e"]


def test_rows_that_another_is_taking_are_not_the_end_of_the_queue(server_database):
    broker = make_broker(server_database)
    broker.enqueue_many(list("abcdef"))
    other = connections[server_database].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM djq_ormq ORDER BY id LIMIT 4 FOR UPDATE")
        shares = [[package for _, package in broker.dequeue(2)] for _ in range(2)]
        other.rollback()
    finally:
        other.close()

    assert shares == [["e", "f"], []]
    assert [package for _, package in broker.dequeue(9)] == ["a", "b", "c", "d"]


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


def test_connecting_is_no_part_of_what_is_measured(server_database):
    connection = connections[server_database]
    connection.close()
    host = ManualClock()
    asked = []

    def connect_slowly(**_):
        host.advance(10)

    def ask(execute, sql, *rest):
        asked.extend(word for word in ("clock_timestamp()", "UTC_TIMESTAMP(6)") if word in sql)
        return execute(sql, *rest)

    connection_created.connect(connect_slowly)
    try:
        with connection.execute_wrapper(ask):
            told = ServerClock(server_database, host).now()
    finally:
        connection_created.disconnect(connect_slowly)

    assert (host.monotonic(), len(asked)) == (10, 1)
    assert told <= ServerClock(server_database, ManualClock()).now()


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
