"""Kills at random instants: whatever dies, every task comes to its outcome and the cluster goes on.

Each run has a seed. DJQ_STORM_RUNS sets how many there are for each database (1 when it is not set).
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from djq.models import Task
from djq.tasks import async_task
from tests.cluster import tasks
from tests.cluster.harness import marks_of, wait_until

pytestmark = pytest.mark.thorough

RUNS = int(os.environ.get("DJQ_STORM_RUNS", "1"))
SEEDS = {"sqlite": range(RUNS), "postgres": range(1, RUNS + 1), "mariadb": [1]}
"""With an odd seed the sentinel is killed too."""
FIRST_TASKS = 450
TASKS_A_KILL = 4
KILLS = 26
SENTINEL_KILLS = 2
RETRY_SECONDS = 1
STANDSTILL_SECONDS_MAX = RETRY_SECONDS + 5
"""What a killed pusher or sentinel held comes back when its lease ends, and then has to run."""


class Storm:
    """Enqueues and kills by the numbers of one seed."""

    def __init__(self, project, seed):
        self.project = project
        self.random = random.Random(seed)
        # Short tasks lie at the workers in advance, long ones are handed out one by one.
        self.is_short = seed % 3 == 2
        self.naps = (0.0, 0.002) if self.is_short else (0.005, 0.03)
        self.hooks = project.file("hooks")
        self.ids = set()
        self.hooked = set()
        self.kills = []

    def enqueue(self, count):
        for _ in range(count):
            kind = self.random.randrange(3)
            seconds = self.random.uniform(*self.naps)
            if kind == 0:
                self.ids.add(async_task(tasks.noop))
            elif kind == 1:
                self.ids.add(async_task(tasks.nap, seconds))
            else:
                id = async_task(tasks.noop, hook=tasks.hook, group=self.hooks)
                self.ids.add(id)
                self.hooked.add(id)

    def kill_one(self, cluster, role):
        pids = cluster.pids(role)
        if not pids:
            return False
        pid = self.random.choice(pids)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.kills.append((role, pid))
        return True

    def rage(self, cluster, *, with_sentinel):
        """Kill so often; the sentinel at two instants of its own when that is wanted."""
        sentinel_turns = set(self.random.sample(range(5, KILLS), SENTINEL_KILLS))
        while len(self.kills) < KILLS:
            role = self.random.choice(["worker", "worker", "worker", "pusher", "monitor"])
            if with_sentinel and len(self.kills) in sentinel_turns:
                role = "sentinel"
            if self.kill_one(cluster, role):
                self.enqueue(TASKS_A_KILL * (15 if self.is_short else 1))
            time.sleep(self.random.uniform(0, 0.1))

    def wait_for_all(self, cluster):
        """Wait for every outcome; the cluster must never stand still meanwhile."""
        done, since = -1, time.monotonic()
        while done < len(self.ids):
            now_done = Task.objects.count()
            if now_done != done:
                done, since = now_done, time.monotonic()
            stood = time.monotonic() - since
            if stood > STANDSTILL_SECONDS_MAX:
                pytest.fail(f"stands still at {done} of {len(self.ids)}\n{cluster.tail()}")
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        pytest.param(kind, seed, marks=marks_of(kind))
        for kind, seeds in SEEDS.items()
        for seed in seeds
    ],
)
def test_every_task_survives_a_kill_storm(make_project, kind, seed):
    project = make_project(kind, workers=3, retry=RETRY_SECONDS, max_attempts=20)
    storm = Storm(project, seed)
    storm.enqueue(FIRST_TASKS)
    cluster = project.start()

    storm.rage(cluster, with_sentinel=seed % 2 == 1)
    print(f"seed {seed}, kills:", storm.kills)  # noqa: T201 - shown when the test fails
    storm.wait_for_all(cluster)

    outcomes = dict(Task.objects.values_list("id", "success"))
    assert outcomes == dict.fromkeys(storm.ids, True)
    wait_until(lambda: not project.queued(), STANDSTILL_SECONDS_MAX, "an empty queue", cluster.tail)
    assert {line.split()[0] for line in project.lines("hooks")} == storm.hooked
    cluster.wait_until_full(3)
    assert cluster.stop() == 0
    assert project.processes() == []
