"""Plays seeds: two hundred in each test run, others where somebody asks for more."""

from __future__ import annotations

import hashlib
import os
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
OF_PROJECTS = "crash_inside"
SEEDS = int(os.environ.get("DJQ_TEST_SEEDS", "200"))
FIRST = range(0, SEEDS, CHUNK)
CHUNKS = [*FIRST[:2], *(pytest.param(first, marks=pytest.mark.thorough) for first in FIRST[2:])]


@cache
def play(seed):
    return simulate(seed, traced=False)


@pytest.mark.parametrize("first", CHUNKS)
def test_every_invariant_holds(first):
    runs = [play(seed) for seed in range(first, first + CHUNK)]

    failed = [run.describe() for run in runs if run.failure is not None]
    assert not failed, "\n\n".join(failed)


@pytest.mark.parametrize("first", range(0, 40, 20))
def test_one_seed_gives_one_trace(first):
    seeds = range(first * 20, first * 20 + 10)

    assert [simulate(seed).trace for seed in seeds] == [simulate(seed).trace for seed in seeds]


def test_another_process_gives_the_same_traces():
    """With another hash of texts in each process; what has no order must not become one."""
    arguments = ["--seeds", "0-11", "--digest", "--jobs", "1"]
    replay = [sys.executable, "-m", "djq_testing.sim", *arguments]

    digests = {
        subprocess.run(
            replay,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout.splitlines()[-1]
        for hash_seed in ("1", "2")
    }

    own = hashlib.sha256()
    for seed in range(12):
        own.update("\n".join(simulate(seed).trace).encode())
    assert digests == {f"digest of the traces: {own.hexdigest()}"}


def test_trace_has_nothing_of_the_machine_in_it():
    lines = [line for seed in range(40) for line in simulate(seed).trace]

    assert [line for line in lines if "Traceback" in line or "0x" in line or ".py" in line] == []


def test_seeds_differ():
    traces = {tuple(simulate(seed).trace) for seed in range(20)}

    assert len(traces) == 20


@pytest.fixture(scope="module")
def some():
    return [play(seed) for seed in range(150)]


def test_every_fault_strikes_in_some_seed(some):
    struck = set().union(*(run.hits for run in some))

    assert {n for n in attrs.asdict(CALM) if not n.startswith(OF_TASKS)} - {OF_PROJECTS} <= struck


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
    assert sum(run.scheduled for run in with_schedules) > len(with_schedules)


def test_several_processes_play_as_one_does(capsys):
    seeds = ["--seeds", "0-29", "--digest", "--set", "tasks=5"]
    assert main([*seeds, "--jobs", "1"]) == 0
    alone = capsys.readouterr().out

    assert main([*seeds, "--jobs", "2"]) == 0

    assert capsys.readouterr().out == alone


def test_command_line_changes_what_is_played(capsys):
    arguments = ["--seed", "7", "--clusters", "2", "--seconds", "60", "--set", "kill_worker=0.5"]

    assert main([*arguments, "--tasks", "30"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed=7 clusters=2 tasks=30 seconds=60.0 kill_worker=0.5"
    assert "clusters=2, workers=4, tasks=30, seconds=60.0," in lines[1]
    assert "kill_worker=0.5" in lines[2]
    assert lines[-1] == f"replay: python -m djq_testing.sim --case '{lines[0]}' --verbose"
    assert main(["--case", lines[0]]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_field_that_there_is_not_is_refused(capsys):
    assert main(["--seed", "7", "--set", "workres=2"]) == 2

    assert capsys.readouterr().err == "workres: no field of the scene or fault plan\n"
