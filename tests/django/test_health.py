"""The checks of `qinfo --health`: what is well, what is not, and what cannot be told."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from djq.terminal.health import CHECKS, PARTS_OF, Check, Limits, Verdict, checked, verdict_of
from tests.django.overview_parts import FULL, NOON, cluster, without

AWAY = "BrokerUnavailable: no route\nto the queue"


def line_of(name, seen, **limits):
    (check,) = checked(seen, [name], Limits(**limits))
    return str(check)


def with_clusters(*clusters):
    return attrs.evolve(FULL, clusters=clusters)


def with_queue(**fields):
    return attrs.evolve(FULL, queue=attrs.evolve(FULL.queue, **fields))


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (with_clusters(cluster()), "cluster: ok, taking tasks: orion 17000 Idle"),
        (
            with_clusters(cluster(1, status="Stopping"), cluster(2, status="Working")),
            "cluster: ok, taking tasks: orion 2 Working",
        ),
        (
            with_clusters(*(cluster(number) for number in range(5))),
            "cluster: ok, taking tasks: orion 0 Idle, orion 1 Idle, orion 2 Idle, 2 more",
        ),
        (
            with_clusters(
                cluster(1, status="Starting"),
                cluster(2, status="Stopping"),
                cluster(3, status="Stopped"),
            ),
            "cluster: failed, none takes tasks: orion 1 Starting, orion 2 Stopping, orion 3 Stopped",
        ),
        (with_clusters(), "cluster: failed, there is none"),
        (
            without(clusters="BoardUnavailable: Redis: gone"),
            "cluster: unknown, BoardUnavailable: Redis: gone",
        ),
    ],
)
def test_a_cluster_is_alive_when_it_takes_tasks(seen, line):
    assert line_of("cluster", seen) == line


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (with_clusters(), "broker: ok, Redis 7.4 answers"),
        (without(clusters="gone"), "broker: ok, Redis 7.4 answers"),
        (without(queue=AWAY), "broker: failed, BrokerUnavailable: no route to the queue"),
        (
            with_clusters(cluster(1, broker_away_since=NOON), cluster(2)),
            "broker: ok, Redis 7.4 answers",
        ),
        (
            with_clusters(
                cluster(1, broker_away_since=NOON),
                cluster(2, status="Stopping"),
            ),
            "broker: failed, Redis 7.4 answers here, and not to orion 1 Idle",
        ),
    ],
)
def test_a_broker_is_reachable_when_it_answers_here_and_to_some_cluster(seen, line):
    assert line_of("broker", seen) == line


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (with_clusters(cluster()), "store: ok, results are kept"),
        (
            with_clusters(cluster(1, store_away_since=NOON), cluster(2)),
            "store: ok, results are kept",
        ),
        (
            with_clusters(
                cluster(1, "a", store_away_since=NOON),
                cluster(2, "b", store_away_since=NOON - timedelta(hours=1)),
            ),
            "store: failed, no results are kept since 2026-11-29T11:00:00+00:00 by a 1 Idle, b 2 Idle",
        ),
        (with_clusters(), "store: unknown, no cluster takes tasks, so none tells"),
        (without(clusters="gone"), "store: unknown, gone"),
    ],
)
def test_the_store_is_well_when_some_cluster_keeps_results(seen, line):
    assert line_of("store", seen) == line


@pytest.mark.parametrize(
    ("seen", "most", "line"),
    [
        (with_queue(size=0, oldest_seconds=None), 1, "age: ok, nothing waits"),
        (with_queue(oldest_seconds=300.0), None, "age: ok, the oldest task waits for 300.0 s"),
        (
            with_queue(oldest_seconds=300.1),
            None,
            "age: failed, a task waits for 300.1 s, more than 300 s",
        ),
        (with_queue(oldest_seconds=300.1), 301, "age: ok, the oldest task waits for 300.1 s"),
        (
            with_queue(oldest_seconds=2.0),
            1.5,
            "age: failed, a task waits for 2.0 s, more than 1.5 s",
        ),
        (
            with_queue(oldest_seconds=None),
            None,
            "age: ok, Redis 7.4 does not tell how long tasks wait",
        ),
        # Who has set a limit wants it kept, and is not to be told that it is.
        (
            with_queue(oldest_seconds=None),
            60,
            "age: unknown, Redis 7.4 does not tell how long tasks wait",
        ),
        (without(queue=AWAY), None, "age: unknown, BrokerUnavailable: no route to the queue"),
    ],
)
def test_no_task_is_to_wait_longer_than_the_limit(seen, most, line):
    assert line_of("age", seen, age_seconds=most) == line


@pytest.mark.parametrize(
    ("seen", "most", "line"),
    [
        (FULL, None, "waiting: ok, 12 tasks wait"),
        (FULL, 12, "waiting: ok, 12 tasks wait"),
        (FULL, 11, "waiting: failed, 12 tasks wait, more than 11"),
        (without(queue=AWAY), 11, "waiting: unknown, BrokerUnavailable: no route to the queue"),
    ],
)
def test_no_more_tasks_are_to_wait_than_the_limit(seen, most, line):
    assert line_of("waiting", seen, waiting=most) == line


@pytest.mark.parametrize(
    ("verdicts", "one"),
    [
        ([Verdict.PASSED, Verdict.PASSED], Verdict.PASSED),
        ([Verdict.PASSED, Verdict.UNKNOWN], Verdict.UNKNOWN),
        ([Verdict.UNKNOWN, Verdict.FAILED, Verdict.PASSED], Verdict.FAILED),
    ],
)
def test_one_that_has_failed_fails_all_and_one_that_cannot_be_told_leaves_them_open(verdicts, one):
    assert verdict_of([Check("cluster", verdict, "") for verdict in verdicts]) == one


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_needs_no_other_parts_than_it_says(name):
    others = [part for part in ("clusters", "queue") if part not in PARTS_OF[name]]

    assert line_of(name, without(*others)) == line_of(name, FULL)
    assert "was not looked at" in line_of(name, without("clusters", "queue"))
