"""The contract of result stores, filled in for caches of every kind, and for what goes to both places."""

from __future__ import annotations

import pytest

from djq.results.cache import CacheStore
from djq.results.database import DatabaseStore
from djq_testing.clock import ManualClock
from djq_testing.contract.chains import ChainContract
from djq_testing.contract.gathering import GatheringContract
from djq_testing.contract.groups import GroupContract
from djq_testing.contract.outcomes import OutcomeContract
from djq_testing.contract.samples import NOON
from tests.caches import KINDS, make_cache


def cache_store(cache, database="default"):
    unsaved = DatabaseStore(alias=database, save_limit=0).unsaved
    return CacheStore(cache, clock=ManualClock(NOON), unsaved=unsaved)


@pytest.mark.django_db
class TestCacheStore(OutcomeContract, GatheringContract, GroupContract, ChainContract):
    many = 300

    @pytest.fixture(params=KINDS)
    def cache(self, request, tmp_path):
        with make_cache(request.param, tmp_path / "cache") as cache:
            yield cache

    @pytest.fixture
    def make_store(self, cache):
        return lambda _save_limit: cache_store(cache)
