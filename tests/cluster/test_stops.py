"""Ways to end a cluster, gentle and rude: what is documented happens, and no task is lost."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress

import pytest

from djq.models import Task
from djq.tasks import async_task, fetch
from tests.cluster import tasks
from tests.cluster.harness import MANAGE, wait_until

RUNNING = 2
QUEUED = 50
ALL = RUNNING + QUEUED
SLOW_SECONDS = 0.7
PROMPT_SECONDS = 4.0
"""Less than any wait that there is to cut short, and enough for a busy machine."""

STOP_LINES = [
    r"INFO Q Cluster-{pid} stopping\.",
    r"INFO Process-1 stopping cluster processes",
    r"INFO Process-1:\d+ stopped pushing tasks",
    r"INFO Process-1:\d+ stopped doing work",
    r"INFO Process-1:\d+ stopped doing work",
    r"INFO Process-1:\d+ stopped monitoring results",
    r"INFO Q Cluster-{pid} has stopped\.",
]
"""As the manual's 1.9 prints them."""

COLLECTS = """
import os
from djq.cluster import Cluster

cluster = Cluster()
cluster.start()
sentinel = cluster.stat.sentinel
cluster.stop_event.set()
collected = os.wait()[0] == sentinel
while not cluster.has_stopped:
    pass
print(collected, cluster.exit_code)
"""


class Scene:
    """Two tasks run, fifty wait; then something is done to the cluster."""

    def __init__(self, project, **start):
        self.project = project
        runs = project.file("runs")
        for number in range(RUNNING):
            async_task(tasks.note, runs, f"slow-{number}", SLOW_SECONDS)
        for number in range(QUEUED):
            async_task(tasks.note, runs, number)
        self.cluster = project.start(**start)
        wait_until(lambda: len(self.runs()) == RUNNING, 5, "running tasks", self.cluster.tail)
        self.began = time.monotonic()

    def runs(self):
        return [line.split()[0] for line in self.project.lines("runs")]

    def exit_code(self):
        code = self.cluster.wait_for_exit(10)
        self.seconds = time.monotonic() - self.began
        return code

    def assert_slow_ones_were_waited_for(self):
        assert SLOW_SECONDS - 0.3 < self.seconds < SLOW_SECONDS + PROMPT_SECONDS
        names = {f"slow-{number}" for number in range(RUNNING)}
        assert {task.result for task in Task.objects.all()} >= names

    def assert_documented_lines(self):
        lines = [line for line in self.cluster.log_lines() if " stop" in line]
        patterns = [pattern.format(pid=self.cluster.pid) for pattern in STOP_LINES]
        assert len(lines) == len(patterns), lines
        pairs = zip(patterns, lines, strict=True)
        assert [(p, line) for p, line in pairs if not re.fullmatch(p, line)] == []

    def assert_nothing_is_lost(self, runs_of_the_slow=1, seconds=5):
        """What has no outcome is in the queue, and the next cluster runs it."""
        done = Task.objects.count()
        assert done + self.project.queued() == ALL
        after = self.project.start()
        self.project.wait_for_outcomes(ALL, seconds)
        assert Task.objects.filter(success=True).count() == ALL
        runs = self.runs()
        expected = {**dict.fromkeys(map(str, range(QUEUED)), 1)}
        expected |= {f"slow-{number}": runs_of_the_slow for number in range(RUNNING)}
        assert {name: runs.count(name) for name in expected} == expected
        assert after.stop() == 0


@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_first_signal_works_off_what_is_in_memory(make_project, send):
    scene = Scene(make_project())

    send(scene.cluster.pid, signal.SIGTERM)

    assert scene.exit_code() == 0, scene.cluster.tail()
    scene.assert_slow_ones_were_waited_for()
    scene.assert_documented_lines()
    assert scene.project.queued() > QUEUED / 2, "what is not in memory stays in the queue"
    scene.assert_nothing_is_lost()


