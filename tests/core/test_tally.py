"""What a tally says, against a list of all that ended, on any clock that does not go back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.tally import NONE, Count, Span, Tally

MINUTE, HOUR, DAY = 60, 3_600, 86_400
counts = st.builds(Count, st.integers(0, 1_000_000), st.integers(0, 1_000_000))
pauses = st.one_of(
    st.floats(0, 3),
    st.floats(0, 3 * DAY),
    st.sampled_from([0.0, 1.0, MINUTE, 600.0, HOUR, DAY]),
)


@given(st.floats(0, 1e9), st.lists(st.tuples(pauses, counts), max_size=40), pauses)
def test_a_span_is_what_it_says_or_one_bucket_less(start, story, rest):
    tally, now, ended = Tally(), start, []
    for pause, count in story:
        now += pause
        tally.add(count, now)
        ended.append((now, count))
    now += rest
    throughput = tally.throughput(now)

    for said, seconds, width in (
        (throughput.last_minute, MINUTE, 1),
        (throughput.last_hour, HOUR, MINUTE),
        (throughput.last_day, DAY, 600),
    ):
        first = (now // width + 1) * width - seconds
        assert said == sum((count for at, count in ended if at >= first), NONE)
        assert now - seconds <= first <= now - seconds + width
    assert sum(throughput.minutes, NONE) == throughput.last_hour
    assert len(throughput.minutes) == 60


@given(st.lists(st.tuples(st.floats(0, 1e6), counts), max_size=30))
def test_nothing_is_lost_of_what_is_told_late(story):
    span = Span(10**8, buckets=100)
    for at, count in story:
        span.add(count, at)

    assert sum(span.counts(1e6), NONE) == sum((count for _, count in story), NONE)


def test_minutes_stand_in_their_order():
    tally = Tally()
    for minute, count in ((0, Count(1, 0)), (1, Count(2, 1)), (3, Count(0, 4))):
        tally.add(count, minute * 60 + 30)

    minutes = tally.throughput(4 * 60 + 5).minutes

    assert minutes[-5:] == (Count(1, 0), Count(2, 1), NONE, Count(0, 4), NONE)
    assert set(minutes[:-5]) == {NONE}


@pytest.mark.parametrize("days", [1, 2, 10_000])
def test_after_a_day_all_is_forgotten(days):
    tally = Tally()
    tally.add(Count(5, 5), 10.0)

    throughput = tally.throughput(10.0 + days * DAY)

    assert (throughput.last_minute, throughput.last_hour, throughput.last_day) == (NONE,) * 3


def test_a_count_has_a_total():
    assert Count(3, 2).total == 5
    assert Count(3, 2) - Count(1, 2) == Count(2, 0)
