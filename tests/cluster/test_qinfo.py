"""`qinfo` beside a real cluster, and with servers that are gone, or that say nothing."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from djq import assembly
from djq.tasks import async_task
from tests.caches import REDIS_URL
from tests.cluster import tasks
from tests.cluster.harness import LOCAL_CACHE, Project, wait_until
from tests.cluster.proxy import Proxy

BOUND_SECONDS = 6
"""Half a second for answers, a second for libraries to end; the rest is Python's start on a busy machine."""
SILENT = "no answer within 0.5 s"


def qinfo(project, *options):
    """Run it as a program: its exit code, its lines, its complaints."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "manage.py", "qinfo", *options],
        cwd=project.folder,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert time.monotonic() - began < BOUND_SECONDS
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def healthy(project):
    code, lines, _ = qinfo(project, "--health", "--here")
    return lines if code == 0 else None


@pytest.fixture
def proxy():
    parts = urlsplit(REDIS_URL)
    with closing(Proxy(parts.hostname, parts.port or 6379)) as proxy:
        yield proxy


@pytest.mark.usefixtures("redis_name")
def test_a_living_cluster_a_silent_broker_and_one_that_is_gone(make_project, proxy):
    # Nothing but qinfo's own limit ends a wait for this server.
    redis = {"host": "127.0.0.1", "port": proxy.port, "db": 9, "socket_timeout": None}
    project = make_project(orm=None, redis=redis, guard_cycle=0.2)
    cluster = project.start()
    async_task(tasks.noop)
    project.wait_for_outcomes(1, 10)

    here = f"{socket.gethostname()} {cluster.pid} Idle"
    lines = wait_until(lambda: healthy(project), 5, "a healthy cluster", cluster.tail)
    assert [lines[0], lines[2:]] == [
        f"cluster: ok, taking tasks: {here}",
        ["store: ok, results are kept", "age: ok, nothing waits"],
    ]
    assert lines[1].startswith(("broker: ok, Redis ", "broker: ok, Valkey "))
    assert qinfo(project, "--ids") == (0, [str(cluster.pid)], [])
    code, lines, _ = qinfo(project)
    assert code == 0
    assert lines[:3] == [
        "-- djq summary --",
        "Clusters\t1\tWorkers\t2\tRestarts\t0",
        "Queued\t0\tSuccesses\t1\tFailures\t0",
    ]
    assert lines[3].startswith("Schedules\t0\tTasks/day\t1.00\tAvg time\t0.")

    proxy.cut("stall")
    assert qinfo(project, "--timeout", "0.5", "--health") == (
        1,
        [
            f"cluster: unknown, {SILENT}",
            f"broker: failed, {SILENT}",
            f"store: unknown, {SILENT}",
            f"age: unknown, {SILENT}",
        ],
        [],
    )
    code, lines, _ = qinfo(project, "--timeout", "0.5")
    assert code == 3
    assert lines[1:3] == [
        "Clusters\t-\tWorkers\t-\tRestarts\t-",
        "Queued\t-\tSuccesses\t1\tFailures\t0",
    ]
    assert sorted(lines[-2:]) == [f"clusters: {SILENT}", f"queue: {SILENT}"]

    proxy.cut("drop")
    code, lines, _ = qinfo(project, "--health")
    assert code == 1
    assert lines[0].startswith("cluster: unknown, BoardUnavailable: ")
    assert lines[1].startswith("broker: failed, BrokerUnavailable: Redis did not serve the queue")

    assembly.broker_of_this_thread().close()


def test_a_database_that_says_nothing_ends_no_probe_late(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": silent.getsockname()[1],
            "NAME": "project",
            "USER": "postgres",
        }
        project = Project(tmp_path, "postgres", database, LOCAL_CACHE, {})

        code, lines, _ = qinfo(project, "--timeout", "0.5", "--health", "broker", "age")
        assert code == 1
        assert lines == [f"broker: failed, {SILENT}", f"age: unknown, {SILENT}"]
        code, lines, _ = qinfo(project, "--timeout", "0.5")
        assert code == 3
        assert lines[2:4] == [
            "Queued\t-\tSuccesses\t-\tFailures\t-",
            "Schedules\t-\tTasks/day\t-\tAvg time\t-",
        ]