def test_ctrl_c_in_a_terminal_is_a_first_signal(make_project):
    ours, theirs = os.openpty()
    try:
        scene = Scene(make_project(), program="in_terminal.py", stdin=theirs)

        os.write(ours, b"\x03")

        assert scene.exit_code() == 0, scene.cluster.tail()
    finally:
        os.close(theirs)
        os.close(ours)
    scene.assert_slow_ones_were_waited_for()
    scene.assert_documented_lines()
    scene.assert_nothing_is_lost()


def test_second_signal_finishes_only_what_runs(make_project):
    scene = Scene(make_project())

    scene.cluster.signal()
    scene.cluster.wait_for_line("stopping.", 1)
    scene.cluster.signal()

    assert scene.exit_code() == 0, scene.cluster.tail()
    scene.assert_slow_ones_were_waited_for()
    assert Task.objects.count() == RUNNING
    scene.assert_nothing_is_lost()


def test_third_signal_ends_everything_now(make_project):
    scene = Scene(make_project(retry=1))

    for _ in range(3):
        scene.cluster.signal()
        time.sleep(0.05)

    assert scene.exit_code() == 1, scene.cluster.tail()
    assert scene.seconds < PROMPT_SECONDS
    assert Task.objects.count() == 0
    assert scene.project.processes() == []
    scene.assert_nothing_is_lost(runs_of_the_slow=2, seconds=10)


def test_stop_timeout_cuts_running_work_short(make_project):
    project = make_project(stop_timeout=0.5, workers=1)
    async_task(tasks.slow_once, project.file("runs"), 30)
    cluster = project.start()
    wait_until(lambda: project.lines("runs"), 5, "a running task", cluster.tail)
    began = time.monotonic()

    cluster.signal()

    assert cluster.wait_for_exit(10) == 1, cluster.tail()
    assert 0.4 < time.monotonic() - began < 0.5 + PROMPT_SECONDS
    assert "the stop was cut short: 1 running tasks were ended by stop_timeout" in cluster.log
    after = project.start()
    project.wait_for_outcomes(1, 5)
    assert Task.objects.get().result == "slow"
    assert after.stop() == 0


def test_idle_cluster_stops_at_once(make_project):
    cluster = make_project().start()
    began = time.monotonic()

    assert cluster.stop() == 0

    assert time.monotonic() - began < PROMPT_SECONDS


def test_signal_while_the_cluster_starts_is_heeded(make_project):
    project = make_project()
    cluster = project.start(ready="starting.")

    assert cluster.stop(5) == 0, cluster.tail()

    assert "has stopped." in cluster.log
    assert project.processes() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_after_the_stop_does_not_change_the_exit_code(make_project, number):
    """Between its last line and its end the command is a Python process that shuts down."""
    project = make_project(workers=1)
    cluster = project.start("--run-once", ready="starting.")
    while "has stopped." not in cluster.log:
        assert cluster.process.poll() is None, cluster.tail()

    while cluster.process.poll() is None:
        cluster.signal(number)
        time.sleep(0.001)

    assert cluster.process.returncode == 0


def test_killed_command_takes_the_cluster_with_it(make_project):
    scene = Scene(make_project(retry=2))

    scene.cluster.signal(signal.SIGKILL)

    assert scene.exit_code() == -signal.SIGKILL
    wait_until(lambda: not scene.project.processes(), 4, "no orphan", scene.cluster.tail)
    done = {task.result for task in Task.objects.all()}
    assert done >= {"slow-0", "slow-1"}, "what ran came to its end"
    scene.assert_nothing_is_lost(seconds=10)


