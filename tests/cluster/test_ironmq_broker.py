"""Real clusters on an IronMQ of our own, over HTTP: what is promised of every broker.

Each lease is renewed by a request of its own. So clusters that are cut off hold few leases, and longer ones:
a busy machine would be too slow to renew what has piled up meanwhile. The real service knows none below half
a minute.
"""

from __future__ import annotations

import pytest

from djq.runtime.clock import SystemClock
from djq_testing.fakes.ironmq import IronMqService
from djq_testing.fakes.ironmq_server import serve
from tests.cluster.broker_promises import BrokerPromises, Reach

pytestmark = pytest.mark.thorough


class IronMqPromises(BrokerPromises):
    @pytest.fixture
    def reach(self):
        with serve(IronMqService(SystemClock())) as server:

            def q_cluster(port):
                # With what the server waits for a message, a second and a half.
                options = {**server.options, "port": port, "http_timeout": 0.5}
                return {"orm": None, "iron_mq": options}

            yield Reach("127.0.0.1", server.port, q_cluster)


class TestIronMq(IronMqPromises):
    test_a_way_that_is_cut_three_times_costs_nothing_but_what_was_under_way = None


class TestIronMqThatIsCutOff(IronMqPromises):
    BULK = 4
    RETRY = 5
    DRAIN_SECONDS = 40

    test_a_lease_is_kept_up_by_who_lives_and_ends_with_who_dies = None
