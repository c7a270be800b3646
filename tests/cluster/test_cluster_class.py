"""The documented `Cluster` class in a program of one's own, and what its processes are like."""

from __future__ import annotations

import json
import time

import psutil
import pytest

from djq.models import Task
from djq.tasks import async_task, fetch
from tests.cluster import tasks
from tests.cluster.harness import on, wait_until

LIFE = """
import json, os, time
import psutil
from djq.cluster import Cluster
from djq.tasks import async_task, fetch

said = {}

def look(name):
    stat = cluster.stat
    said[name] = {
        "status": stat.status,
        "called": cluster.stat().status,
        "flags": [cluster.is_starting, cluster.is_running, cluster.is_stopping, cluster.has_stopped],
        "events": [cluster.start_event.is_set(), cluster.stop_event.is_set()],
    }

cluster = Cluster()
look("new")
said["pid"] = [cluster.start() == os.getpid(), cluster.pid == os.getpid()]
look("running")
stat = cluster.stat
said["roles"] = {
    "sentinel": psutil.Process(stat.sentinel).cmdline()[0],
    "monitor": psutil.Process(stat.monitor).cmdline()[0],
    "pusher": psutil.Process(stat.pusher).cmdline()[0],
    "workers": [psutil.Process(pid).cmdline()[0] for pid in stat.workers],
}
said["sentinel"] = cluster.sentinel.pid == stat.sentinel and cluster.sentinel.is_running()
said["host"] = cluster.host == stat.host == os.uname().nodename
said["timeout"] = cluster.timeout
said["uptime"] = 0 < stat.uptime() < 20
said["result"] = fetch(async_task("tests.cluster.tasks.nap", 0.01), wait=5000).result
said["stops"] = [cluster.stop()]
look("stopped")
said["stops"].append(cluster.stop())
said["exit_code"] = cluster.exit_code
said["sentinel_after"] = cluster.sentinel
said["children"] = len(psutil.Process().children(recursive=True))
cluster.start()
look("restarted")
said["second"] = fetch(async_task("tests.cluster.tasks.nap", 0.02), wait=5000).result
cluster.stop_event.set()
look("told")
while not cluster.has_stopped:
    time.sleep(0.01)
look("over")
print(json.dumps(said))
"""


def test_cluster_lives_as_documented_in_a_program_of_its_own(make_project):
    project = make_project(timeout=30, retry=60)

    said = json.loads(project.script(LIFE))

    assert said["new"] == _picture("Stopped", flags=[0, 0, 0, 0], events=[0, 0])
    assert said["pid"] == [True, True]
    assert said["running"] == _picture("Idle", flags=[0, 1, 0, 0], events=[1, 0])
    assert said["roles"] == {
        "sentinel": f"djq sentinel [{project.name}]",
        "monitor": f"djq monitor [{project.name}]",
        "pusher": f"djq pusher [{project.name}]",
        "workers": [f"djq worker [{project.name}]"] * 2,
    }
    assert (said["sentinel"], said["host"], said["uptime"]) == (True, True, True)
    assert (said["timeout"], said["result"]) == (30, 0.01)
    assert (said["stops"], said["exit_code"]) == ([True, False], 0)
    assert said["stopped"] == _picture("Stopped", flags=[0, 0, 0, 1], events=[1, 1])
    assert (said["sentinel_after"], said["children"]) == (None, 0)
    assert said["restarted"]["flags"] == [False, True, False, False]
    assert said["second"] == 0.02
    assert said["told"]["flags"][2:] == [True, False]
    assert said["over"] == _picture("Stopped", flags=[0, 0, 0, 1], events=[1, 1])


def _picture(status, flags, events):
    return {
        "status": status,
        "called": status,
        "flags": [bool(flag) for flag in flags],
        "events": [bool(event) for event in events],
    }


