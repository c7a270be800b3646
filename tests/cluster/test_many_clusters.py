"""Several clusters on one queue; databases that everybody writes to, and that hang up."""

from __future__ import annotations

import os
import signal
import time

from django.db import connections

from djq.brokers import get_broker
from djq.models import Schedule, Task
from djq.runtime.scope import IDLE_SECONDS
from djq.tasks import async_task, fetch
from tests.cluster import tasks
from tests.cluster.harness import ALIAS, MANAGE, on, wait_until

TASKS = 300


REPORTS = """
import project_settings
project_settings.Q_CLUSTER["name"] = "reports"
"""


def test_task_for_another_queue_is_run_by_that_queue_s_cluster(make_project):
    project = make_project(workers=1)
    (project.folder / "reports.py").write_text(REPORTS + MANAGE)
    clusters = [project.start(), project.start(program="reports.py")]
    hooks = project.file("hooks")

    id = async_task(tasks.title, broker=get_broker("reports"), hook=tasks.hook, group=hooks)
    task = fetch(id, wait=5_000)
    own = fetch(async_task(tasks.title), wait=5_000)

    assert task is not None, project.tails()
    assert task.result == "djq worker [reports]"
    assert own.result == f"djq worker [{project.name}]"
    wait_until(lambda: project.lines("hooks"), 5, "the hook", project.tails)
    assert [cluster.stop() for cluster in clusters] == [0, 0]


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


def test_task_longer_than_its_lease_runs_once(make_project):
    """While its cluster lives the lease is renewed, and no other cluster is given the task."""
    project = make_project(workers=1, retry=1)
    clusters = [project.start(), project.start()]

    async_task(tasks.note, project.file("runs"), "long", 2)
    project.wait_for_outcomes(1, 10)

    assert len(project.lines("runs")) == 1
    assert Task.objects.get().attempts == 1
    assert [cluster.stop() for cluster in clusters] == [0, 0]


@on("postgres")
def test_what_a_dead_cluster_held_is_run_by_another(make_project, kind):
    project = make_project(kind, workers=2, retry=2)
    doomed, heir = project.start(), project.start()
    for number in range(20):
        async_task(tasks.note, project.file("runs"), number, 0.2)
    wait_until(lambda: len(project.lines("runs")) > 4, 5, "running tasks", doomed.tail)

    os.killpg(doomed.pid, signal.SIGKILL)

    assert doomed.wait_for_exit(1) == -signal.SIGKILL
    before = [int(line.split()[0]) for line in project.lines("runs")]
    saved = {task.args[1] for task in Task.objects.all()}
    project.wait_for_outcomes(20, 10)
    assert Task.objects.filter(success=True).count() == 20
    after = [int(line.split()[0]) for line in project.lines("runs")][len(before) :]
    again = set(before) & set(after)
    assert again, "what ran when the cluster died runs again"
    assert not again & saved, "what had been saved does not"
    assert len(after) == len(set(after))
    assert heir.stop() == 0


def test_nobody_is_told_that_a_default_sqlite_database_is_locked(make_project):
    project = make_project("sqlite-defaults", workers=4)
    cluster = project.start()

    for number in range(TASKS):
        async_task(tasks.write_rows, number)
    project.wait_for_outcomes(TASKS, 40)

    assert [line for line in cluster.log_lines() if "locked" in line] == []
    assert Task.objects.filter(success=False).count() == 0
    assert Schedule.objects.filter(hook="written").count() == TASKS
    assert cluster.stop() == 0


@on("postgres", "postgres-pool", "mariadb")
def test_connections_that_the_server_ended_cost_no_task(make_project, kind):
    project = make_project(kind, workers=1)
    cluster = project.start()
    before = fetch(async_task(tasks.count_rows), wait=5_000)

    end_other_sessions(kind)
    time.sleep(IDLE_SECONDS + 0.1)
    after = fetch(async_task(tasks.count_rows), wait=10_000)

    assert after is not None, cluster.tail()
    assert after.success, after.result
    assert after.result == before.result, "the same worker, with a new connection"
    assert cluster.stop() == 0


def end_other_sessions(kind):
    """What a restarted server does to its clients."""
    with connections[ALIAS].cursor() as cursor:
        if kind != "mariadb":
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return
        cursor.execute(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (id,) in cursor.fetchall():
            cursor.execute(f"KILL {id}")


def test_a_task_waits_for_tasks_of_its_own(make_project):
    """None of them lies behind it for good, although all before it were short."""
    project = make_project(workers=2, poll=0.01)
    cluster = project.start()
    for number in range(300):
        async_task(tasks.noop, number)
    project.wait_for_outcomes(300, 15)

    parents = [async_task(tasks.wait_for_children, 60)]

    assert fetch(parents[0], wait=15_000).result == 60, cluster.tail()
    assert cluster.stop() == 0


def test_short_tasks_do_not_wait_behind_a_long_one(make_project):
    project = make_project(workers=2)
    cluster = project.start()
    for number in range(300):
        async_task(tasks.noop, number)
    project.wait_for_outcomes(300, 15)

    long = async_task(tasks.wait_for_file, project.file("end"))
    for number in range(300):
        async_task(tasks.noop, number)
    project.wait_for_outcomes(600, 5)

    assert fetch(long) is None
    (project.folder / "end").touch()
    assert fetch(long, wait=5_000).success
    assert cluster.stop() == 0


@on("postgres")
def test_leases_are_renewed_while_the_results_cannot_be_saved(make_project, kind):
    project = make_project(kind, workers=1, retry=1)
    cluster = project.start()
    async_task(tasks.note, project.file("runs"), "long", 0.5)
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE djq_task IN SHARE MODE")
        wait_until(lambda: project.lines("runs"), 10, "the task runs", cluster.tail)
        time.sleep(2.5)
        cursor.execute("ROLLBACK")
    project.wait_for_outcomes(1, 10)

    assert len(project.lines("runs")) == 1, cluster.tail()
    assert Task.objects.get().attempts == 1
    assert cluster.stop() == 0
