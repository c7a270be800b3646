"""What a live cluster promises on every broker: a class of tests, which the tests of a broker fill in.

The one hole is the fixture `reach`: where the server is, and how a project says so when it goes there by
another port. The cluster goes through a proxy that the test cuts. What a broker lacks, its class says.

    class TestMine(BrokerPromises):
        @pytest.fixture
        def reach(self, my_server):
            return Reach(my_server.host, my_server.port, lambda port: {"orm": None, "mine": ...})
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from djq.brokers import get_broker
from djq.models import Task
from djq.tasks import async_task, async_tasks
from tests.cluster import tasks
from tests.cluster.harness import wait_until
from tests.cluster.proxy import Proxy

AWAY = re.compile(r"the (?:broker|store) does not answer")
ADRIFT = re.compile(r"up to (\d+) packages may be lost")
CUTS = ("drop", "stall", "truncate")
SHARE = len(CUTS) + 1


@attrs.frozen
class Reach:
    """A server, and how to get there."""

    host: str
    port: int
    q_cluster: Callable[[int], dict[str, Any]]
    """The settings of a project that goes to the server by this port of 127.0.0.1: its `Q_CLUSTER`, and
    whatever else `make_project` takes."""


class BrokerPromises:
    """Real clusters, real processes, a real server, and a way there that is cut."""

    receipts = True
    """What is not acknowledged comes back after `retry` seconds."""
    TASKS = int(os.environ.get("DJQ_TEST_TASKS", "600"))
    """How many tasks the cuts fall among."""
    BULK = 32
    """Most packages in one fetch: what one cut may cost where there are no receipts."""
    RETRY = 1
    """Seconds; more where the server knows no shorter lease."""
    ENDLESS_PATIENCE = False
    """The driver waits for ever for a server that is silent, so nothing is said of that."""
    DRAIN_SECONDS = 20
    """How long they may take altogether, on a slow machine."""

    @pytest.fixture
    def reach(self) -> Reach:
        raise NotImplementedError("give the server, and the settings that lead to it")

    @pytest.fixture
    def proxy(self, reach):
        proxy = Proxy(reach.host, reach.port)
        yield proxy
        proxy.close()

    @pytest.fixture
    def project(self, make_project, reach, proxy):
        """A project whose clusters go through the proxy; nothing of its queue is left."""
        q_cluster = {"bulk": self.BULK, "queue_limit": self.BULK, "retry": self.RETRY}
        project = make_project(**{**q_cluster, **reach.q_cluster(proxy.port)})
        yield project
        proxy.mend()
        get_broker().delete_queue()
        get_broker().close()

    def left(self) -> int:
        """How many packages there are, those that are out included."""
        broker = get_broker()
        return broker.queue_size() + (broker.lock_size() or 0)

    def test_a_way_that_is_cut_three_times_costs_nothing_but_what_was_under_way(
        self, project, proxy
    ):
        file = project.file("runs")
        ids = async_tasks((tasks.append, (file, number)) for number in range(self.TASKS))
        cluster = project.start()

        for count, how in enumerate(CUTS, start=1):
            run = count * self.TASKS // SHARE
            wait_until(lambda run=run: tasks.count(file) >= run, 10, f"{run} runs", cluster.tail)
            self._cut(proxy, how, cluster)
        if self.receipts:
            project.wait_for_outcomes(self.TASKS, self.DRAIN_SECONDS)
        wait_until(lambda: self.left() == 0, self.DRAIN_SECONDS, "an empty queue", cluster.tail)
        assert cluster.stop() == 0

        done = set(Task.objects.filter(success=True).values_list("id", flat=True))
        assert done <= set(ids)
        assert len(done) == Task.objects.count(), "each has succeeded, and is recorded once"
        missing = self.TASKS - len(done)
        adrift = [int(count) for count in ADRIFT.findall(cluster.log)]
        assert missing <= sum(adrift), cluster.tail()
        assert sum(adrift) <= (0 if self.receipts else len(CUTS) * self.BULK), cluster.tail()
        assert len(set(project.lines("runs"))) == self.TASKS - missing

    def _cut(self, proxy, how, cluster):
        """Cut the way until the cluster has met with it, and mend it."""
        told = len(AWAY.findall(cluster.log))
        proxy.cut(how)
        if how == "stall" and self.ENDLESS_PATIENCE:
            wait_until(lambda: proxy.holds_some, 5, "something to hold up", cluster.tail)
        else:
            heard = lambda: len(AWAY.findall(cluster.log)) > told  # noqa: E731
            wait_until(heard, 10, f"words on the {how}", cluster.tail)
        proxy.mend()

    def test_a_lease_is_kept_up_by_who_lives_and_ends_with_who_dies(self, project):
        if not self.receipts:
            pytest.skip("this broker keeps no receipts: a task that a dead cluster held is lost")
        first = project.start()
        async_task(tasks.tell, project.file("long"), 3 * self.RETRY)
        second = project.start()
        project.wait_for_outcomes(1, 3 * self.RETRY + 5)
        assert len(project.lines("long")) == 1, "another cluster ran it too"

        async_task(tasks.tell_then_nap_once, project.file("doomed"), 60)
        wait_until(lambda: project.lines("doomed"), 5, "a run", project.tails)
        (line,) = project.lines("doomed")
        doomed = os.getsid(int(line.split()[1]))
        killed_at = time.monotonic()
        os.killpg(doomed, signal.SIGKILL)
        project.wait_for_outcomes(2, self.RETRY + 5)

        began_at, pid = project.lines("doomed")[1].split()
        (heir,) = {first.pid, second.pid} - {doomed}
        assert os.getsid(int(pid)) == heir
        assert float(began_at) - killed_at <= self.RETRY + 2
        assert Task.objects.filter(success=True).count() == 2
