"""Hypothesis strategies for what goes into djq: schedules, zones, moments, calls, faults, histories.

@given(schedules())
def test_reports_can_be_scheduled(fields):
    schedule("reports.tasks.write", **fields)
"""

from __future__ import annotations

from hypothesis import strategies as st

from djq_testing.histories import (
    Acknowledge,
    Delete,
    Dequeue,
    Enqueue,
    Extend,
    Fail,
    Purge,
    Release,
    Step,
    Wait,
)

STEPS = (
    *(Enqueue, Enqueue, Dequeue, Dequeue, Dequeue, Dequeue, Wait, Wait, Wait, Wait),
    *(Extend, Extend, Extend, Release, Release, Release, Acknowledge, Acknowledge),
    *(Fail, Delete, Purge),
)
"""What is asked of a broker, as often as it stands here: where all is deleted nothing can go wrong."""


def broker_steps(retry_seconds: float = 60.0) -> st.SearchStrategy[Step]:
    """One thing to be asked of a broker whose leases last so long, or a pause."""
    number = st.integers(0, 5)
    some = st.lists(number, min_size=1, max_size=4).map(tuple)
    pauses = st.sampled_from([0.001, 1, retry_seconds / 2, retry_seconds])
    steps: dict[type[Step], st.SearchStrategy[Step]] = {
        Enqueue: st.builds(Enqueue, st.integers(0, 4)),
        Dequeue: st.builds(Dequeue, st.integers(1, 4)),
        Acknowledge: st.builds(Acknowledge, some),
        Extend: st.builds(Extend, some),
        Release: st.builds(Release, some, st.booleans()),
        Fail: st.builds(Fail, number),
        Delete: st.builds(Delete, number),
        Purge: st.builds(Purge),
        Wait: st.builds(Wait, pauses),
    }
    return st.sampled_from(STEPS).flatmap(steps.__getitem__)


def broker_histories(
    retry_seconds: float = 60.0, *, max_size: int = 30
) -> st.SearchStrategy[tuple[Step, ...]]:
    """What is asked of a broker whose leases last so long, in which order.

    As values, to be played by `djq_testing.histories.play` on any broker with an empty queue.
    """
    return st.lists(broker_steps(retry_seconds), max_size=max_size).map(tuple)
