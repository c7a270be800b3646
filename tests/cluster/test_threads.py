"""The whole cluster as threads of one process: it does what the processes do, but for what threads cannot."""

from __future__ import annotations

import json
import signal
import time

import pytest
from django.utils import timezone

from djq.models import Schedule, Task
from djq.tasks import async_chain, async_task, fetch, schedule
from tests.cluster import tasks
from tests.cluster.harness import MANAGE, on, wait_until

PROMPT_SECONDS = 3.0

WITHOUT_FORK = """
import asyncio, multiprocessing, os, signal, socket, sys
import django.core.management, django.db.models, psutil
# What Windows lacks of what djq uses; Python's own modules, which have it both ways, are loaded.
for module, names in {
    os: ("fork", "register_at_fork", "waitpid", "WNOHANG", "getpgid", "getpgrp", "pidfd_open",
         "sched_getaffinity", "getsid", "waitid", "kill"),
    signal: ("SIGKILL", "SIGCHLD", "SIGHUP", "pidfd_send_signal"),
    socket: ("AF_UNIX", "SOCK_SEQPACKET", "MSG_DONTWAIT"),
}.items():
    for name in names:
        delattr(module, name)
"""


def threaded(project, *arguments, **options):
    return project.start("--threads", *arguments, **options)


@on("sqlite", "postgres")
def test_tasks_chains_hooks_and_schedules_run_in_one_process(make_project, kind):
    project = make_project(kind, workers=3, scheduler=True)
    cluster = threaded(project)
    schedule("tests.cluster.tasks.note", project.file("due"), "due", next_run=timezone.now())

    ids = [async_task(tasks.count_rows) for _ in range(30)]
    async_task(tasks.noop, hook=tasks.hook, group=project.file("hooks"))
    async_task(tasks.write_late, project.file("late"), "written")
    async_chain([("math.hypot", (3, 4)), (tasks.note, (project.file("chain"), "end"))])
    found = [fetch(id, wait=10_000) for id in ids]
    for name in ("due", "hooks", "chain"):
        wait_until(lambda name=name: project.lines(name), 5, name, cluster.tail)

    assert {task.result[1] for task in found} == {cluster.pid}
    assert project.lines("due") == [f"due {cluster.pid}"]
    assert cluster.descendants() == []
    wait_until(lambda: not Schedule.objects.exists(), 5, "once is gone", cluster.tail)
    assert cluster.stop() == 0
    assert project.queued() == 0
    assert cluster.log_lines()[-1] == f"INFO Q Cluster-{cluster.pid} has stopped."
    assert "Traceback" not in cluster.log
    assert project.lines("late") == ["written", "at exit"]


def test_a_task_that_overruns_is_recorded_and_its_seat_is_free_again(make_project):
    project = make_project(workers=1)
    cluster = threaded(project)

    late = async_task(tasks.note, project.file("late"), "late", 0.6, timeout=0.2)
    after = async_task(tasks.nap, 0.0)

    assert fetch(late, wait=5_000).result == "TaskTimedOut: timed out after 0.2 s"
    assert fetch(after, wait=5_000).success
    words = "the last one ended with its thread left to itself, since a thread cannot be killed"
    assert f"WARNING Process-1:4 reincarnates a worker: {words}" in cluster.log_lines()
    # What it returns when it comes back goes nowhere.
    time.sleep(0.5)
    assert Task.objects.filter(success=True).count() == 1
    assert len(project.lines("late")) == 1
    assert cluster.stop() == 0


def test_threads_that_were_given_up_do_not_hold_up_the_end(make_project):
    """One waits, one writes without end, one has left a thread that Python waits for."""
    project = make_project(workers=3)
    cluster = threaded(project)
    ids = [
        async_task(tasks.nap, 60, timeout=0.2),
        async_task(tasks.babble, timeout=0.2),
        async_task(tasks.leave_thread, 60),
    ]
    for id in ids:
        assert fetch(id, wait=10_000) is not None, cluster.tail()

    began = time.monotonic()

    assert cluster.stop() == 0
    assert time.monotonic() - began < PROMPT_SECONDS
    assert "Fatal" not in cluster.log


@pytest.mark.parametrize(
    ("count", "code", "seconds", "outcomes"),
    [(1, 0, 0.5, {2, 3}), (2, 0, 0.5, {1}), (3, 1, 60, {0})],
)
def test_each_signal_stops_harder(make_project, count, code, seconds, outcomes):
    """The first works off what is in memory, the second what runs, the third nothing."""
    project = make_project(workers=1, queue_limit=2)
    async_task(tasks.note, project.file("runs"), "slow", seconds)
    for number in range(6):
        async_task(tasks.note, project.file("runs"), number)
    cluster = threaded(project)
    wait_until(lambda: project.lines("runs"), 5, "it runs", cluster.tail)

    for _ in range(count):
        cluster.signal(signal.SIGINT)
        time.sleep(0.1)

    assert cluster.wait_for_exit(10) == code
    assert "sentinel that died" not in cluster.log
    assert Task.objects.count() in outcomes
    assert project.queued() == 7 - Task.objects.count()


