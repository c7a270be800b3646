"""The cache whose entries expire by the clock of the test."""

from __future__ import annotations

import pytest

from djq_testing.clock import ManualClock
from djq_testing.local.cache import ClockedCache


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def cache(clock):
    return ClockedCache(clock)


def test_entries_go_when_their_time_has_come(cache, clock):
    cache.set("a", 1, 60)
    cache.set("b", 2, None)
    cache.set_many({"c": 3, "d": 4}, 61)
    clock.advance(60)

    assert cache.get_many(["a", "b", "c", "d"]) == {"b": 2, "c": 3, "d": 4}
    assert cache.get("a", "gone") == "gone"
    assert cache.has_key("a") is False
    assert cache.add("a", 5) is True
    assert cache.add("a", 6) is False
    assert cache.get("a") == 5


def test_entries_of_the_default_time_stay_for_five_minutes(cache, clock):
    cache.set("a", 1)
    clock.advance(299)
    assert cache.get("a") == 1
    clock.advance(1)

    assert cache.get("a") is None


def test_an_entry_can_be_kept_for_longer(cache, clock):
    cache.set("a", 1, 10)
    assert cache.touch("a", 100) is True
    clock.advance(50)

    assert cache.get("a") == 1
    assert cache.touch("b") is False


def test_numbers_are_counted_and_go_when_they_would_have_gone(cache, clock):
    cache.set("a", 1, 10)
    clock.advance(5)
    assert (cache.incr("a"), cache.decr("a", 2)) == (2, 0)
    clock.advance(5)

    with pytest.raises(ValueError, match="'a' not found"):
        cache.incr("a")


def test_values_are_copies(cache):
    value = [1]
    cache.set("a", value)
    value.append(2)
    cache.get("a").append(3)

    assert cache.get("a") == [1]


def test_entries_can_be_deleted(cache):
    cache.set("a", 1)
    cache.set("b", 2, version=2)

    assert (cache.delete("a"), cache.delete("a")) == (True, False)
    assert (cache.get("b"), cache.get("b", version=2)) == (None, 2)
    cache.clear()
    assert cache.get("b", version=2) is None
