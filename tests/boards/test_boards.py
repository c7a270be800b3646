"""What all boards promise, on every kind of server; and how those in Redis and in a cache go about it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from uuid import uuid4

import pytest
from django.core.cache.backends.locmem import LocMemCache

from djq.boards.cache import BLOCK, CacheBoard
from djq.boards.database import DatabaseBoard
from djq.boards.redis import RedisBoard
from djq.brokers.redis_client import read_server
from djq.exceptions import BoardUnavailable
from djq.runtime.clock import SystemClock
from djq_testing.clock import ManualClock
from djq_testing.fakes.redis import fake_redis
from tests.caches import KINDS, REDIS_URL, make_cache, redis_prefix
from tests.cluster.harness import wait_until

AWAY = "redis://:hunter2@127.0.0.1:1/0"


@contextmanager
def opened(kind, folder):
    """What makes boards that see one another."""
    with ExitStack() as stack:
        if kind == "fakeredis":
            connect, name = fake_redis(), "x"
        elif kind == "real-redis":
            connect, name = read_server(REDIS_URL), stack.enter_context(redis_prefix())
        else:
            cache = stack.enter_context(make_cache(kind.removeprefix("cache-"), folder))
            yield lambda: CacheBoard("a queue, ünd more", cache)
            return

        def make():
            board = RedisBoard(name, connect=connect)
            stack.callback(board.close)
            return board

        yield make


class BoardContract:
    """What a board does, whatever it is made of: fill in `boards`."""

    @pytest.fixture
    def boards(self):
        """A function that makes boards which see one another, with nothing on them."""
        raise NotImplementedError

    def test_what_one_process_puts_up_another_reads(self, boards):
        here, there = boards(), boards()
        here.put("host:1", "first", 60)
        there.put("host:2", "second", 60)
        here.put("host:1", "first again ü", 60)

        assert sorted(here.read()) == sorted(there.read()) == ["first again ü", "second"]
        assert sorted(boards().read()) == ["first again ü", "second"]

    def test_what_is_put_up_once_more_as_it_was_stays_once(self, boards):
        board = boards()
        for _ in range(2):
            board.put("host:1", "as before", 60)

        assert board.read() == ["as before"]

    def test_nothing_is_read_where_nothing_was_put(self, boards):
        assert boards().read() == []

    def test_what_nobody_renews_ends_and_can_be_put_up_again(self, boards):
        board = boards()
        board.put("host:1", "renewed", 60)
        boards().put("host:2", "left", 1)
        assert sorted(board.read()) == ["left", "renewed"]

        wait_until(lambda: board.read() == ["renewed"], 3, "the end of what was left")

        board.put("host:1", "renewed again", 60)
        board.put("host:2", "back", 60)
        assert sorted(board.read()) == ["back", "renewed again"]

    def test_as_many_as_there_are_can_put(self, boards):
        for number in range(BLOCK + 6):
            boards().put(f"host:{number}", f"text {number}", 60)

        assert sorted(boards().read()) == sorted(f"text {number}" for number in range(BLOCK + 6))

    def test_a_board_that_was_closed_connects_anew(self, boards):
        board = boards()
        board.put("host:1", "text", 60)

        board.close()

        assert board.read() == ["text"]


class TestInRedisAndInCaches(BoardContract):
    @pytest.fixture(params=["fakeredis", "real-redis", *[f"cache-{kind}" for kind in KINDS]])
    def boards(self, request, tmp_path, db):
        with opened(request.param, tmp_path) as make:
            yield make


class TestInATable(BoardContract):
    @pytest.fixture
    def boards(self, live_database):
        around = {"alias": live_database, "host_clock": SystemClock()}
        return lambda: DatabaseBoard("a queue, ünd more", **around)


# Redis.


def test_redis_keeps_two_keys_of_a_queue_and_they_end(redis_name):
    client = read_server(REDIS_URL)()
    board = RedisBoard(redis_name, connect=lambda: client)
    board.put("host:1", "text", 60)
    board.put("host:2", "text", 5)

    keys = [f"djq:{{{redis_name}}}:stats", f"djq:{{{redis_name}}}:stats:until"]
    assert sorted(key.decode() for key in client.scan_iter(f"*{redis_name}*")) == keys
    assert all(58_000 < client.pttl(key) <= 60_000 for key in keys), "the last to end decides"
    board.close()


def test_redis_removes_what_has_ended():
    clock, connect = ManualClock(), fake_redis()
    board = RedisBoard("x", connect=connect, clock=clock)
    board.put("host:1", "text", 3)
    board.put("host:2", "text", 5)

    clock.advance(3)

    assert board.read() == ["text"]
    assert connect().hkeys("djq:{x}:stats") == [b"host:2"]
    assert connect().zcard("djq:{x}:stats:until") == 1


def test_queues_have_boards_of_their_own():
    connect = fake_redis()
    RedisBoard("one", connect=connect).put("host:1", "text", 3)

    assert RedisBoard("two", connect=connect).read() == []


def test_redis_that_is_away_is_an_error_of_ours_without_the_password():
    board = RedisBoard("x", connect=read_server(AWAY))

    with pytest.raises(BoardUnavailable) as raised:
        board.read()
    assert "hunter2" not in str(raised.value)


# Caches.


class CrowdedCache(LocMemCache):
    """Another may act right after many entries were read at once."""

    def __init__(self):
        super().__init__(uuid4().hex, {"OPTIONS": {"MAX_ENTRIES": 10_000}})
        self.after = []

    def get_many(self, keys, version=None):
        found = {}
        for key in keys:
            entry = super().get(key, version=version)
            if entry is not None:
                found[key] = entry
        while self.after:
            self.after.pop()()
        return found


def test_two_that_claim_at_once_have_different_slots():
    cache = CrowdedCache()
    one, two = CacheBoard("x", cache), CacheBoard("x", cache)
    # The same place would be first for both: what one has seen free the other takes.
    cache.after = [lambda: two.put("host:1", "second", 60)]

    one.put("host:1", "first", 60)

    assert sorted(one.read()) == ["first", "second"]


def test_a_slot_that_was_lost_is_claimed_anew():
    cache = CrowdedCache()
    board, other = CacheBoard("x", cache), CacheBoard("x", cache)
    board.put("host:1", "mine", 60)
    cache.clear()
    while len(other.read()) < BLOCK:
        other.put(f"other:{len(other.read())}", "other", 60)

    board.put("host:1", "mine again", 60)

    assert sorted(board.read()) == ["mine again", *["other"] * BLOCK]


def test_who_is_in_a_later_block_is_found_when_the_first_has_room_again():
    cache = CrowdedCache()
    crowd = CacheBoard("x", cache)
    for number in range(BLOCK):
        crowd.put(f"host:{number}", "crowd", 1 if number else 60)
    late = CacheBoard("x", cache)
    late.put("late:1", "late", 60)

    wait_until(lambda: len(late.read()) == 2, 3, "room in the first block")

    assert sorted(crowd.read()) == ["crowd", "late"]


def test_cache_that_fails_is_an_error_of_ours():
    class Failing(LocMemCache):
        def get_many(self, keys, version=None):
            raise ValueError("no")

    with pytest.raises(BoardUnavailable, match=r"Failing.*ValueError: no"):
        CacheBoard("x", Failing("x", {})).read()


def test_cache_in_a_database_serves_again_after_an_error(db, tmp_path):
    with make_cache("database", tmp_path) as cache:
        board = CacheBoard("x", cache)
        cache._table = '"no such table"'
        with pytest.raises(BoardUnavailable):
            board.put("host:1", "text", 60)
        cache._table = "djq_test_cache"
        board.put("host:1", "text", 60)

        assert board.read() == ["text"]
