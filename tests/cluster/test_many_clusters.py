"""Several clusters on one queue, and a database that everybody writes to at once."""

from __future__ import annotations

import pytest

from djq.models import Schedule, Task
from djq.tasks import async_task
from tests.cluster import tasks
from tests.cluster.harness import on

TASKS = 500


@on("sqlite", "postgres")
def test_two_clusters_run_each_task_once(make_project, kind):
    project = make_project(kind, workers=2)
    clusters = [project.start(), project.start()]
    runs = project.file("runs")

    for number in range(TASKS):
        async_task(tasks.note, runs, number, 0.002)
    project.wait_for_outcomes(TASKS, 30)

    lines = [line.split() for line in project.lines("runs")]
    assert sorted(int(number) for number, _pid in lines) == list(range(TASKS))
    assert len({pid for _number, pid in lines}) == 4, "both clusters' workers take part"
    assert Task.objects.filter(success=True, attempts=1).count() == TASKS
    assert [cluster.stop() for cluster in clusters] == [0, 0]


@pytest.mark.parametrize("workers", [4])
def test_nobody_is_told_that_a_default_sqlite_database_is_locked(make_project, workers):
    project = make_project("sqlite-defaults", workers=workers)
    cluster = project.start()

    for number in range(TASKS - 100):
        async_task(tasks.write_rows, number)
    project.wait_for_outcomes(TASKS - 100, 40)

    assert [line for line in cluster.log_lines() if "locked" in line] == []
    assert Task.objects.filter(success=False).count() == 0
    assert Schedule.objects.filter(hook="written").count() == TASKS - 100
    assert cluster.stop() == 0
