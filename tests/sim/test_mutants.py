"""Every mutant is caught: one that survives shows a fault that the simulator lacks."""

from __future__ import annotations

import pytest

from djq_testing.sim import simulate
from tests.sim.mutants import MUTANTS

SEEDS_MAX = 400


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    failures = (simulate(seed, MUTANTS[name], traced=False).failure for seed in range(SEEDS_MAX))

    assert any(failures), f"{name} survives {SEEDS_MAX} seeds"