LIFE = """
import json, threading, psutil
from django.db import connection
from djq.cluster import Cluster
from djq.models import Task
from djq.tasks import async_task, fetch

def files():
    Task.objects.count()
    return sorted(file.path for file in psutil.Process().open_files() if "sqlite" in file.path)

before = files()
cluster = Cluster(threads=True)
said = {"pid": cluster.start() == cluster.pid}
try:
    cluster.start()
except RuntimeError as error:
    said["refused"] = str(error)
stat = cluster.stat
known = {thread.native_id for thread in threading.enumerate()}
said["threads"] = known >= {stat.sentinel, stat.monitor, stat.pusher, *stat.workers}
said["workers"] = len(stat.workers)
said["status"] = [stat.status, cluster.is_running, cluster.sentinel.pid == cluster.pid]
said["system_exit"] = fetch(async_task("tests.cluster.tasks.leave"), wait=5000).result
said["result"] = fetch(async_task("tests.cluster.tasks.nap", 0.01), wait=5000).result
said["stopped"] = [cluster.stop(), cluster.exit_code, cluster.sentinel, cluster.stat.status]
cluster.start()
said["again"] = fetch(async_task("tests.cluster.tasks.nap", 0.02), wait=5000).result
cluster.stop_event.set()
while not cluster.has_stopped:
    pass
said["files"] = files() == before
connection.close()
Task.objects.count()
said["mode"] = connection.transaction_mode
said["left"] = [thread.name for thread in threading.enumerate() if "djq" in thread.name]
print(json.dumps(said))
"""


def test_cluster_class_runs_as_threads_of_a_program(make_project):
    project = make_project("sqlite-defaults", workers=2, max_rss=1)

    said = json.loads(project.script(LIFE))

    assert (said["pid"], said["threads"], said["workers"]) == (True, True, 2)
    assert said["status"] == ["Idle", True, True]
    assert said["refused"] == "this cluster runs already; stop() ends it"
    assert said["system_exit"] == "SystemExit: 4 (the function asked its process to exit)"
    assert (said["result"], said["again"]) == (0.01, 0.02)
    assert said["stopped"] == [True, 0, None, "Stopped"]
    assert said["left"] == []
    # Each thread has closed its connections, and those of the program are as they were.
    assert said["files"]
    assert said["mode"] is None


RARELY = """
import time
from djq.cluster import Cluster
from djq.models import Task
from djq.runtime import threads
from djq.tasks import async_task

threads.MAIL_MAX = 5
cluster = Cluster(threads=True)
cluster.start()
ids = [async_task("tests.cluster.tasks.noop") for _ in range(20)]
while Task.objects.count() < len(ids):
    time.sleep(0.01)
time.sleep(2)
stat = cluster.stat
print(stat.status, stat.reincarnations)
cluster.stop()
"""


def test_a_program_that_looks_rarely_sees_the_present(make_project):
    """There was no room for more reports: those that are there are old."""
    project = make_project("sqlite", workers=1, recycle=1, guard_cycle=0.1)

    assert project.script(RARELY) == "Idle 20\n"


def test_run_once_recycles_and_says_which_settings_mean_nothing_here(make_project):
    project = make_project(recycle=3, max_rss=1)
    for number in range(20):
        async_task(tasks.note, project.file("runs"), number)

    cluster = threaded(project, "--run-once", ready="starting.")

    assert cluster.wait_for_exit(15) == 0, cluster.tail()
    assert Task.objects.filter(success=True).count() == 20
    assert "3 tasks done" in cluster.log
    assert "MiB of memory" not in cluster.log
    words = "WARNING not applied, since the workers are threads of one process: max_rss"
    assert words in cluster.log_lines()


def test_what_a_task_forks_can_be_ended_and_a_task_that_ends_its_process_ends_the_cluster(
    make_project,
):
    """The handlers of the command are not for what is forked; but there is no other process to die."""
    cluster = threaded(make_project())

    forked = fetch(async_task(tasks.can_be_ended), wait=10_000)
    async_task(tasks.die, 7)

    assert forked.result is True, cluster.tail()
    assert cluster.wait_for_exit(5) == 7


def test_system_without_fork_runs_threads_and_says_so(make_project):
    project = make_project()
    (project.folder / "elsewhere.py").write_text(WITHOUT_FORK + MANAGE)

    refused = project.start(program="elsewhere.py", ready="qcluster --threads")
    assert refused.wait_for_exit(5) == 1
    assert refused.log.splitlines()[-1].startswith("CommandError: this system has no fork")

    cluster = threaded(project, program="elsewhere.py")
    late = async_task(tasks.nap, 60, timeout=0.2)
    assert fetch(async_task(tasks.nap, 0.01), wait=5_000).result == 0.01
    assert fetch(late, wait=5_000).result == "TaskTimedOut: timed out after 0.2 s"
    assert cluster.stop() == 0
