"""Real clusters on queues in real databases keep what is promised of every broker."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests import settings
from tests.cluster.broker_promises import BrokerPromises, Reach
from tests.cluster.harness import SERVERS, marks_of


class OrmPromises(BrokerPromises):
    kind = ""
    ENDLESS_PATIENCE = True

    @pytest.fixture
    def reach(self):
        server = settings.SERVERS[SERVERS[self.kind]]
        return Reach(
            server["HOST"], int(server["PORT"]), lambda port: {"kind": self.kind, "port": port}
        )


class TestOnPostgres(OrmPromises):
    kind = "postgres"
    pytestmark: ClassVar = [*marks_of("postgres")]


class TestOnMariadb(OrmPromises):
    kind = "mariadb"
    pytestmark: ClassVar = [*marks_of("mariadb")]
