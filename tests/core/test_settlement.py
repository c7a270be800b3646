"""Holds the rules about the ends of tasks, each in turn."""

from __future__ import annotations

import pickle
import signal
from datetime import UTC, datetime

import attrs
import pytest

from djq.core import settlement
from djq.core.message import Outcome
from djq.core.protocol import Delivery, Verdict
from djq.core.settlement import Policy

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RECEIPTS = Policy(receipts=True, max_attempts=3)
SUCCESS = Outcome(True, b"", "", NOON, 1.0)
FAILURE = settlement.failure("ValueError: no", NOON)


def delivery(attempt=1, **changes):
    return attrs.evolve(
        Delivery("a" * 32, "name", "math.modf", None, None, "r", attempt, b""), **changes
    )


def test_a_failure_keeps_its_line_its_trace_and_its_length():
    outcome = settlement.failure("ValueError: no", NOON, 2.5, "Traceback")

    assert not outcome.success
    assert pickle.loads(outcome.value) == "ValueError: no"
    assert (outcome.traceback, outcome.stopped_at, outcome.seconds) == ("Traceback", NOON, 2.5)


@pytest.mark.parametrize("policy", [RECEIPTS, attrs.evolve(RECEIPTS, ack_failures=False)])
def test_a_success_is_saved_and_acknowledged(policy):
    assert settlement.after_return(delivery(), SUCCESS, policy) is Verdict.SAVE


def test_a_failure_is_saved_and_acknowledged():
    assert settlement.after_return(delivery(), FAILURE, RECEIPTS) is Verdict.SAVE


@pytest.mark.parametrize(
    ("attempt", "verdict"),
    [
        (1, Verdict.SAVE_AND_LEAVE),
        (2, Verdict.SAVE_AND_LEAVE),
        (3, Verdict.SAVE),
        (4, Verdict.SAVE),
    ],
)
def test_a_failure_is_left_to_the_broker_until_its_attempts_are_used_up(attempt, verdict):
    policy = attrs.evolve(RECEIPTS, ack_failures=False)

    assert settlement.after_return(delivery(attempt), FAILURE, policy) is verdict


def test_a_broker_without_receipts_presents_no_failure_again():
    policy = Policy(receipts=False, ack_failures=False)

    assert settlement.after_return(delivery(), FAILURE, policy) is Verdict.SAVE


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_a_task_runs_again_after_a_death_until_its_attempts_are_used_up(attempt, again):
    assert settlement.runs_again_after_death(delivery(attempt), RECEIPTS) is again


def test_a_task_without_a_receipt_does_not_run_again_after_a_death():
    assert not settlement.runs_again_after_death(delivery(), Policy(receipts=False))


def test_a_delivery_that_nobody_counts_does_not_run_again():
    uncounted = delivery(counted=False, max_attempts=9)
    left = attrs.evolve(RECEIPTS, ack_failures=False)

    assert not settlement.runs_again_after_death(uncounted, RECEIPTS)
    assert settlement.after_return(uncounted, FAILURE, left) is Verdict.SAVE
    assert settlement.death_line(uncounted, 3) == (
        "WorkerDied: worker died: exit code 3, and not tried again, since its broker does not "
        "count deliveries"
    )


def test_a_task_may_say_how_often_it_is_tried():
    often, once = delivery(3, max_attempts=4), delivery(1, max_attempts=1)

    assert settlement.runs_again_after_death(often, RECEIPTS)
    assert not settlement.runs_again_after_death(once, RECEIPTS)
    assert settlement.refusal_line(delivery(4, max_attempts=4), RECEIPTS) is None


@pytest.mark.parametrize(
    ("own", "cluster", "seconds"),
    [(None, None, None), (None, 60, 60), (0.3, 60, 0.3), (0.3, None, 0.3), (90, 60, 90)],
)
def test_a_task_s_own_time_limit_wins(own, cluster, seconds):
    policy = attrs.evolve(RECEIPTS, timeout=cluster)

    assert settlement.time_allowed(delivery(timeout=own), policy) == seconds


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_task_may_run_as_often_as_allowed(attempt):
    assert settlement.refusal_line(delivery(attempt), RECEIPTS) is None


def test_a_task_beyond_its_attempts_is_refused_with_their_number():
    assert settlement.refusal_line(delivery(4), RECEIPTS) == (
        "TooManyAttempts: no outcome after 3 attempts: each time its cluster was gone before the end"
    )


@pytest.mark.parametrize(
    ("attempt", "code", "line"),
    [
        (1, -9, "WorkerDied: worker died: signal 9 (SIGKILL), 1 attempt"),
        (3, 70, "WorkerDied: worker died: exit code 70, 3 attempts"),
    ],
)
def test_a_death_is_told_with_its_cause_and_the_attempts(attempt, code, line):
    assert settlement.death_line(delivery(attempt), code) == line


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit code 0"),
        (255, "exit code 255"),
        (
            settlement.EXIT_UNKNOWN,
            "exit code unknown, since something else in its parent collected it",
        ),
        (settlement.EXIT_ABANDONED, "its thread left to itself, since a thread cannot be killed"),
        (-signal.SIGSEGV, "signal 11 (SIGSEGV)"),
        (-63, "signal 63"),
    ],
)
def test_an_exit_is_described_in_words(code, words):
    assert settlement.describe_exit(code) == words


@pytest.mark.parametrize(("seconds", "words"), [(60.0, "60 s"), (0.3, "0.3 s"), (1.25, "1.25 s")])
def test_an_overrun_is_told_with_its_limit(seconds, words):
    assert settlement.timeout_line(seconds) == f"TaskTimedOut: timed out after {words}"
