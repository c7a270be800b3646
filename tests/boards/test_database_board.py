"""The board in a table: what it costs, whose time it keeps, and what it does when it cannot."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from djq.boards.database import DatabaseBoard
from djq.exceptions import BoardUnavailable
from djq.models import Picture
from djq.runtime.clock import SystemClock
from djq.runtime.patience import at_most
from djq_testing.clock import ManualClock
from tests.brokers.orm_parts import hang_up

LONG_SECONDS = 20
FAR = datetime(1999, 1, 1, tzinfo=UTC)


def make_board(alias, list_key="q", **options):
    return DatabaseBoard(list_key, **{"alias": alias, "host_clock": SystemClock(), **options})


@contextmanager
def statements(alias):
    """Collect the first words of what is asked of the database meanwhile, but for SQLite's settings."""
    asked = []
    with CaptureQueriesContext(connections[alias]) as context:
        yield asked
    words = [query["sql"].split()[0] for query in context.captured_queries]
    asked += [word for word in words if word != "PRAGMA"]


def texts(alias):
    return sorted(Picture.objects.using(alias).values_list("text", flat=True))


def test_a_cluster_writes_its_row_by_one_statement_and_all_are_read_by_one(live_database):
    board = make_board(live_database)
    with statements(live_database) as first:
        board.put("host:1", "text", 60)
    with statements(live_database) as later:
        board.put("host:1", "text again", 60)
    make_board(live_database).put("host:2", "text", 60)
    with statements(live_database) as read:
        found = board.read()

    assert first == ["UPDATE", "INSERT", "DELETE"]
    assert later == ["UPDATE"]
    assert (read, sorted(found)) == (["SELECT"], ["text", "text again"])


def test_who_begins_takes_away_what_has_ended_of_all_queues(live_database):
    clock = ManualClock()
    make_board(live_database, "another", clock=clock).put("host:1", "ended", 3)
    make_board(live_database, clock=clock).put("host:2", "goes on", 5)
    clock.advance(3)
    assert texts(live_database) == ["ended", "goes on"]

    make_board(live_database, clock=clock).put("host:3", "begins", 3)

    assert texts(live_database) == ["begins", "goes on"]


def test_a_row_that_was_taken_away_is_made_again(live_database):
    clock = ManualClock()
    board = make_board(live_database, clock=clock)
    board.put("host:1", "slow", 3)
    clock.advance(60)
    make_board(live_database, clock=clock).put("host:2", "begins", 60)

    board.put("host:1", "slow", 3)

    assert sorted(board.read()) == ["begins", "slow"]


def test_the_same_at_the_same_moment_is_no_second_row(live_database):
    """MariaDB counts the rows that a statement changes, unless it is asked for those that it finds."""
    board = make_board(live_database, clock=ManualClock())
    for _ in range(2):
        board.put("host:1", "text", 60)

    assert texts(live_database) == ["text"]


def test_queues_have_boards_of_their_own(live_database):
    make_board(live_database, "one").put("host:1", "theirs", 60)
    make_board(live_database, "One").put("host:1", "capital", 60)

    assert make_board(live_database, "one").read() == ["theirs"]
    assert make_board(live_database, "two").read() == []


def test_hosts_with_wrong_clocks_see_the_same(server_database):
    wrong = make_board(server_database, host_clock=ManualClock(FAR))
    ahead = make_board(server_database, host_clock=ManualClock(FAR + timedelta(days=40_000)))

    wrong.put("host:1", "wrong", 60)
    ahead.put("host:2", "ahead", 60)

    assert sorted(make_board(server_database).read()) == ["ahead", "wrong"]
    (left,) = Picture.objects.using(server_database).filter(text="wrong")
    assert abs(left.until - datetime.now(UTC).timestamp() - 60) < 5


class OnAnother(DatabaseBoard):
    """In a database of a kind that djq was never tried on."""

    times = MappingProxyType({})


def test_a_database_whose_time_is_not_known_goes_by_the_host_s(live_database):
    clock = ManualClock()
    board = OnAnother("q", alias=live_database, host_clock=clock)
    board.put("host:1", "text", 3)
    before = board.read()

    clock.advance(3)

    assert (before, board.read()) == (["text"], [])


def test_a_table_that_is_not_there_is_an_error_of_ours(add_database, tmp_path):
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}
    board = make_board(add_database("empty", settings))

    for verb in (board.read, lambda: board.put("host:1", "text", 3)):
        with pytest.raises(BoardUnavailable, match=r"'empty' \(sqlite\).*no such table"):
            verb()


def test_a_server_that_is_away_is_an_error_of_ours(away):
    with pytest.raises(BoardUnavailable, match=r"the database 'away'.*OperationalError"):
        make_board(away).read()


def test_a_lost_session_is_told_once_and_replaced(server_database):
    board = make_board(server_database)
    board.put("host:1", "text", 60)
    hang_up(server_database)

    with pytest.raises(BoardUnavailable):
        board.put("host:1", "lost", 60)
    board.put("host:1", "text again", 60)

    assert board.read() == ["text again"]


class Elsewhere(DatabaseBoard):
    """Looks for a table that is not there."""

    def _named(self, statement):
        return super()._named(statement).replace("djq_picture", "djq_no_such_table")


def test_an_error_in_a_caller_s_transaction_leaves_the_rest_of_it(live_database):
    board = Elsewhere("q", alias=live_database, host_clock=SystemClock())
    with transaction.atomic(using=live_database):
        make_board(live_database).put("host:1", "stays", 60)
        with pytest.raises(BoardUnavailable):
            board.read()
        with pytest.raises(BoardUnavailable):
            board.put("host:2", "goes", 60)
        board.close()
        make_board(live_database).put("host:3", "stays too", 60)

    assert texts(live_database) == ["stays", "stays too"]


# Whoever waits.


@pytest.fixture
def file(add_database, tmp_path):
    """A SQLite file whose connections wait long for a lock."""
    settings = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "queue.sqlite3"),
        "OPTIONS": {"timeout": LONG_SECONDS},
    }
    return add_database("file", settings, Picture)


@contextmanager
def locked(alias):
    """Hold the lock of a SQLite file, as another process would."""
    name = connections[alias].settings_dict["NAME"]
    with closing(sqlite3.connect(name, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def patience_of(alias):
    with connections[alias].cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        return cursor.fetchone()[0]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_that_is_locked_holds_nobody_up(file, is_there):
    board = make_board(file)
    if is_there:
        board.put("host:1", "text", 60)
    with locked(file):
        began = time.monotonic()
        with pytest.raises(BoardUnavailable, match="locked"):
            board.put("host:1", "text again", 60)
        took = time.monotonic() - began
    board.put("host:1", "text again", 60)

    assert took < 0.5, "no alarm would have ended it"
    assert board.read() == ["text again"]
    assert patience_of(file) == LONG_SECONDS * 1_000, "the connection is a program's, too"


def test_a_row_that_somebody_holds_is_given_up_in_time_and_nothing_is_mistaken(server_database):
    board = make_board(server_database)
    board.put("host:1", "text", 60)
    other = connections[server_database].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM djq_picture FOR UPDATE")
        began = time.monotonic()
        with pytest.raises((TimeoutError, BoardUnavailable)), at_most(0.3):
            board.put("host:1", "never", 60)
        took = time.monotonic() - began
        other.rollback()
    finally:
        other.close()
    board.put("host:1", "text again", 60)

    assert took < 2
    assert board.read() == ["text again"]
