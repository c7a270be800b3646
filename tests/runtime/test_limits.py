"""Holds which processors a worker uses, how it measures its memory, and the system's clocks."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

import pytest
from freezegun import freeze_time

from djq.runtime import limits
from djq.runtime.clock import SystemClock, SystemIds
from djq.runtime.limits import processors_for

PROCESSORS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""Those that this process may use; empty where a system lets nobody choose."""


@pytest.mark.parametrize(
    ("per_worker", "dealt"),
    [
        (1, [[0], [1], [2], [3]]),
        (2, [[0, 1], [2, 3], [0, 1], [2, 3]]),
        (
            3,
            [
                [0, 1, 2],
                [3, 4, 5],
                [6, 7, 0],
                [1, 2, 3],
                [4, 5, 6],
                [7, 0, 1],
                [2, 3, 4],
                [5, 6, 7],
            ],
        ),
    ],
)
def test_processors_are_dealt_as_the_manual_does(per_worker, dealt):
    workers = range(len(dealt))

    assert [processors_for(slot, per_worker, workers) for slot in workers] == dealt


def test_only_allowed_processors_are_dealt():
    assert [processors_for(slot, 2, [1, 5, 6]) for slot in range(3)] == [[1, 5], [6, 1], [5, 6]]


@pytest.mark.parametrize("per_worker", [0, 4, 5])
def test_no_affinity_or_all_processors_bind_nobody(per_worker):
    assert processors_for(1, per_worker, [0, 1, 2, 7]) == []


@pytest.mark.skipif(len(PROCESSORS) < 2, reason="needs two processors and a choice of them")
def test_a_worker_is_bound_to_its_processors():
    second = PROCESSORS[1]
    try:
        bound = limits.pin(1, 1)
        now = os.sched_getaffinity(0)
    finally:
        os.sched_setaffinity(0, PROCESSORS)

    assert (bound, now) == ([second], {second})


@pytest.mark.skipif(not PROCESSORS, reason="this system has no affinity")
def test_a_process_that_may_use_one_processor_is_bound_to_nothing_else():
    try:
        os.sched_setaffinity(0, PROCESSORS[-1:])
        bound = limits.pin(0, 1)
        now = os.sched_getaffinity(0)
    finally:
        os.sched_setaffinity(0, PROCESSORS)

    assert (bound, now) == ([], {PROCESSORS[-1]})


def test_a_worker_without_affinity_is_bound_to_none():
    assert limits.pin(0, 0) == []


def test_memory_is_measured_in_mebibytes():
    before = limits.memory_mib()
    ballast = bytearray(os.urandom(1024)) * (64 * 1024)
    grown = limits.memory_mib() - before

    assert 48 < grown < 96
    assert len(ballast) == 64 * 1024 * 1024


def test_the_clock_is_aware_and_can_be_frozen():
    with freeze_time("2026-11-23 12:00:00"):
        assert SystemClock().now() == datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_measuring_clock_never_goes_back():
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(100)]

    assert readings == sorted(readings)


def test_identity_is_thirty_two_hex_digits_and_never_given_twice():
    ids = SystemIds()
    given = {ids.task_id() for _ in range(1_000)}

    assert len(given) == 1_000
    assert all(re.fullmatch("[0-9a-f]{32}", id) for id in given)


def test_chance_lies_between_nothing_and_one():
    ids = SystemIds()
    drawn = {ids.jitter() for _ in range(100)}

    assert len(drawn) == 100
    assert all(0 <= number < 1 for number in drawn)
