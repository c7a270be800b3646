"""A world that does not heal says what it waits for, and how everything stands."""

from __future__ import annotations

import pytest

from djq_testing.sim import Case, Parts, simulate
from djq_testing.sim.healing import circumstances, is_healed, pending
from djq_testing.sim.nemesis import Nemesis
from djq_testing.sim.workload import STAGE
from djq_testing.sim.world import World
from tests.sim.mutants import MUTANTS


@pytest.fixture
def world():
    """A cluster in the middle of two tasks, with schedules."""
    case = Case.parse("seed=6 plainest schedules=2 keep=0+1 tame=0+1 strikes= plain")
    world = World(case, Parts())
    token = STAGE.set(world)
    Nemesis(world).begin()
    yield world
    STAGE.reset(token)


def play_until(world, moment):
    world.timeline.run(moment, lambda: False)


def test_children_that_have_not_started_are_named(world):
    play_until(world, 0.001)

    assert "Process-1 sentinel has not started yet" in pending(world)
    assert "0 of 1 clusters live" in pending(world)


def test_what_runs_what_is_leased_and_what_a_book_holds_is_told(world):
    play_until(world, 1.6)

    told = pending(world)

    assert "Process-1:1 worker runs task 0, until 2." in told
    assert "Process-1 sentinel: its book has task 0 (running), task 1 (queued)" in told
    assert "leased are task 0 to cluster 1 until " in told
    assert not is_healed(world)


def test_who_stands_still_is_told(world):
    play_until(world, 4.0)
    (pusher,) = [p for p in world.processes.values() if p.name.endswith("pusher")]

    world.pause(pusher, 7.0)

    assert f"{pusher.name} stands still until 11.000 s" in circumstances(world)


def test_schedule_that_is_due_is_told(world):
    for kept in world.scheduling.store.rows.values():
        kept.row = type(kept.row)(id=kept.row.id, func="a.b", next_run=world.server_clock.now())
        kept.held_until = None

    assert "schedule 1 has been due since 2026-01-01 00:00:00+00:00" in pending(world)


def test_queue_that_nobody_empties_is_told():
    run = simulate(20, MUTANTS["GivesUpAtAnOutage"], traced=False)

    assert run.failure.startswith("I9: still not healed after")
    assert "in the queue wait task" in run.failure
