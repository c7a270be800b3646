"""Every mutant is caught: one that survives shows a fault that the simulator lacks."""

from __future__ import annotations

from functools import cache

import pytest

from djq_testing.sim import Case, simulate
from tests.sim.catchers import CATCHERS, SCENES
from tests.sim.mutants import MUTANTS

pytestmark = pytest.mark.thorough

SEEDS_MAX = 400


@cache
def holds(case):
    """Whether the case holds without a mistake in the parts."""
    return simulate(Case.parse(case), traced=False).failure is None


def catches(seed, name):
    """Whether the seed fails with the mutant, and would not fail without it."""
    case = Case(seed=seed, changes=SCENES.get(name, {}))
    return simulate(case, MUTANTS[name], traced=False).failure is not None and holds(str(case))


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    # The known one first. One that catches no longer costs the seconds of a search, and nothing else.
    _, first = CATCHERS[name]

    assert any(catches(seed, name) for seed in (first, *range(SEEDS_MAX)))
