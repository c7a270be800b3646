"""The contract of result stores, filled in for the twin in memory and for every database."""

from __future__ import annotations

import pytest

from djq.results.database import DatabaseStore
from djq_testing.contract.store import ResultStoreContract
from djq_testing.memory import MemoryStore


class TestMemoryStore(ResultStoreContract):
    @pytest.fixture
    def make_store(self):
        return MemoryStore(save_limit=0).limited


class TestDatabaseStore(ResultStoreContract):
    @pytest.fixture
    def make_store(self, database):
        return lambda save_limit: DatabaseStore(alias=database, save_limit=save_limit)


class TestDatabaseStoreWithoutTimeZones(TestDatabaseStore):
    @pytest.fixture(autouse=True)
    def _naive(self, settings):
        settings.USE_TZ = False
        settings.TIME_ZONE = "America/New_York"
