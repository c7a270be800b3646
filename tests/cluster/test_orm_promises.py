"""Real clusters on queues in real databases keep what is promised of every broker."""

from __future__ import annotations

import pytest

from tests import settings
from tests.cluster.broker_promises import BrokerPromises, Reach
from tests.cluster.harness import SERVERS, on

pytestmark = pytest.mark.thorough


@on("postgres", "mariadb")
class TestOrm(BrokerPromises):
    ENDLESS_PATIENCE = True

    @pytest.fixture
    def reach(self, kind):
        server = settings.SERVERS[SERVERS[kind]]
        return Reach(server["HOST"], int(server["PORT"]), lambda port: {"kind": kind, "port": port})
