"""Every mutant is caught: one that survives shows a fault that the simulator lacks."""

from __future__ import annotations

import pytest

from djq_testing.sim import simulate
from tests.sim.mutants import MUTANTS

SEEDS_MAX = 400
CATCHERS = {
    "CountsNothingThatIsHandedBack": 8,
    "DropsWhatADeadWorkerRan": 71,
    "KeepsElementsThatAreTriedAgain": 72,
    "LetsLeasesRunOut": 87,
    "LosesALinkWithOneThatNeverRan": 82,
    "SaysThatAllWentWell": 264,
    "ForgetsWhatWasSent": 136,
    "SendsTheNextLinkOnlyWithTheFirstSuccess": 68,
    "SendsWhatHasRun": 66,
    "StopsAtAFailureThatASuccessCameBefore": 66,
}
"""Seeds that are tried before the others, where those take seconds. One that catches no longer costs
these seconds, and nothing else."""


def catches(seed, parts):
    """Whether the seed fails with the mutant, and would not fail without it."""
    mutant = simulate(seed, parts, traced=False)
    return mutant.failure is not None and simulate(seed, traced=False).failure is None


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    first = [CATCHERS[name]] if name in CATCHERS else []

    caught = any(catches(seed, MUTANTS[name]) for seed in (*first, *range(SEEDS_MAX)))

    assert caught, f"{name} survives {SEEDS_MAX} seeds"
