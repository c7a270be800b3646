"""An idle cluster on PostgreSQL starts a task at once, and asks for hardly anything meanwhile."""

from __future__ import annotations

import statistics
import time

import pytest
from django.db import transaction

from djq.tasks import async_task
from tests import settings
from tests.cluster import tasks
from tests.cluster.harness import ALIAS, marks_of, wait_until
from tests.cluster.proxy import Proxy

TASKS = 10
IDLE_SECONDS = 2.0
BEST_SECONDS_MAX = 0.05
"""A machine with nothing else to do needs some milliseconds; those of the tests have a lot."""
MEDIAN_SECONDS_MAX = 0.25
"""A cluster that nobody woke would look once a second: half a second, as a rule."""


@pytest.fixture
def proxy():
    server = settings.SERVERS["postgres"]
    proxy = Proxy(server["HOST"], int(server["PORT"]))
    yield proxy
    proxy.close()


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        pytest.param("postgres", (), id="processes", marks=marks_of("postgres")),
        pytest.param("postgres-pool", ("--threads",), id="threads", marks=marks_of("postgres")),
    ],
)
def test_idle_cluster_starts_a_task_at_once_and_asks_for_little(
    make_project, proxy, kind, arguments
):
    project = make_project(kind, port=proxy.port, poll=5)
    cluster = project.start(*arguments)
    file = project.file("runs")

    delays = []
    for number in range(TASKS):
        with transaction.atomic(using=ALIAS):
            async_task(tasks.tell, file, 0)
            sent_at = time.monotonic()
        wait_until(lambda: tasks.count(file) > number, 10, "a run", cluster.tail)  # noqa: B023
        delays.append(float(project.lines("runs")[-1].split()[0]) - sent_at)
        project.wait_for_outcomes(number + 1, 5)
    asked = proxy.asked
    time.sleep(IDLE_SECONDS)
    idle = (proxy.asked - asked) / IDLE_SECONDS

    figures = f"{min(delays):.4f} s at best, {statistics.median(delays):.4f} s as a rule"
    print(f"\nfrom the commit to the task: {figures}; {idle} questions a second when idle")  # noqa: T201
    assert min(delays) < BEST_SECONDS_MAX
    assert statistics.median(delays) < MEDIAN_SECONDS_MAX
    assert idle <= 3, "the pusher's, and the picture of the cluster"
    assert cluster.stop() == 0
