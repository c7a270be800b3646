"""Holds how far ahead is fetched: by time, never so far that long tasks are hoarded."""

from __future__ import annotations

import pytest

from djq.core.pace import QUEUE_MAX_PER_WORKER, WORKER_AHEAD_MAX, Pace


@pytest.fixture
def pace():
    return Pace(workers=4, queue_limit=None)


def test_little_is_fetched_before_a_task_was_seen(pace):
    assert (pace.queue_limit, pace.worker_ahead) == (8, 0)


def test_long_tasks_are_not_hoarded(pace):
    pace.observe(2.0)

    assert (pace.queue_limit, pace.worker_ahead) == (8, 0)


def test_short_tasks_are_fetched_for_a_tenth_of_a_second(pace):
    pace.observe(0.002)

    assert pace.queue_limit == 4 * 50
    assert pace.worker_ahead == 2


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.00005])
def test_what_is_fetched_has_a_cap_however_short_the_tasks(pace, seconds):
    pace.observe(seconds)

    assert pace.queue_limit == 4 * QUEUE_MAX_PER_WORKER
    assert pace.worker_ahead == WORKER_AHEAD_MAX


def test_one_long_task_among_short_ones_counts_at_once(pace):
    for _ in range(100):
        pace.observe(0.0001)
    pace.observe(1.0)

    assert (pace.queue_limit, pace.worker_ahead) == (8, 0)


def test_a_mixture_of_short_and_long_counts_as_long(pace):
    for number in range(200):
        pace.observe(0.5 if number % 10 == 0 else 0.0001)

    assert (pace.queue_limit, pace.worker_ahead) == (8, 0)


def test_short_tasks_alone_bring_the_estimate_down(pace):
    pace.observe(1.0)
    for _ in range(100):
        pace.observe(0.0001)

    assert pace.queue_limit == 4 * QUEUE_MAX_PER_WORKER


def test_the_estimate_never_sinks_below_the_last_task(pace):
    pace.observe(1.0)
    for _ in range(100):
        pace.observe(0.01)

    assert pace.queue_limit == 4 * 10


def test_a_limit_that_was_set_holds_for_long_and_for_short_tasks():
    pace = Pace(workers=4, queue_limit=3)
    limits = [pace.queue_limit]
    pace.observe(0.0001)
    limits.append(pace.queue_limit)
    pace.observe(9.0)
    limits.append(pace.queue_limit)

    assert limits == [3, 3, 3]
