"""The scene of a run: the cluster that a seed puts on the stage, and its settings."""

from __future__ import annotations

import random
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Scene:
    """What kind of cluster the seed puts on the stage."""

    clusters: int
    """Clusters that start at the beginning, on one queue."""
    workers: int
    """Workers of each."""
    tasks: int
    """Tasks that are enqueued in the safety phase."""
    seconds: float
    """Length of the safety phase."""
    receipts: bool
    """The broker keeps a package until it is acknowledged."""
    new_receipts: bool
    """The broker gives a new receipt whenever a lease is extended."""
    one_unit: bool
    """Store and broker share a database: saving and acknowledging are one transaction."""
    ack_failures: bool
    """A failed task counts as delivered."""
    max_attempts: int
    """Deliveries of one task without an outcome before it is a failure."""
    timeout: float | None
    """Seconds for a task that says nothing itself. None: no limit."""
    lease_seconds: float
    """The broker's `retry`."""
    recycle: int | None
    """Tasks that a worker runs before it is replaced. None: any number."""
    queue_limit: int | None
    """Most tasks in memory. None: as the pace says."""
    bulk: int | None
    """Most packages in one fetch. None: as the credit allows."""
    stop_timeout: float | None
    """Seconds that a stop may take. None: as long as the tasks do."""
    run_once: bool
    """Clusters stop by themselves when the queue is empty."""
    stop_signals: int
    """Stop signals that the clusters get at random moments of the safety phase."""
    quick: bool
    """All tasks take less than a few milliseconds, so that workers are given some ahead."""
    bulk_limit: int | None
    """Most packages that the broker gives in one fetch. None: any number."""
    unordered: bool
    """The broker gives what is due in any order."""
    schedules: int
    """Schedules that make tasks. 0: no scheduler runs."""


PLAINEST: dict[str, Any] = {
    "clusters": 1,
    "workers": 1,
    "stop_signals": 0,
    "run_once": False,
    "recycle": None,
    "queue_limit": None,
    "bulk": None,
    "bulk_limit": None,
    "unordered": False,
    "stop_timeout": None,
    "timeout": None,
    "one_unit": False,
    "new_receipts": False,
    "ack_failures": True,
    "quick": False,
    "schedules": 0,
    "receipts": True,
    "max_attempts": 3,
}
"""The scene with nothing special about it."""


def draw_scene(rng: random.Random, seed: int) -> Scene:
    """Draw the cluster and its settings."""
    later = random.Random(f"scene {seed}")
    receipts = rng.random() < 0.75
    scene = Scene(
        clusters=rng.choice((1, 1, 1, 2)),
        workers=rng.randint(1, 4),
        tasks=rng.randint(5, 25),
        seconds=round(rng.uniform(2.0, 12.0), 2),
        receipts=receipts,
        new_receipts=receipts and rng.random() < 0.3,
        one_unit=receipts and rng.random() < 0.2,
        ack_failures=rng.random() < 0.7,
        max_attempts=rng.choice((1, 2, 3, 3)),
        timeout=rng.choice((None, 4.0, 6.0)),
        lease_seconds=rng.choice((3.0, 6.0, 12.0)),
        recycle=rng.choice((None, None, 1, 2, 3)),
        queue_limit=rng.choice((None, None, 1, 3, 8)),
        bulk=rng.choice((None, None, 1, 2)),
        stop_timeout=rng.choice((None, None, 1.0, 4.0)),
        run_once=rng.random() < 0.1,
        stop_signals=rng.choice((0, 0, 1, 1, 2, 2, 3, 5)),
        quick=rng.random() < 0.3,
        bulk_limit=later.choice((None, None, None, 1, 3)),
        unordered=later.random() < 0.25,
        schedules=random.Random(f"schedules {seed}").choice((0, 0, 0, 1, 2, 3)),
    )
    crowd = later.choice((0, 0, 0, 0, 0, 0, 3, 4))
    return attrs.evolve(scene, clusters=crowd) if crowd else scene
