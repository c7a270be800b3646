"""Real clusters on a Disque of ours over TCP: what every broker promises, and nodes that die."""

from __future__ import annotations

import pytest

from djq.brokers import get_broker
from djq.models import Task
from djq.runtime.clock import SystemClock
from djq.tasks import async_tasks
from djq_testing.fakes.disque import FakeDisque
from djq_testing.fakes.disque_server import serve
from tests.cluster import tasks
from tests.cluster.broker_promises import BrokerPromises, Reach
from tests.cluster.harness import wait_until

pytestmark = pytest.mark.thorough

TASKS = 300


class TestDisqueBroker(BrokerPromises):
    @pytest.fixture
    def disque(self):
        return FakeDisque(SystemClock())

    @pytest.fixture
    def reach(self, disque):
        with serve(disque) as (server,):
            yield Reach(
                "127.0.0.1",
                server.port,
                lambda port: {"orm": None, "disque_nodes": [f"127.0.0.1:{port}"]},
            )

    @pytest.fixture(autouse=True)
    def _know_what_is_out(self, disque):
        self.disque = disque

    def left(self):
        """The server of the test knows what is out, which a real one does not tell."""
        broker = get_broker()
        return broker.queue_size() + self.disque.lent(broker._queue)


def test_cluster_goes_on_to_another_node_when_one_dies(make_project):
    with serve(FakeDisque(SystemClock(), nodes=2)) as servers:
        project = make_project(
            orm=None, retry=1, bulk=10, disque_nodes=[server.address for server in servers]
        )
        file = project.file("runs")
        async_tasks((tasks.append, (file, number)) for number in range(TASKS))
        cluster = project.start()
        wait_until(lambda: tasks.count(file) > TASKS / 5, 10, "running tasks", cluster.tail)

        busiest = max(servers, key=lambda server: server.commands.count(b"GETJOB"))
        busiest.stop()
        project.wait_for_outcomes(TASKS, 20)

        assert cluster.stop() == 0
        assert Task.objects.filter(success=True).count() == TASKS
        get_broker().close()
