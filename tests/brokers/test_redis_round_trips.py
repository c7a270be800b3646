"""What a task costs in commands to Redis: the queue is drained on a server in memory that counts them."""

from __future__ import annotations

from collections import Counter

import pytest
from fakeredis import FakeRedis, FakeServer

from tests.brokers.redis_parts import BROKERS, KINDS

PACKAGES = 10_000
BULK = 32
COST_MAX = 0.2


class CountingServer:
    """Connects to one server in memory, and counts what it is asked."""

    def __init__(self):
        server = FakeServer()
        asked = self.asked = Counter()

        class Counting(FakeRedis):
            def execute_command(self, *args, **options):
                asked[args[0]] += 1
                return super().execute_command(*args, **options)

            def pipeline(self, *_, **__):
                raise AssertionError("what goes through a pipeline is not counted")

        self.connect = lambda: Counting(server=server)

    def cost(self, tasks):
        """Commands a task, since the last time; it is printed."""
        cost = self.asked.total() / tasks
        print(f"\n{cost:.4f} commands a task: {dict(self.asked)} for {tasks:,}")  # noqa: T201
        self.asked.clear()
        return cost


@pytest.mark.parametrize("kind", KINDS)
def test_a_drain_costs_few_round_trips(kind):
    server = CountingServer()
    options = {"retry_seconds": 60.0} if kind == "leases" else {}
    broker = BROKERS[kind]("q", connect=server.connect, wait_seconds=0, **options)
    broker.enqueue_many(["x"] * PACKAGES)
    assert server.cost(PACKAGES) <= 0.01

    count = 0
    while taken := broker.dequeue(BULK):
        count += len(taken)
        broker.acknowledge_many([receipt for receipt, _ in taken])

    # One to take and, with receipts, one to acknowledge a batch; each script is refused once, loaded
    # and said again.
    batches = -(-PACKAGES // BULK)
    trips = 2 * batches + 5 if kind == "leases" else batches + 3
    assert count == PACKAGES
    assert server.asked.total() == trips
    assert server.cost(PACKAGES) <= COST_MAX
