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


@pytest.mark.parametrize(
    ("per_worker", "dealt"),
    [
        (1, [[0], [1], [2], [3]]),
        (2, [[0, 1], [2, 3], [0, 1], [2, 3]]),
        (3, [[0, 1, 2], [3, 0, 1], [2, 3, 0], [1, 2, 3]]),
    ],
)
def test_processors_are_dealt_as_the_manual_does(per_worker, dealt):
    assert [processors_for(slot, per_worker, 4) for slot in range(4)] == dealt


@pytest.mark.parametrize("per_worker", [0, 4, 5])
def test_no_affinity_or_all_processors_bind_nobody(per_worker):
    assert processors_for(1, per_worker, 4) == []


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_a_worker_is_bound_to_its_processors():
    before = os.sched_getaffinity(0)
    try:
        bound = limits.pin(1, 1)
        now = os.sched_getaffinity(0)
    finally:
        os.sched_setaffinity(0, before)

    assert (bound, now) == ([1], {1})


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
