"""Overviews for tests of what is shown: one with everything in it, and clusters for others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

from djq import overview
from djq.exceptions import BoardUnavailable
from djq.monitor import Count, FuncTotal, Restarts, Running, Stat, written

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

RUNNING = Running("a" * 32, "green-nine", "shop.tasks.report", 17006, NOON - HOUR, 2)
STAT = Stat(
    cluster_id=17000,
    host="orion",
    tob=NOON - 2 * HOUR,
    now=NOON,
    status="Working",
    sentinel=17005,
    monitor=17010,
    pusher=17011,
    workers=(17006, 17007),
    task_q_size=23,
    done_q_size=2,
    reincarnations=1,
    running=(RUNNING,),
    last_minute=Count(7, 1),
    last_hour=Count(70, 10),
    last_day=Count(700, 100),
    minutes=(Count(0, 0), Count(70, 10)),
    broker_away_since=NOON - HOUR,
    by_func=(FuncTotal("shop.tasks.report", 3, 1, 7.5, (0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0)),),
    restarts=Restarts(recycle=4, timeout=1),
)
FULL = overview.Overview(
    at=NOON,
    queue=overview.QueueNow(
        name="shop", broker="Redis 7.4", size=12, locked=None, oldest_seconds=31.5
    ),
    clusters=(STAT,),
    results=overview.Results(successes=1_000, failures=2),
    day=overview.Day(count=177, average_seconds=0.1612),
    failures=(
        overview.Failed(
            id="b" * 32,
            name="lima-lima",
            func="shop.tasks.pay",
            stopped=NOON - HOUR,
            attempts=1,
            traceback="ValueError: 7\n",
            reason="ValueError: 7",
        ),
    ),
    schedules=overview.Schedules(
        count=4, coming=(overview.Coming(id=3, name="", func="math.sqrt", at=NOON + HOUR),)
    ),
)


class Board:
    """A board with these clusters on it."""

    def __init__(self, *stats):
        self.texts = [written(stat) for stat in stats]

    def read(self):
        return self.texts


class SilentBoard:
    """One that nobody can read now."""

    def read(self):
        raise BoardUnavailable("no route\nto the board")


def cluster(cluster_id=17000, host="orion", status="Idle", **fields):
    """A cluster with no more than is said here."""
    return Stat(
        cluster_id=cluster_id, host=host, tob=NOON - HOUR, now=NOON, status=status, **fields
    )


def without(*parts, **why):
    """The full overview without these parts, and with reasons why others are away."""
    gone = dict.fromkeys([*parts, *why])
    return attrs.evolve(FULL, **gone, errors=why)
