"""How far ahead to fetch: as little as keeps the workers busy, as the tasks' own lengths show.

A worker that has nothing to do while the next task is on its way is a waste; a task that lies behind
a long one while another worker is free is a fault. So the cluster looks ahead by time and not by
number: about `AHEAD_SECONDS` of work for the whole queue in memory, `WORKER_AHEAD_SECONDS` of it
already at each worker. The estimate of a task's length jumps up to any longer task at once and sinks
slowly, so that a mixture of short and long tasks counts as long.
"""

from __future__ import annotations

AHEAD_SECONDS = 0.1
WORKER_AHEAD_SECONDS = 0.005
QUEUE_MAX_PER_WORKER = 250
WORKER_AHEAD_MAX = 24
SINK_PER_TASK = 0.9
SHORTEST_SECONDS = 0.00005


class Pace:
    """The estimate, and what follows from it. Knows nothing at first, and then fetches little."""

    def __init__(self, *, workers: int, queue_limit: int | None) -> None:
        self._workers = workers
        self._queue_limit = queue_limit
        self._seconds: float | None = None

    def observe(self, seconds: float) -> None:
        """A task has run for so long."""
        if self._seconds is None or seconds > self._seconds:
            self._seconds = max(seconds, SHORTEST_SECONDS)
        else:
            sunk = self._seconds * SINK_PER_TASK
            self._seconds = max(seconds, sunk, SHORTEST_SECONDS)

    @property
    def queue_limit(self) -> int:
        """Most tasks to hold in memory, running ones not counted."""
        if self._queue_limit is not None:
            return self._queue_limit
        least = self._workers * 2
        if self._seconds is None:
            return least
        wanted = int(AHEAD_SECONDS / self._seconds) * self._workers
        return max(least, min(wanted, QUEUE_MAX_PER_WORKER * self._workers))

    @property
    def worker_ahead(self) -> int:
        """Most tasks to lie unstarted at one worker."""
        if self._seconds is None:
            return 0
        return min(int(WORKER_AHEAD_SECONDS / self._seconds), WORKER_AHEAD_MAX)