POOLED = """
from django.db import connection
from djq.cluster import Cluster
from djq.models import Task
from djq.tasks import async_task, fetch

before = Task.objects.count()
cluster = Cluster()
cluster.start()
ids = [async_task("tests.cluster.tasks.count_rows") for _ in range(20)]
tasks = [fetch(id, wait=10_000) for id in ids]
cluster.stop()
print(before, sum(task.success for task in tasks), Task.objects.count(), cluster.exit_code)
connection.close_pool()
"""


@on("postgres-pool")
def test_program_that_has_a_connection_pool_may_run_a_cluster(make_project, kind):
    """The pool's threads and sockets are no good to the cluster's processes."""
    project = make_project(kind)

    assert project.script(POOLED) == "0 20 20 0\n"


def test_run_once_works_off_the_queue_and_what_follows_from_it(make_project):
    project = make_project()
    for number in range(30):
        async_task(tasks.note, project.file("runs"), number, 0.005)
    async_task(tasks.enqueue_more, project.file("chain"), 5)
    async_task(tasks.noop, hook=tasks.hook, group=project.file("hooks"))

    cluster = project.start("--run-once", ready="starting.")

    assert cluster.wait_for_exit(15) == 0, cluster.tail()
    assert len(project.lines("runs")) == 30
    assert project.lines("chain") == ["5", "4", "3", "2", "1", "0"]
    assert len(project.lines("hooks")) == 1
    assert Task.objects.filter(success=True).count() == 30 + 6 + 1
    assert project.queued() == 0


@pytest.mark.skipif(
    not hasattr(psutil.Process, "cpu_affinity"), reason="no affinity on this system"
)
def test_respawned_workers_keep_the_affinity_of_their_seat(make_project):
    processors = sorted(psutil.Process().cpu_affinity())
    if len(processors) < 2:
        pytest.skip("one processor has nothing to choose from")
    project = make_project(workers=2, cpu_affinity=1)
    cluster = project.start()

    before = _affinities(cluster)
    for pid in cluster.pids("worker"):
        psutil.Process(pid).kill()
    wait_until(lambda: len(set(_affinities(cluster)) - set(before)) == 2, 5, "two new workers")
    after = _affinities(cluster)

    assert sorted(before.values()) == sorted(after.values()) == [[processors[0]], [processors[1]]]
    assert cluster.stop() == 0


def _affinities(cluster):
    """The processors of each worker that is ready for work."""
    ready = [pid for pid in cluster.pids("worker") if f"ready for work at {pid}\n" in cluster.log]
    found = {}
    for pid in ready:
        try:
            found[pid] = psutil.Process(pid).cpu_affinity()
        except psutil.NoSuchProcess:
            continue
    return found


def test_tasks_may_start_programs_and_processes(make_project):
    cluster = make_project().start()

    program = fetch(async_task(tasks.use_subprocess), wait=10_000)
    pool = fetch(async_task(tasks.use_pool), wait=10_000)

    assert program.result == "True", "a program that a task starts can be ended by SIGTERM"
    assert pool.result == [(n * n, True) for n in range(4)], cluster.tail()
    cluster.wait_until_full(2)
    assert cluster.stop() == 0


def test_workers_draw_different_random_numbers(make_project):
    project = make_project(workers=3, recycle=2)
    cluster = project.start()

    ids = [async_task(tasks.chance, 0) for _ in range(20)]
    numbers = [fetch(id, wait=5000).result for id in ids]

    assert len(set(numbers)) == 20
    assert cluster.stop() == 0


def test_idle_cluster_costs_nearly_nothing(make_project):
    """It sleeps on its links: no process turns round and round while there is nothing to do."""
    cluster = make_project(poll=0.2).start()
    wait_until(lambda: _share_of_a_processor(cluster) < 0.1, 5, "an idle cluster", cluster.tail)

    assert cluster.stop() == 0


def _share_of_a_processor(cluster):
    """What all processes use together, measured over half a second."""
    seconds = 0.5
    processes = cluster.descendants()
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    time.sleep(seconds)
    return (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / seconds
