"""Every mutant is caught: one that survives shows a fault that the simulator lacks."""

from __future__ import annotations

import pytest

from djq_testing.sim import simulate
from tests.sim.mutants import MUTANTS

SEEDS_MAX = 400


def catches(seed, parts):
    """Whether the seed fails with the mutant, and would not fail without it."""
    mutant = simulate(seed, parts, traced=False)
    return mutant.failure is not None and simulate(seed, traced=False).failure is None


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    caught = any(catches(seed, MUTANTS[name]) for seed in range(SEEDS_MAX))

    assert caught, f"{name} survives {SEEDS_MAX} seeds"
