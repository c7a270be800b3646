"""Workers that are replaced on purpose: each task in a fresh process, and no idle seat for it."""

from __future__ import annotations

import time

from djq.models import Task
from djq.tasks import async_task, fetch
from tests.cluster import tasks

TASKS = 50
RATE_MIN = 8.0
"""Tasks a second with one worker and recycle=1; the predecessor did 2."""


def test_each_task_gets_a_fresh_worker_without_a_pause(make_project):
    project = make_project("sqlite", workers=1, recycle=1)
    for number in range(TASKS):
        async_task(tasks.note, project.file("runs"), number)
    cluster = project.start()
    began = time.monotonic()

    project.wait_for_outcomes(TASKS, 20)
    seconds = time.monotonic() - began

    pids = [line.split()[1] for line in project.lines("runs")]
    assert len(pids) == len(set(pids)) == TASKS
    assert TASKS / seconds > RATE_MIN
    cluster.wait_until_full(2)
    assert cluster.stop() == 0


def test_one_worker_never_runs_two_tasks_at_a_time(make_project):
    project = make_project("sqlite", workers=1, recycle=2)
    for number in range(20):
        async_task(tasks.note_span, project.file("spans"), number, 0.02)
    cluster = project.start()

    project.wait_for_outcomes(20, 20)

    spans = [line.split() for line in project.lines("spans")]
    # Appended as they happen: each beginning is followed by its own end.
    pairs = list(zip(spans[::2], spans[1::2], strict=True))
    assert all(a[1] == "begin" and b[1] == "end" and a[0] == b[0] for a, b in pairs), spans
    assert cluster.stop() == 0


def test_worker_over_max_rss_is_replaced_after_its_task(make_project):
    project = make_project("sqlite", workers=1, max_rss=150)
    cluster = project.start()

    bloated = fetch(async_task(tasks.grow, 200), wait=10_000).result
    cluster.wait_for_line("MiB of memory in use", 5)
    slim = [fetch(async_task(tasks.grow, 1), wait=10_000).result for _ in range(3)]

    assert len(set(slim)) == 1, "a worker that is not bloated stays"
    assert slim[0] != bloated
    assert Task.objects.filter(success=True).count() == 4
    cluster.wait_until_full(2)
    assert cluster.stop() == 0
