"""The clock that tests move, and freezegun: they are one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from freezegun import freeze_time

from djq_testing.clock import START, ManualClock

FROZEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.mark.parametrize("offset", [0, 2])
def test_clock_shows_the_frozen_time(clock, offset):
    with freeze_time(FROZEN, tz_offset=offset):
        assert clock.now() == timezone.now()


def test_moving_the_clock_moves_the_frozen_time(clock):
    with freeze_time(FROZEN):
        clock.advance(hours=3)

        assert timezone.now() == FROZEN + timedelta(hours=3)


def test_moving_the_frozen_time_moves_the_clock(clock):
    with freeze_time(FROZEN) as frozen:
        before = clock.now(), clock.monotonic()
        frozen.tick(90)

        assert clock.now() - before[0] == timedelta(seconds=90)
        assert clock.monotonic() - before[1] == 90


def test_no_time_passes_when_the_time_is_frozen(clock):
    with freeze_time(FROZEN):
        clock.now()

        assert clock.monotonic() == 0


def test_measured_time_stands_when_the_frozen_time_goes_back(clock):
    with freeze_time(FROZEN) as frozen:
        clock.advance(5)
        frozen.move_to(START)

        assert clock.now() == START
        assert clock.monotonic() == 5


def test_clock_stands_where_the_freeze_has_ended(clock):
    with freeze_time(FROZEN):
        clock.advance(5)

    assert clock.now() == FROZEN + timedelta(seconds=5)


def test_the_innermost_freeze_counts(clock):
    with freeze_time(FROZEN), freeze_time(START):
        assert clock.now() == START
