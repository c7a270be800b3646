"""Metrics of real clusters, served by `qmetrics` to whoever scrapes it over loopback."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
import urllib.request
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from djq.tasks import async_task
from tests.cluster import tasks
from tests.cluster.harness import RunningCluster, wait_until

SERVED = re.compile(r"http://127\.0\.0\.1:\d+/metrics")
NAP, SEGFAULT = "tests.cluster.tasks.nap", "tests.cluster.tasks.segfault"
AT_ONCE_SECONDS = 3
"""Less than the 5 seconds that a look may take."""


def in_files(folder):
    """A cache that processes share, and no server is needed for."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    return {"default": {"BACKEND": backend, "LOCATION": str(folder / "cache")}}


def serve(project, *arguments):
    """Start `qmetrics`; gives it and its address."""
    command = RunningCluster(project, ["manage.py", "qmetrics", "--port=0", *arguments])
    project.clusters.append(command)
    command.wait_for_line("Ctrl-C ends this.", 20)
    return command, SERVED.search(command.log).group()


def scrape(url):
    """All samples; what stands for one cluster is told by its name and the labels that are left."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        text = answer.read().decode()
    return {
        (sample.name, *sorted(set(sample.labels.values()) - {sample.labels.get("queue")})): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_tells_what_a_cluster_did_and_its_sums_outlive_its_sentinel(
    make_project, tmp_path
):
    project = make_project(caches=in_files(tmp_path), guard_cycle=0.1, max_attempts=1)
    cluster = project.start()
    command, url = serve(project)
    host, id = os.uname().nodename, str(cluster.pid)
    for seconds in (0, 0.15, 0.15):
        async_task(tasks.nap, seconds)
    async_task(tasks.segfault)
    async_task(tasks.nap, 60, timeout=0.2)
    async_task(tasks.nap, "no number")
    project.wait_for_outcomes(6, 20)

    def told(name, *labels):
        return found.get((name, *sorted([host, id, *labels])))

    def is_complete():
        nonlocal found
        found = scrape(url)
        return told("djq_tasks_total", NAP, "succeeded") == 3 and (
            told("djq_tasks_total", NAP, "failed") == 2
        )

    found = {}
    wait_until(is_complete, 5, "the sums of all tasks", project.tails)
    assert told("djq_tasks_total", SEGFAULT, "failed") == 1
    assert told("djq_task_duration_seconds_count", NAP) == 5
    assert told("djq_task_duration_seconds_bucket", NAP, "0.1") <= 2
    assert 0.5 <= told("djq_task_duration_seconds_sum", NAP) < 10
    assert told("djq_restarts_total", "timeout") == told("djq_restarts_total", "death") == 1
    assert found["djq_queue_size",] == found["djq_queue_oldest_age_seconds",] == 0
    assert found["djq_up", "queue"] == found["djq_up", "clusters"] == 1
    wait_until(
        lambda: scrape(url).get(("djq_workers", *sorted([host, id]))) == 2, 5, "both workers"
    )

    os.kill(cluster.pids("sentinel")[0], signal.SIGKILL)
    cluster.wait_for_line("guarding cluster", 10, count=2)
    async_task(tasks.nap, 0)
    wait_until(
        lambda: scrape(url).get(("djq_tasks_total", *sorted([host, id, NAP, "succeeded"]))) == 4,
        10,
        "one more after the sentinel died",
        project.tails,
    )
    found = scrape(url)
    assert told("djq_restarts_total", "death") + told("djq_restarts_total", "start") == 2
    assert told("djq_tasks_total", SEGFAULT, "failed") == 1

    assert cluster.stop() == 0
    command.signal(signal.SIGTERM)
    assert command.wait_for_exit(AT_ONCE_SECONDS) == 0


def test_ctrl_c_ends_it_at_once_though_its_queue_does_not_answer(make_project):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        project = make_project(orm=None, redis={"host": "127.0.0.1", "port": port})
        command, url = serve(project)
        address = urlsplit(url)
        with closing(HTTPConnection(address.hostname, address.port, timeout=20)) as client:
            client.request("GET", address.path)
            with closing(silent.accept()[0]):
                began = time.monotonic()
                command.signal(signal.SIGINT)

                assert command.wait_for_exit(AT_ONCE_SECONDS) == 0
                assert time.monotonic() - began < AT_ONCE_SECONDS
                with pytest.raises(ConnectionError):
                    client.getresponse()
    assert "Traceback" not in command.log
