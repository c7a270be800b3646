"""Time limits: a run that overruns is ended in time, whoever set the limit."""

from __future__ import annotations

import time

import pytest

from djq.tasks import async_task, fetch
from tests.cluster import tasks

GRACE_SECONDS = 0.3


@pytest.mark.parametrize(
    ("of_cluster", "of_tasks", "limits"),
    [
        (None, [0.3, 1.3], [0.3, 1.3]),
        (0.3, [None, 1.3], [0.3, 1.3]),
        (1.3, [0.3, None], [0.3, 1.3]),
    ],
)
def test_runs_are_ended_at_their_limits(make_project, of_cluster, of_tasks, limits):
    # A long guard_cycle: limits are kept by their own time, not by that of the statistics.
    project = make_project("sqlite", timeout=of_cluster, retry=90, workers=2, guard_cycle=20)
    cluster = project.start()

    ids = []
    for number, limit in enumerate(of_tasks):
        options = {} if limit is None else {"timeout": limit}
        ids.append(async_task(tasks.heartbeat, project.file(f"beats-{number}"), **options))

    for number, (id, limit) in enumerate(zip(ids, limits, strict=True)):
        task = fetch(id, wait=10_000)
        known = time.monotonic()
        assert task is not None, cluster.tail()
        assert (task.success, task.attempts) == (False, 1)
        assert task.result == f"TaskTimedOut: timed out after {limit:g} s"
        beats = [float(line) for line in project.lines(f"beats-{number}")]
        assert limit - 0.1 <= beats[-1] - beats[0] <= limit + GRACE_SECONDS
        assert known - beats[0] <= limit + GRACE_SECONDS
    cluster.wait_until_full(2)
    assert cluster.stop() == 0


def test_limit_bounds_the_run_and_not_the_wait_in_the_queue(make_project):
    project = make_project("sqlite", workers=1)
    ids = [async_task(tasks.nap, 0.3, timeout=0.6) for _ in range(4)]
    cluster = project.start()

    found = [fetch(id, wait=10_000) for id in ids]

    assert [task.result for task in found] == [0.3] * 4, cluster.tail()
    assert cluster.stop() == 0


def test_overrun_ends_no_other_task(make_project):
    project = make_project("sqlite", workers=2)
    cluster = project.start()
    slow = async_task(tasks.heartbeat, project.file("beats"), timeout=0.5)
    others = [async_task(tasks.note, project.file("runs"), n, 0.05) for n in range(30)]

    found = [fetch(id, wait=10_000) for id in (slow, *others)]

    assert [task.success for task in found] == [False] + [True] * 30, cluster.tail()
    assert len(project.lines("runs")) == 30
    assert cluster.stop() == 0
