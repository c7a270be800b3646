"""Holds what follows from a task, and that it is the same thing each time it is asked."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime

import attrs
import pytest

from djq.core.composition import derived_id, hook_of
from djq.core.message import Finished, Kind, Outcome, TaskMessage

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TASK = TaskMessage(
    id="a" * 32,
    name="four-words",
    func="math.modf",
    enqueued_at=NOON,
    body=b"",
    hook="app.hooks.done",
    group="letters",
    timeout=3,
)


def finished(*, success=True, seconds=1.0, **changes):
    outcome = Outcome(success, pickle.dumps("value"), "", NOON, seconds)
    return Finished(attrs.evolve(TASK, **changes), outcome, 1)


def test_a_task_without_a_hook_has_no_follower():
    assert hook_of(finished(hook=None)) is None


def test_a_hook_has_no_hook():
    assert hook_of(finished(kind=Kind.HOOK)) is None


def test_a_hook_carries_the_task_with_its_outcome():
    hook = hook_of(finished())

    assert (hook.kind, hook.func, hook.hook) == (Kind.HOOK, "app.hooks.done", None)
    assert pickle.loads(hook.body) == finished()


def test_a_hook_has_the_timeout_of_the_cluster_and_not_of_its_task():
    hook = hook_of(finished())

    assert hook.timeout is None


def test_a_redelivered_task_makes_the_same_follower_again():
    first, again = hook_of(finished(seconds=1.0)), hook_of(finished(seconds=2.0))

    assert (first.id, first.name) == (again.id, again.name)


@pytest.mark.parametrize("other", [finished(success=False), finished(id="b" * 32)])
def test_another_outcome_or_another_task_has_a_follower_of_its_own(other):
    assert hook_of(finished()).id != hook_of(other).id


def test_a_derived_id_looks_like_any_other():
    assert re.fullmatch("[0-9a-f]{32}", derived_id("a" * 32, "step"))
    assert derived_id("a" * 32, "step") != derived_id("a" * 32, "another")
