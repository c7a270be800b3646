"""Fifty clusters of eight workers, simulated: what they cost whoever looks at them, on each kind of board."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.db import connections
from django.test.utils import CaptureQueriesContext

from djq.boards.cache import CacheBoard
from djq.boards.database import DatabaseBoard
from djq.boards.redis import RedisBoard
from djq.components.publisher import Publisher
from djq.core.protocol import Report, Running
from djq.monitor import Stat, place_of, told, written
from djq.ports import Wait
from djq.runtime.clock import SystemClock
from djq.wiring import wired
from djq_testing.fakes.redis import fake_redis
from tests.components.parts import Scene

CLUSTERS, WORKERS, CYCLES, CYCLE = 50, 8, 4, 2.0
"""Cycles are of so many seconds."""


class Counting:
    """What stands before a board's service, and counts what it is asked."""

    def __init__(self, service, verb):
        self.asked = 0
        self.service = service
        ask = getattr(service, verb)

        def count(*arguments, **options):
            self.asked += 1
            return ask(*arguments, **options)

        setattr(service, verb, count)

    @contextmanager
    def one_read(self):
        before = self.asked
        yield
        assert self.asked - before == 1


class Server:
    """What all boards of one kind share: makes them, and demands that what is done takes one round trip."""

    def __init__(self, make, one_read):
        self.make = make
        self.one_read = one_read


class Command:
    """Tells of a cluster whose workers are all busy."""

    def __init__(self, first_pid, at):
        self.report = None
        self._pids = [("PUSHER", first_pid), ("MONITOR", first_pid + 1)]
        self._workers = range(first_pid + 2, first_pid + 2 + WORKERS)
        self._at = at

    def step(self):
        running = tuple(
            Running(f"{pid:032x}", "four-words-of-it", "shop.tasks.report", pid, self._at, 1)
            for pid in self._workers
        )
        pids = (*self._pids, *(("worker", pid) for pid in self._workers))
        self.report = Report("WORKING", False, pids, 3, 1, 0, False, running)
        return Wait(CYCLE)


class Fleet(Scene):
    """Clusters that put up their pictures, each over a board of its own."""

    def __init__(self, server):
        super().__init__()
        self.server = server
        self.puts = Counter()
        self.publishers = []

    def add(self, host, pid, born_seconds=0.0):
        born = self.clock.now() + timedelta(seconds=born_seconds)
        blank = Stat(cluster_id=pid, host=host, tob=born, now=born)
        command = Command(pid + 1, self.clock.now())
        place = place_of(blank)

        def picture(_stopped):
            self.puts[place] += 1
            stat = told(blank, command.report, pid + 1)
            return written(stat)

        publisher = Publisher(
            command=command,
            board=self.server.make(),
            place=place,
            picture=picture,
            around=self.around,
            guard_cycle=CYCLE,
            bounded=nullcontext,
        )
        self.publishers.append(publisher)

    def run(self, cycles):
        for _ in range(cycles * 2):
            for publisher in self.publishers:
                publisher.step()
            self.clock.advance(CYCLE / 2)

    def seen(self):
        with wired(board=self.server.make()), self.server.one_read():
            return Stat.get_all()


class ManyClusters:
    """Fill in `server`."""

    @pytest.fixture
    def server(self):
        raise NotImplementedError

    def test_all_are_read_at_once_and_each_writes_once_a_cycle(self, server):
        fleet = Fleet(server)
        for number in range(CLUSTERS):
            fleet.add(f"host{number % 5}", 1_000 + 20 * number)

        fleet.run(CYCLES)
        stats = fleet.seen()

        assert len(stats) == CLUSTERS
        assert {len(stat.workers) for stat in stats} == {len(stat.running) for stat in stats} == {8}
        assert len({task.worker for stat in stats for task in stat.running}) == CLUSTERS * WORKERS
        assert set(fleet.puts.values()) == {CYCLES}

    def test_one_process_id_on_two_hosts_or_at_two_times_is_no_collision(self, server):
        fleet = Fleet(server)
        fleet.add("orion", 1)
        fleet.add("lyra", 1)
        fleet.add("orion", 1, born_seconds=86_400)

        fleet.run(2)
        stats = fleet.seen()

        assert [(stat.host, stat.cluster_id) for stat in stats] == [
            ("lyra", 1),
            ("orion", 1),
            ("orion", 1),
        ]
        assert stats[2].tob - stats[1].tob == timedelta(days=1)
        with wired(board=server.make()):
            assert Stat.get(1) == stats[2]


class TestInRedis(ManyClusters):
    @pytest.fixture
    def server(self):
        client = Counting(fake_redis()(), "execute_command")
        server = Server(lambda: RedisBoard("q", connect=lambda: client.service), client.one_read)
        server.make().read()  # loads the script
        return server


class TestInACache(ManyClusters):
    @pytest.fixture
    def server(self):
        cache = LocMemCache("many clusters", {"OPTIONS": {"MAX_ENTRIES": 10_000}})
        cache.clear()
        counting = Counting(cache, "get_many")
        return Server(lambda: CacheBoard("q", cache), counting.one_read)


class TestInATable(ManyClusters):
    @pytest.fixture
    def server(self, live_database):
        @contextmanager
        def one_read():
            with CaptureQueriesContext(connections[live_database]) as queries:
                yield
            assert [query["sql"].split()[0] for query in queries] == ["SELECT"]

        around = {"alias": live_database, "host_clock": SystemClock()}
        return Server(lambda: DatabaseBoard("q", **around), one_read)
