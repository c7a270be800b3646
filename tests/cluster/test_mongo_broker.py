"""Real clusters on a server of MongoDB's protocol: what every broker promises."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.cluster.broker_promises import BrokerPromises, Reach

pytestmark = pytest.mark.thorough


@pytest.mark.servers
class TestMongo(BrokerPromises):
    BULK = 125  # nx-27017 goes through the whole queue for each look

    @pytest.fixture
    def reach(self, mongo_port):
        def q_cluster(port):
            options = {"socketTimeoutMS": 1_000, "serverSelectionTimeoutMS": 500}
            mongo = {"host": "127.0.0.1", "port": port, **options}
            return {"orm": None, "mongo": mongo, "mongo_db": f"djq-test-{uuid4().hex}"}

        return Reach("127.0.0.1", mongo_port("nx-27017"), q_cluster)
