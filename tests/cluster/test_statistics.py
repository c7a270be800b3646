"""Real clusters as other processes see them: in Redis, a cache or a table, and gone when killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import time
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
TELL = """
import json
from djq.monitor import Stat

print(json.dumps([
    [stat.cluster_id, stat.status, task.name, task.func, task.worker]
    for stat in Stat.get_all()
    for task in stat.running
]))
"""
"""A program of the project that tells of what runs."""
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


@pytest.mark.parametrize(
    "kind",
    [
        "sqlite-defaults",
        *[
            pytest.param(kind, marks=[*marks_of(kind), pytest.mark.thorough])
            for kind in ("postgres-pool", "mariadb")
        ],
    ],
)
def test_clusters_without_a_shared_cache_are_seen_in_a_table(make_project, kind):
    project = make_project(kind, guard_cycle=0.2)

    are_seen_and_go(project)


def test_another_process_sees_what_runs_on_the_embedded_default_and_then_nothing(make_project):
    project = make_project("sqlite-defaults", guard_cycle=0.2)
    cluster = project.start()
    task_id = async_task(tasks.wait_for_file, project.file("go on"), task_name="the running one")
    wait_until(lambda: any(stat.running for stat in Stat.get_all()), 5, "a task", cluster.tail)
    workers = cluster.pids("worker")

    told = json.loads(project.script(TELL))
    (project.folder / "go on").touch()
    assert fetch(task_id, wait=10_000).success
    assert cluster.stop() == 0
    wait_until(lambda: Stat.get_all() == [], EXPIRY_SECONDS + 2, "its end", cluster.tail)
    later = json.loads(project.script(TELL).splitlines()[-1])

    ((*rest, worker),) = told
    assert rest == [cluster.pid, "Working", "the running one", "tests.cluster.tasks.wait_for_file"]
    assert worker in workers
    assert later == []
    assert AWAY not in cluster.log


def test_a_sqlite_file_that_is_locked_keeps_no_cluster_from_its_signals(make_project):
    project = make_project("sqlite-defaults", guard_cycle=0.2)
    cluster = project.start()
    wait_until(are_all("Idle", 1), 5, "an idle cluster", cluster.tail)

    with closing(sqlite3.connect(project.file("db.sqlite3"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        cluster.wait_for_line(AWAY, 5)
        began = time.monotonic()
        cluster.signal()
        cluster.wait_for_line("stopping.", 2)
        took = time.monotonic() - began
        other.execute("ROLLBACK")

    assert cluster.wait_for_exit(10) == 0
    assert took < 2
    assert cluster.log.count(AWAY) == 1


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
