"""Every mutant is caught: one that survives shows a fault that the simulator lacks."""

from __future__ import annotations

from functools import cache

import pytest

from djq_testing.sim import simulate
from tests.sim.catchers import CATCHERS
from tests.sim.mutants import MUTANTS

SEEDS_MAX = 400


@cache
def holds(seed):
    """Whether the seed holds without a mistake in the parts."""
    return simulate(seed, traced=False).failure is None


def catches(seed, parts):
    """Whether the seed fails with the mutant, and would not fail without it."""
    return simulate(seed, parts, traced=False).failure is not None and holds(seed)


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    # The known one first. One that catches no longer costs the seconds of a search, and nothing else.
    _, first = CATCHERS[name]

    caught = any(catches(seed, MUTANTS[name]) for seed in (first, *range(SEEDS_MAX)))

    assert caught, f"{name} survives {SEEDS_MAX} seeds"
