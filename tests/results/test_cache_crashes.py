"""A monitor may die, or be told of an error, at every call to the cache, before its effect or after it.

Whatever it was, the same outcomes are saved once more, by the same monitor or by its successor. Nothing
may be missing then, nothing may be there twice, and what was gathered may not have changed.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from djq.core.call import load_value
from djq.exceptions import StoreUnavailable
from djq.results.cache import CacheStore
from djq_testing.clock import ManualClock
from djq_testing.contract.samples import NOON, element, finished, messages, task_id
from tests.caches import make_cache

BATCHES = [
    [element(0, 4), finished(1, group="g", result="one")],
    [finished(2, group="g", result="two"), finished(3, group="h", success=False, result="no")],
    [element(2, 4, group="g"), element(1, 4), finished(3, group="h", result="yes")],
    [element(3, 4), finished(1, group="g", success=False, result="late")],
]
ITER = 900


class Struck(Exception):
    """What a cache's client raises when the connection breaks."""


class BreakingCache:
    """Breaks at one call, counted from the first; before the cache behind it has done it, or after."""

    def __init__(self, cache, at, *, after):
        self._cache = cache
        self._at = at
        self._after = after
        self.calls = 0

    def __getattr__(self, name):
        verb = getattr(self._cache, name)

        def call(*args, **kwargs):
            self.calls += 1
            strikes = self.calls == self._at
            if strikes and not self._after:
                raise Struck
            answer = verb(*args, **kwargs)
            if strikes:
                raise Struck
            return answer

        return call


def make_store(cache):
    return CacheStore(cache, clock=ManualClock(NOON), unsaved=lambda outcome: outcome)


@contextmanager
def empty_cache(folder):
    with make_cache("memory", folder) as cache:
        yield cache


def play(cache, *, dies):
    """Save the batches as a monitor does; once more what was broken off. Gives the iters gathered."""
    store, gathered = make_store(cache), []
    for batch in BATCHES:
        try:
            gathered += store.save(batch)
        except StoreUnavailable:
            store = make_store(cache) if dies else store
            gathered += store.save(batch)
    return gathered


def found(cache):
    """All that can be found: results by task, and the members and counts of the groups."""
    store = make_store(cache)
    kept = store.kept(messages(1, 2, 3, ITER))
    return {
        "results": {int(id, 16): load_value(one.outcome.value) for id, one in kept.items()},
        "groups": {g: [one.message.id for one in store.group_tasks(g)] for g in ("g", "h")},
        "counts": [store.group_count("g"), store.group_count("h")],
        "failures": [store.group_count("h", failures=True)],
    }


def calls_of_a_whole_play(folder):
    with empty_cache(folder) as cache:
        counting = BreakingCache(cache, 0, after=False)
        play(counting, dies=False)
        return counting.calls


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("dies", [False, True], ids=["the monitor goes on", "another takes over"])
def test_nothing_is_lost_or_doubled_wherever_it_breaks(tmp_path, after, dies):
    wanted = {
        "results": {1: "one", 2: "two", 3: "yes", ITER: [0, 10, 20, 30]},
        "groups": {"g": sorted([task_id(1), task_id(2)]), "h": [task_id(3)]},
        "counts": [2, 1],
        "failures": [0],
    }
    calls = calls_of_a_whole_play(tmp_path)
    assert calls > 40

    for at in range(1, calls + 1):
        with empty_cache(tmp_path) as cache:
            breaking = BreakingCache(cache, at, after=after)
            gathered = play(breaking, dies=dies)
            assert found(cache) == wanted, f"call {at} of {calls}"
            assert {one.finished.message.id for one in gathered} <= {task_id(ITER)}
            left = [key for key in cache._cache if f"iter:{task_id(ITER)}:" in key]
            assert [key for key in left if not key.endswith(":over")] == [], f"call {at}"
