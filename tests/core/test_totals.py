"""Sums by function against a list of all that ended, on their way from sentinels to a command."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.lifecycle import Cause
from djq.core.protocol import NO_RESTARTS, Restarts
from djq.core.tally import Count
from djq.core.totals import DURATION_BOUNDS, FUNCS_MAX, OTHER, Totals, one_more

MANY = [f"app.tasks.task_{number}" for number in range(FUNCS_MAX + 10)]
SECONDS = [0.0, 0.01, 0.0100001, 1.0, 3_000.0, 3_001.0, *DURATION_BOUNDS]
ends = st.tuples(st.sampled_from(MANY), st.booleans(), st.sampled_from(SECONDS))


def count(totals, *more):
    for func, success, seconds in more:
        totals.count(func, success=success, seconds=seconds)


def by_func(totals):
    return {total.func: total for total in totals.all()}


@given(st.lists(st.lists(ends, max_size=60), max_size=6), st.sets(st.integers(0, 5)))
def test_what_sentinels_told_adds_up_to_what_ended(reports, deaths):
    sentinel, command = Totals(), Totals()
    before = {}
    for number, report in enumerate(reports):
        if number in deaths:
            sentinel = Totals()
        count(sentinel, *report)
        for total in sentinel.take():
            command.add(total)
        now = by_func(command)
        assert all(now[func].succeeded >= total.succeeded for func, total in before.items())
        before = now
    story = [end for report in reports for end in report]
    told = command.all()

    assert sum(total.succeeded for total in told) == sum(success for _, success, _ in story)
    assert sum(total.failed for total in told) == sum(not success for _, success, _ in story)
    assert sum(total.seconds for total in told) == pytest.approx(sum(end[2] for end in story))
    assert all(sum(total.durations) == total.succeeded + total.failed for total in told)
    assert len(told) <= FUNCS_MAX + 1
    ended = Counter(func for func, _, _ in story)
    if len(ended) <= FUNCS_MAX:
        assert {total.func: total.succeeded + total.failed for total in told} == dict(ended)


def test_functions_beyond_the_first_so_many_are_one_and_stay_so():
    totals = Totals()
    count(totals, *[(func, True, 1.0) for func in MANY])
    first = by_func(totals)
    totals.take()
    count(totals, (MANY[-1], False, 1.0), (MANY[0], True, 1.0))

    assert set(first) == {*MANY[:FUNCS_MAX], OTHER}
    assert first[OTHER].succeeded == 10
    assert {func: total.failed for func, total in by_func(totals).items()} == {OTHER: 1, MANY[0]: 0}


@pytest.mark.parametrize(
    ("seconds", "place"),
    [(0.0, 0), (0.01, 0), (0.0101, 1), (1.0, 4), (1.5, 5), (3_000.0, 11), (3_000.1, 12), (9e9, 12)],
)
def test_a_run_belongs_to_the_first_bound_that_it_does_not_exceed(seconds, place):
    totals = Totals()
    count(totals, ("math.modf", True, seconds))
    (total,) = totals.all()

    assert [each for each, number in enumerate(total.durations) if number] == [place]
    assert len(total.durations) == len(DURATION_BOUNDS) + 1


def test_what_was_given_away_is_not_given_again():
    totals = Totals()
    count(totals, ("math.modf", True, 1.0))
    totals.take()

    assert totals.take() == totals.all() == ()
    assert totals.ended == Count(1, 0)


def test_restarts_have_a_number_for_each_cause():
    assert [field.name for field in attrs.fields(Restarts)] == [cause.value for cause in Cause]


def test_restarts_add_up():
    counted = NO_RESTARTS
    for cause in [*Cause, Cause.TIMEOUT]:
        counted = one_more(counted, cause)

    assert counted == Restarts(1, 1, 2, 1, 1, 1)
    assert counted + Restarts(death=4) == Restarts(1, 1, 2, 5, 1, 1)
    assert (counted.total, NO_RESTARTS.total) == (7, 0)
