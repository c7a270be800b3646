"""Real clusters as other processes see them: in Redis, in a cache, and gone after they were killed."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing

import pytest
from django.core.cache import caches
from django.core.management import call_command
from redis.connection import parse_url

from djq import assembly
from djq.core.events import ServiceAway, ServiceBack
from djq.monitor import Stat
from djq.signals import line_of
from djq.tasks import async_task, fetch
from tests.caches import REDIS_CACHES, REDIS_URL
from tests.cluster import tasks
from tests.cluster.harness import ALIAS, marks_of, wait_until
from tests.cluster.proxy import Proxy

IN_DATABASE = {
    "default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "stats"}
}
EXPIRY_SECONDS = 3
AWAY = line_of(ServiceAway("board of the statistics", ""))[1]
BACK = line_of(ServiceBack("board of the statistics"))[1]


def are_seen_and_go(project):
    killed, stopped = project.start(), project.start("--threads")

    seen = wait_until(are_all("Idle", 2), 5, "two idle clusters", project.tails)

    assert {stat.cluster_id for stat in seen} == {killed.pid, stopped.pid}
    assert {stat.host for stat in seen} == {socket.gethostname()}
    stat = Stat.get(killed.pid)
    assert sorted(stat.workers) == killed.pids("worker")
    assert [stat.sentinel, stat.monitor, stat.pusher] == [
        killed.pids(role)[0] for role in ("sentinel", "monitor", "pusher")
    ]
    assert 0 < stat.uptime() < 30
    os.kill(stat.sentinel, signal.SIGKILL)
    wait_until(
        lambda: (new := Stat.get(killed.pid)).status == "Idle" and new.sentinel != stat.sentinel,
        5,
        "a new sentinel",
        killed.tail,
    )
    os.kill(killed.pid, signal.SIGKILL)
    assert stopped.stop() == 0
    assert Stat.get(stopped.pid).status == "Stopped"
    wait_until(lambda: Stat.get_all() == [], EXPIRY_SECONDS + 2, "the end of both", project.tails)


def are_all(status, count):
    def look():
        stats = Stat.get_all()
        return stats if [stat.status for stat in stats] == [status] * count else None

    return look


@pytest.mark.usefixtures("redis_name")
@pytest.mark.parametrize("receipts", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_clusters_on_redis_are_seen_in_redis(make_project, receipts):
    redis = {"url": REDIS_URL, "receipts": receipts}
    project = make_project(orm=None, redis=redis, guard_cycle=0.2)

    are_seen_and_go(project)

    assembly.broker_of_this_thread().close()
    assembly.board_of_this_thread().close()


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("sqlite", marks=pytest.mark.thorough),
        pytest.param("postgres", marks=marks_of("postgres")),
    ],
)
def test_clusters_are_seen_in_a_cache_in_the_database(make_project, kind):
    project = make_project(kind, caches=IN_DATABASE, guard_cycle=0.2)
    call_command("createcachetable", "stats", database=ALIAS, verbosity=0)

    are_seen_and_go(project)


def test_a_cache_that_hangs_keeps_no_cluster_from_its_work_nor_from_its_signals(
    make_project, redis_name
):
    server = parse_url(REDIS_URL)
    with closing(Proxy(server["host"], server["port"])) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/{server.get('db', 0)}"
        cache = {"BACKEND": REDIS_CACHES["redis"], "LOCATION": url, "KEY_PREFIX": redis_name}
        project = make_project(caches={"default": cache}, guard_cycle=0.2)
        cluster = project.start()
        wait_until(are_all("Idle", 1), 5, "an idle cluster", cluster.tail)

        proxy.cut("stall")
        cluster.wait_for_line(AWAY, 5)
        assert fetch(async_task(tasks.nap, 0), wait=5_000).success
        proxy.mend()
        cluster.wait_for_line(BACK, 5)
        proxy.cut("stall")
        wait_until(lambda: proxy.holds_some, 5, "a cluster that waits", cluster.tail)
        cluster.signal()
        cluster.wait_for_line("stopping.", 2)

        assert cluster.wait_for_exit(5) == 0
        assert cluster.log.count(AWAY) <= 2
        caches.close_all()