def test_killed_sentinel_is_followed_by_another(make_project):
    project = make_project(retry=1)
    scene = Scene(project)
    before = set(pids_of(scene.cluster))

    os.kill(*scene.cluster.pids("sentinel"), signal.SIGKILL)

    project.wait_for_outcomes(ALL, 10)
    assert Task.objects.filter(success=True).count() == ALL
    wait_until(
        lambda: before.isdisjoint(pids_of(scene.cluster)),
        3,
        "the old ones gone",
        scene.cluster.tail,
    )
    scene.cluster.wait_until_full(3)
    assert scene.cluster.stop() == 0, scene.cluster.tail()


def test_stop_ends_what_an_earlier_sentinel_left_behind(make_project):
    """A worker whose sentinel was killed finishes its task, but nobody waits for it at a stop."""
    project = make_project(retry=60)
    cluster = project.start()
    async_task(tasks.slow_once, project.file("runs"), 30)
    wait_until(lambda: project.lines("runs"), 5, "a running task", cluster.tail)
    os.kill(*cluster.pids("sentinel"), signal.SIGKILL)
    cluster.wait_for_line("running.", 5, count=2)

    assert cluster.stop(5) == 1, cluster.tail()

    assert "of a sentinel that died were still at work, and were ended" in cluster.log
    assert project.processes() == []
    assert project.queued() == 1


def test_worker_that_dies_during_a_stop_is_followed_by_another(make_project):
    project = make_project(workers=1, queue_limit=4)
    runs = project.file("runs")
    async_task(tasks.nap_and_die, runs, 0.5)
    for number in range(10):
        async_task(tasks.note, runs, number, 0.05)
    cluster = project.start()
    wait_until(lambda: project.lines("runs"), 5, "a running task", cluster.tail)

    assert cluster.stop(5) == 0, cluster.tail()

    done = Task.objects.count()
    assert done >= 4, "what was in memory behind it ran"
    assert done + project.queued() == 11
    assert [line.split()[0] for line in project.lines("runs")].count("dying") == 1


def test_killed_child_is_followed_by_another_at_once(make_project):
    project = make_project(retry=30)
    cluster = project.start()

    for done, role in enumerate(["pusher", "monitor", "worker"], start=1):
        old = cluster.pids(role)[0]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda old=old: _has_replaced(cluster, old), 1, f"a new {role}", cluster.tail)
        async_task(tasks.noop)
        project.wait_for_outcomes(done, 2)

    assert cluster.stop() == 0


def test_cluster_whose_starter_ignores_its_children_learns_of_deaths(make_project):
    """As one is that a shell or a supervisor starts with SIGCHLD ignored: an exec keeps that."""
    project = make_project(workers=1)
    ignore = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
    (project.folder / "ignoring.py").write_text(ignore + MANAGE)
    cluster = project.start(program="ignoring.py")

    task = fetch(async_task(tasks.die, 3, max_attempts=2), wait=5_000)
    program = fetch(async_task(tasks.exit_code_of_a_program, 4), wait=5_000)

    assert task.result == "WorkerDied: worker died: exit code 3, 2 attempts", cluster.tail()
    assert program.result == 4
    assert cluster.stop() == 0, cluster.tail()


def test_program_that_waits_for_any_child_may_run_a_cluster(make_project):
    """It may collect the sentinel before djq does."""
    project = make_project()

    assert project.script(COLLECTS) == "True 0\n"


def pids_of(cluster):
    return [process.pid for process in cluster.descendants()]


def _has_replaced(cluster, old):
    return cluster.is_full() and old not in pids_of(cluster)


def test_stop_does_not_wait_for_a_stopped_child_for_ever(make_project):
    """A child that the system holds (SIGSTOP) is ended by a third signal."""
    project = make_project()
    cluster = project.start()
    (held,) = cluster.pids("monitor")
    os.kill(held, signal.SIGSTOP)

    try:
        for _ in range(3):
            cluster.signal()
            time.sleep(0.05)

        assert cluster.wait_for_exit(5) == 1, cluster.tail()
        assert project.processes() == []
    finally:
        with suppress(ProcessLookupError):
            os.kill(held, signal.SIGCONT)
