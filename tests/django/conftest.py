"""A cache in memory that each test finds empty."""

from __future__ import annotations

import pytest
from django.core.cache import cache


@pytest.fixture
def empty_cache():
    cache.clear()
    yield cache
    cache.clear()
