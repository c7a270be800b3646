"""Plays seeds: a thousand and more in each test run, other ones in each range that somebody asks for."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import attrs
import pytest

from djq_testing.sim import simulate
from djq_testing.sim.__main__ import main
from djq_testing.sim.faults import CALM

CHUNK = 50
OF_TASKS = ("task_", "poison")
SEEDS = 1_000


@cache
def play(seed):
    return simulate(seed, traced=False)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_invariant_holds(first):
    runs = [play(seed) for seed in range(first, first + CHUNK)]

    failed = [run.describe() for run in runs if run.failure is not None]
    assert not failed, "\n\n".join(failed)


@pytest.mark.parametrize("first", range(0, 60, 10))
def test_one_seed_gives_one_trace(first):
    seeds = range(first * 20, first * 20 + 10)

    assert [simulate(seed).trace for seed in seeds] == [simulate(seed).trace for seed in seeds]


def test_another_process_gives_the_same_trace():
    replay = [sys.executable, "-m", "djq_testing.sim", "--seed", "12", "--verbose"]

    answer = subprocess.run(replay, capture_output=True, text=True, check=True)

    run = simulate(12)
    assert answer.stdout == "\n".join([run.describe(), *run.trace, ""])


def test_seeds_differ():
    traces = {tuple(simulate(seed).trace) for seed in range(20)}

    assert len(traces) == 20


@pytest.fixture(scope="module")
def some():
    return [play(seed) for seed in range(150)]


def test_every_fault_strikes_in_some_seed(some):
    struck = set().union(*(run.hits for run in some))

    assert {name for name in attrs.asdict(CALM) if not name.startswith(OF_TASKS)} <= struck


def test_every_task_misbehaves_in_some_seed(some):
    rates = {name for run in some for name, rate in attrs.asdict(run.plan).items() if rate}

    assert {name for name in attrs.asdict(CALM) if name.startswith(OF_TASKS)} <= rates


@pytest.mark.parametrize("what", ["chain", "iter", ", which goes on", ", which hands on"])
def test_tasks_belong_together_in_some_calm_seed(some, what):
    calm = [one for run in some if not run.hits for one in run.together]

    assert [one for one in calm if what in one]


def test_about_a_quarter_of_the_seeds_is_calm(some):
    assert 20 <= sum(not run.hits for run in some) <= 75


def test_a_range_is_counted(capsys):
    assert main(["--seeds", "1-3"]) == 0

    first, second, third, _ = capsys.readouterr().out.splitlines()
    runs = [play(seed) for seed in (1, 2, 3)]
    faults = sum(run.faults for run in runs)
    assert first == "3 seeds, 0 failed"
    assert second == f"{sum(run.seconds for run in runs):.0f} simulated seconds"
    assert third == f"{faults} faults struck, {faults / 3:.1f} a seed"


def test_schedules_come_due_in_some_seeds(some):
    with_schedules = [run for run in some if run.scene.schedules]

    assert len(with_schedules) > 40
    assert sum(run.scheduled for run in with_schedules) > 2 * len(with_schedules)
