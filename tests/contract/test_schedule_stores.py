"""The contract of schedule stores, filled in for the twin in memory and for every database."""

from __future__ import annotations

import pytest

from djq.models import Schedule
from djq.schedules.database import DatabaseScheduleStore
from djq.schedules.rows import row_of
from djq_testing.clock import ManualClock
from djq_testing.contract.schedules import NOON, ScheduleStoreContract
from djq_testing.schedules import MemoryScheduleStore


class KeptInDatabase:
    def __init__(self, alias, clock):
        self.store = DatabaseScheduleStore(alias=alias, clock=clock)
        self._rows = Schedule.objects.using(alias)

    def add(self, **fields):
        return self._rows.create(**fields).pk

    def row(self, id):
        found = self._rows.filter(pk=id).first()
        return found and row_of(found)


class TestMemoryScheduleStore(ScheduleStoreContract):
    @pytest.fixture
    def kept(self):
        return MemoryScheduleStore(clock=ManualClock(NOON))


class TestDatabaseScheduleStore(ScheduleStoreContract):
    @pytest.fixture
    def kept(self, database):
        return KeptInDatabase(database, ManualClock(NOON))


class TestDatabaseScheduleStoreWithoutTimeZones(TestDatabaseScheduleStore):
    @pytest.fixture(autouse=True)
    def _naive(self, settings):
        settings.USE_TZ = False
        settings.TIME_ZONE = "America/New_York"
