"""Functions that no user should write: each costs itself, and nothing else."""

from __future__ import annotations

import time

import pytest

from djq.models import Task
from djq.tasks import async_task, fetch
from tests.cluster import tasks
from tests.cluster.harness import wait_until

PROMPT_SECONDS = 4.0
SEATS = 5
"""Sentinel, pusher, monitor, two workers."""

FAILURES = {
    "die": (tasks.die, (3,), "WorkerDied: worker died: exit code 3, 3 attempts"),
    "kill": (tasks.kill_itself, (), "WorkerDied: worker died: signal 9 (SIGKILL), 3 attempts"),
    "segfault": (tasks.segfault, (), "WorkerDied: worker died: signal 11 (SIGSEGV), 3 attempts"),
    "lock": (tasks.give_lock, (), "cannot pickle '_thread.lock' object"),
    "SystemExit": (tasks.leave, (), "SystemExit: 4"),
    "KeyboardInterrupt": (tasks.interrupt, (), "KeyboardInterrupt"),
    "MemoryError": (tasks.eat_memory, (), "MemoryError"),
    "RecursionError": (tasks.recurse, (), "RecursionError: maximum recursion depth exceeded"),
    "grandchild": (
        tasks.leave_grandchild,
        (2,),
        "WorkerDied: worker died: exit code 5, 3 attempts",
    ),
}


class Scene:
    """A running cluster, and what its hooks have written."""

    def __init__(self, project):
        self.project = project
        self.cluster = project.start()

    def run(self, function, *args, seconds=PROMPT_SECONDS, **options):
        """Run one task with a hook; its outcome, which must come in time, and the pool full again."""
        tail = self.cluster.tail
        options.update(hook=tasks.hook, group=self.project.file("hooks"))
        began = time.monotonic()
        id = async_task(function, *args, q_options=options)
        task = fetch(id, wait=1000 * (seconds + 10))
        took = time.monotonic() - began
        assert task is not None, tail()
        assert took < seconds, tail()
        expected = f"{id} {task.success} {task.attempts}"
        wait_until(lambda: expected in self.hooks(), PROMPT_SECONDS, "the hook", tail)
        self.cluster.wait_until_full(2)
        return task

    def hooks(self):
        return self.project.lines("hooks")

    def assert_unharmed(self):
        """The next task runs, every hook ran once, nothing is left over, the stop is clean."""
        assert self.run(tasks.nap, 0.01).success
        hooked = [line.split()[0] for line in self.hooks()]
        assert len(hooked) == len(set(hooked)) == Task.objects.count()
        descendants = self.cluster.descendants
        wait_until(lambda: len(descendants()) == SEATS, 5, "no strangers", self.cluster.tail)
        assert self.cluster.stop() == 0


@pytest.fixture
def scene(make_project):
    return Scene(make_project("sqlite", workers=2, retry=30))


def test_hostile_tasks_fail_each_with_a_sentence_of_its_own(scene):
    found = {name: scene.run(function, *args) for name, (function, args, _) in FAILURES.items()}

    assert {name for name, task in found.items() if task.success} == set()
    wrong = {n: t.result for n, t in found.items() if FAILURES[n][2] not in t.result}
    assert wrong == {}
    scene.assert_unharmed()


def test_odd_tasks_that_return_are_successes(scene):
    folder = str(scene.project.folder)

    found = [
        scene.run(tasks.change_surroundings, folder),
        scene.run(tasks.ignore_signals),
        scene.run(tasks.return_twice),
    ]

    assert [task.result for task in found] == [folder, "deaf", "parent"]
    assert all(task.success for task in found)
    scene.assert_unharmed()


def test_stop_does_not_wait_for_a_thread_that_a_task_left(scene):
    task = scene.run(tasks.leave_thread, 30)
    began = time.monotonic()

    scene.assert_unharmed()

    assert (task.success, task.result) == (True, "threaded")
    assert time.monotonic() - began < 10


def test_task_that_closes_every_descriptor_costs_only_itself(scene):
    task = scene.run(tasks.close_everything)

    assert not task.success
    assert task.result.startswith("WorkerDied: worker died: ")
    scene.assert_unharmed()


