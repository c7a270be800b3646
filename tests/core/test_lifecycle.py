"""Holds the three machines: every pair of state and event is in the table, or is refused."""

from __future__ import annotations

import itertools

import pytest

from djq.core.lifecycle import (
    CHILD_TRANSITIONS,
    CLUSTER_TRANSITIONS,
    TASK_TRANSITIONS,
    ChildEvent,
    ChildId,
    ChildState,
    ClusterEvent,
    ClusterState,
    Order,
    Role,
    TaskEvent,
    TaskState,
    move,
)
from djq.exceptions import IllegalTransition

# Written out a second time, in the other direction: a slip in one of the two is found by the other.
CHILD = {
    ChildEvent.READY: {
        ChildState.STARTING: (ChildState.RUNNING, ()),
        ChildState.STOPPING: (ChildState.STOPPING, ()),
    },
    ChildEvent.RETIRE: {
        ChildState.RUNNING: (ChildState.RETIRING, (Order.SPAWN_NEXT,)),
        ChildState.RETIRING: (ChildState.RETIRING, ()),
        ChildState.STOPPING: (ChildState.STOPPING, ()),
    },
    ChildEvent.STOP: {
        ChildState.STARTING: (ChildState.STOPPING, (Order.ASK_STOP,)),
        ChildState.RUNNING: (ChildState.STOPPING, (Order.ASK_STOP,)),
        ChildState.RETIRING: (ChildState.STOPPING, (Order.ASK_STOP,)),
        ChildState.STOPPING: (ChildState.STOPPING, (Order.ASK_STOP,)),
    },
    ChildEvent.OVERDUE: {
        state: (state, (Order.KILL,)) for state in ChildState if state is not ChildState.GONE
    },
    ChildEvent.EXITED: {
        ChildState.STARTING: (ChildState.GONE, (Order.SPAWN_NEXT,)),
        ChildState.RUNNING: (ChildState.GONE, (Order.SPAWN_NEXT,)),
        ChildState.RETIRING: (ChildState.GONE, ()),
        ChildState.STOPPING: (ChildState.GONE, ()),
    },
}
TASK = {
    TaskEvent.ASSIGNED: {TaskState.QUEUED: TaskState.HELD},
    TaskEvent.REFUSED: {TaskState.QUEUED: TaskState.SETTLED},
    TaskEvent.RECALLED: {TaskState.QUEUED: TaskState.SETTLED},
    TaskEvent.STARTED: {TaskState.HELD: TaskState.RUNNING},
    TaskEvent.WORKER_DIED: {
        TaskState.HELD: TaskState.QUEUED,
        TaskState.RUNNING: TaskState.SETTLED,
    },
    TaskEvent.TAKEN_BACK: {TaskState.HELD: TaskState.QUEUED},
    TaskEvent.SPARED: {TaskState.RUNNING: TaskState.SETTLED},
    TaskEvent.RETURNED: {TaskState.RUNNING: TaskState.SETTLED},
    TaskEvent.OVERDUE: {TaskState.RUNNING: TaskState.RUNNING},
    TaskEvent.KEPT: {TaskState.SETTLED: TaskState.GONE},
}
CLUSTER = {
    ClusterEvent.ALL_READY: {ClusterState.STARTING: ClusterState.WORKING},
    ClusterEvent.STOP: {
        ClusterState.STARTING: ClusterState.HALTING,
        ClusterState.WORKING: ClusterState.HALTING,
    },
    ClusterEvent.PUSHER_GONE: {ClusterState.HALTING: ClusterState.DRAINING},
    ClusterEvent.WORKERS_GONE: {ClusterState.DRAINING: ClusterState.SAVING},
    ClusterEvent.MONITOR_GONE: {ClusterState.SAVING: ClusterState.STOPPED},
    ClusterEvent.END: {
        state: ClusterState.STOPPED for state in ClusterState if state is not ClusterState.STOPPED
    },
}


def cases(table, states, events, expected):
    return [
        pytest.param(
            table, state, event, expected[event].get(state), id=f"{state.name}-{event.name}"
        )
        for state, event in itertools.product(states, events)
    ]


@pytest.mark.parametrize(
    ("table", "state", "event", "expected"),
    [
        *cases(CHILD_TRANSITIONS, ChildState, ChildEvent, CHILD),
        *cases(TASK_TRANSITIONS, TaskState, TaskEvent, TASK),
        *cases(CLUSTER_TRANSITIONS, ClusterState, ClusterEvent, CLUSTER),
    ],
)
def test_a_pair_moves_as_the_table_says_or_is_refused(table, state, event, expected):
    if expected is None:
        with pytest.raises(IllegalTransition) as refusal:
            move(table, state, event)
        assert state.name in str(refusal.value)
        assert event.name in str(refusal.value)
    else:
        assert move(table, state, event) == expected


@pytest.mark.parametrize(
    ("table", "first"),
    [
        (CHILD_TRANSITIONS, ChildState.STARTING),
        (TASK_TRANSITIONS, TaskState.QUEUED),
        (CLUSTER_TRANSITIONS, ClusterState.STARTING),
    ],
)
def test_every_state_can_be_reached(table, first):
    reached = {first}
    while True:
        answers = [answer for (state, _), answer in table.items() if state in reached]
        more = {answer[0] if isinstance(answer, tuple) else answer for answer in answers}
        if more <= reached:
            break
        reached |= more

    assert reached == set(type(first))


def test_a_child_is_named_with_its_generation():
    assert str(ChildId(Role.WORKER, 2, 3)) == "worker 2, generation 3"
