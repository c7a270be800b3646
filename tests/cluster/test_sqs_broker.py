"""Real clusters on a server that speaks SQS: what receipts and leases are for, when the way there is cut."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.cluster.broker_promises import BrokerPromises, Reach
from tests.sqs_servers import IDENTITY

pytestmark = pytest.mark.thorough


@pytest.mark.servers
class TestSqs(BrokerPromises):
    RETRY = 2  # a lease of one second ends while a slow machine asks for the next

    @pytest.fixture
    def reach(self, sqs_on_roto):
        address = urlsplit(sqs_on_roto)

        def q_cluster(port):
            way = {"endpoint_url": f"http://127.0.0.1:{port}", "read_timeout": 1}
            return {"orm": None, "workers": 2, "sqs": {**IDENTITY, **way}}

        return Reach(address.hostname, address.port, q_cluster)
