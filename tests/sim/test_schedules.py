"""Plays seeds of simulated schedulers, and sees that what is broken is caught."""

from __future__ import annotations

from functools import cache

import attrs
import pytest

from djq_testing.sim.schedule_scene import ScheduleFaults
from djq_testing.sim.schedules import main, simulate_schedules
from tests.sim.catchers import SCHEDULE_CATCHERS
from tests.sim.schedule_mutants import MUTANTS

pytestmark = pytest.mark.thorough

CHUNK = 50
SEEDS = 200
MUTANT_SEEDS_MAX = 400


@cache
def play(seed):
    return simulate_schedules(seed)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_invariant_holds(first):
    runs = [play(seed) for seed in range(first, first + CHUNK)]

    failed = [run.describe() for run in runs if run.failure is not None]
    assert not failed, "\n\n".join(failed)


def test_one_seed_gives_one_trace():
    for seed in range(10):
        assert play(seed).trace == simulate_schedules(seed).trace


def test_every_fault_strikes_and_some_seeds_are_calm():
    runs = [play(seed) for seed in range(100)]

    assert set().union(*(run.struck for run in runs)) == set(attrs.asdict(ScheduleFaults()))
    assert 10 <= sum(not run.struck for run in runs) <= 50
    assert sum(run.sent for run in runs) > 500


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    _, first = SCHEDULE_CATCHERS[name]

    caught = any(
        simulate_schedules(seed, MUTANTS[name]).failure is not None and play(seed).failure is None
        for seed in (first, *range(MUTANT_SEEDS_MAX))
    )

    assert caught, f"{name} survives {MUTANT_SEEDS_MAX} seeds"


def test_a_seed_is_replayed_from_the_command_line(capsys):
    assert main(["--seed", "3"]) == 0

    assert capsys.readouterr().out == f"{simulate_schedules(3).describe()}\n"