@pytest.mark.parametrize("text", [b"garbage!" * 2, (8).to_bytes(8, "little") + b"a line\n\n"])
def test_task_that_writes_into_the_clusters_sockets_costs_only_itself(scene, text):
    sentinel = scene.cluster.pids("sentinel")

    task = scene.run(tasks.garble, text)

    assert task.result == "WorkerDied: worker died: exit code 0, 3 attempts"
    assert scene.cluster.pids("sentinel") == sentinel
    scene.assert_unharmed()


def test_endless_regular_expression_is_ended_by_its_timeout(scene):
    task = scene.run(tasks.backtrack, seconds=0.5 + PROMPT_SECONDS, timeout=0.5)

    assert (task.success, task.result) == (False, "TaskTimedOut: timed out after 0.5 s")
    scene.assert_unharmed()


def test_frozen_worker_is_ended_by_the_timeout(scene):
    task = scene.run(tasks.freeze, seconds=0.5 + PROMPT_SECONDS, timeout=0.5)

    assert (task.success, task.result) == (False, "TaskTimedOut: timed out after 0.5 s")
    scene.assert_unharmed()


def test_task_that_kills_whole_clusters_does_not_go_round_for_ever(make_project):
    project = make_project("sqlite", workers=1, retry=1, max_attempts=2)
    cluster = project.start()

    task = fetch(async_task(tasks.kill_sentinel, project.file("runs")), wait=15_000)

    assert task is not None, cluster.tail()
    assert task.result == (
        "TooManyAttempts: no outcome after 2 attempts: each time its cluster was gone before the end"
    )
    assert len(project.lines("runs")) == 2
    cluster.wait_until_full(5)
    assert fetch(async_task(tasks.nap, 0), wait=5000).success
    assert cluster.stop() == 0


def test_body_that_no_longer_unpickles_is_a_failure_with_a_traceback(scene, monkeypatch):
    monkeypatch.setenv("DJQ_TEST_CALLER", "1")
    from tests.cluster.broken import Only  # noqa: PLC0415 - only a caller may import it

    task = scene.run(tasks.noop, Only())

    assert not task.success
    assert "this module cannot be imported in a worker" in task.result
    assert "ImportError" in task.traceback
    scene.assert_unharmed()


def test_task_that_kills_its_worker_twice_and_then_returns_is_a_success(scene):
    task = scene.run(tasks.kill_worker_twice, scene.project.file("runs"))

    assert (task.success, task.result, task.attempts) == (True, "third time", 3)
    assert len(set(scene.project.lines("runs"))) == 3
    scene.assert_unharmed()


def test_tasks_that_lay_behind_a_killer_run_at_once_and_once(make_project):
    """Short tasks lie at the worker in advance: those that it had not begun are untouched."""
    project = make_project("sqlite", workers=1, retry=60)
    runs = project.file("runs")
    short = [async_task(tasks.noop) for _ in range(300)]
    killers = [async_task(tasks.kill_worker_twice, project.file(f"kills-{n}")) for n in range(3)]
    behind = [async_task(tasks.note, runs, number) for number in range(60)]
    cluster = project.start()

    project.wait_for_outcomes(len(short) + len(killers) + len(behind), 8)

    assert Task.objects.filter(success=True, attempts=1).count() == len(short) + len(behind)
    assert Task.objects.filter(success=True, attempts=3).count() == len(killers)
    ran = [line.split()[0] for line in project.lines("runs")]
    assert sorted(map(int, ran)) == list(range(60))
    assert cluster.stop() == 0


def test_poison_of_a_broker_that_does_not_count_is_tried_once(make_project):
    project = make_project(orm=None, broker_class="tests.cluster.plain.PlainPairs")
    cluster = project.start()

    task = fetch(async_task(tasks.die, 3), wait=5_000)

    assert task is not None, cluster.tail()
    assert task.result == (
        "WorkerDied: worker died: exit code 3, and not tried again, since its broker does not "
        "count deliveries"
    )
    assert fetch(async_task(tasks.noop), wait=5_000).success
    wait_until(lambda: project.queued() == 0, 2, "both acknowledged", cluster.tail)
    assert cluster.stop() == 0
