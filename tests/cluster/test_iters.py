"""Iters over two clusters whose monitors are killed: every one is complete, in order, and counted once."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest
from django.core.cache import caches
from django.core.management import call_command

from djq.models import IterElement, Task
from djq.tasks import async_iter, count_group, fetch, fetch_group
from tests.caches import REDIS_CACHES, REDIS_URL, redis_prefix
from tests.cluster.harness import ALIAS, marks_of, wait_until

pytestmark = pytest.mark.thorough

ITERS = int(os.environ.get("DJQ_TEST_ITERS", "12"))
ELEMENTS = 200
ITERS_A_KILL = 6
KILL_EVERY_SECONDS = 1.0
SECONDS_MAX = 60


@pytest.fixture
def redis_cache():
    with redis_prefix() as prefix:
        yield {
            "default": {
                "BACKEND": REDIS_CACHES["django-redis"],
                "LOCATION": REDIS_URL,
                "KEY_PREFIX": prefix,
            }
        }
        caches.close_all()


@pytest.fixture
def database_cache():
    return {
        "default": {
            "BACKEND": "django.core.cache.backends.db.DatabaseCache",
            "LOCATION": "cached_results",
            "OPTIONS": {"MAX_ENTRIES": 1_000_000},
        }
    }


class Killer:
    """Kills the monitor of one cluster or another."""

    def __init__(self, clusters):
        self._clusters = clusters
        self._rng = random.Random(7)
        self.killed = 0

    def strike(self):
        cluster = self._rng.choice(self._clusters)
        victims = wait_until(
            lambda: cluster.pids("monitor"), SECONDS_MAX, "a monitor", cluster.tail
        )
        os.kill(victims[-1], signal.SIGKILL)
        self.killed += 1

    def strike_until(self, condition, log):
        end = time.monotonic() + SECONDS_MAX
        while not condition():
            assert time.monotonic() < end, log()
            self.strike()
            time.sleep(KILL_EVERY_SECONDS)


def numbers(which):
    """The elements of the iter with this number."""
    return range(which * ELEMENTS, (which + 1) * ELEMENTS)


def assert_every_iter_is_complete(project, cached):
    clusters = [project.start() for _ in range(2)]
    killer = Killer(clusters)
    ids = []
    for which in range(ITERS):
        squares = (number * number for number in numbers(which))
        ids.append(async_iter("math.sqrt", squares, group="all", cached=cached))
        if which % ITERS_A_KILL == 0:
            killer.strike()
    killer.strike_until(lambda: count_group("all", cached=cached) == ITERS, project.tails)

    tasks = [fetch(id, cached=cached) for id in ids]
    assert [task.success for task in tasks] == [True] * ITERS
    assert [task.result for task in tasks] == [list(map(float, numbers(n))) for n in range(ITERS)]
    assert [task.id for task in fetch_group("all", cached=cached)] == ids
    wait_until(lambda: not project.queued(), SECONDS_MAX, "an empty queue", project.tails)
    assert count_group("all", cached=cached) == ITERS
    assert (Task.objects.count(), IterElement.objects.count()) == (0 if cached else ITERS, 0)
    assert killer.killed >= ITERS // ITERS_A_KILL
    assert [cluster.stop() for cluster in clusters] == [0, 0]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kind", [pytest.param("postgres", marks=marks_of("postgres"))])
def test_iters_with_a_redis_cache(make_project, redis_cache, kind, cached):
    assert_every_iter_is_complete(make_project(kind, caches=redis_cache, retry=2), cached)


@pytest.mark.parametrize("kind", [pytest.param("postgres", marks=marks_of("postgres"))])
def test_iters_with_a_cache_in_the_database(make_project, database_cache, kind):
    project = make_project(kind, caches=database_cache, retry=2)
    call_command("createcachetable", "cached_results", database=ALIAS, verbosity=0)

    assert_every_iter_is_complete(project, cached=True)
