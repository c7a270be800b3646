"""What every broker has to do; its author runs this against it.

    class TestMyBroker(BrokerContract):
        @pytest.fixture
        def make_broker(self, clock):
            return lambda key: MyBroker(key, clock=clock, retry_seconds=self.retry_seconds)

What a broker says of itself (`receipts`, `bulk_limit`, `max_payload`) is taken from it. What else it
cannot do, the class says: `ordered = False`, `counts = False` and so on, as `BrokerFixtures` has them.
The tests that ask for it are skipped then and say by which flag. A broker whose server keeps the time
overrides the fixture `pass_time` as well.
"""

from __future__ import annotations

from djq_testing.contract.leases import LeaseContract
from djq_testing.contract.peeking import PeekContract
from djq_testing.contract.queues import QueueContract

__all__ = ["BrokerContract"]


class BrokerContract(QueueContract, LeaseContract, PeekContract):
    """All of it; the half about leases is for brokers with receipts."""
