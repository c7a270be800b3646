"""The documented summary of `qinfo`: its rows, its sums, its rate (the manual, 1.10.2)."""

from __future__ import annotations

import attrs
import pytest

from djq import overview
from djq.terminal import qinfo
from tests.django.overview_parts import FULL, NOON, cluster, without


def test_rows_are_those_of_the_manual():
    seen = attrs.evolve(
        FULL,
        clusters=(cluster(workers=(1, 2, 3, 4)),),
        queue=attrs.evolve(FULL.queue, size=0),
    )

    lines = qinfo.summary_lines(qinfo.summed(seen), aligned=False)

    assert lines == [
        "-- djq summary --",
        "Clusters\t1\tWorkers\t4\tRestarts\t0",
        "Queued\t0\tSuccesses\t1000\tFailures\t2",
        "Schedules\t4\tTasks/hour\t7.38\tAvg time\t0.1612",
    ]


def test_people_get_columns():
    lines = qinfo.summary_lines(qinfo.summed(FULL), aligned=True)

    assert lines == [
        "-- djq summary --",
        "Clusters   1   Workers     2     Restarts  1",
        "Queued     12  Successes   1000  Failures  2",
        "Schedules  4   Tasks/hour  7.38  Avg time  0.1612",
    ]


def test_sums_are_over_all_clusters_but_those_that_have_stopped():
    clusters = (
        cluster(1, workers=(10, 11), reincarnations=3),
        cluster(2, status="Starting"),
        cluster(3, status="Stopping", workers=(30,), reincarnations=1),
        cluster(4, status="Stopped", reincarnations=50),
    )

    summary = qinfo.summed(attrs.evolve(FULL, clusters=clusters))

    assert (summary.clusters, summary.workers, summary.restarts) == (3, 3, 4)
    assert [stat.cluster_id for stat in qinfo.running(attrs.evolve(FULL, clusters=clusters))] == [
        1,
        2,
        3,
    ]


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "Tasks/day\t0.00"),
        (24, "Tasks/day\t24.00"),
        (25, "Tasks/hour\t1.04"),
        (1_440, "Tasks/hour\t60.00"),
        (1_441, "Tasks/minute\t1.00"),
        (86_400, "Tasks/minute\t60.00"),
        (86_401, "Tasks/second\t1.00"),
        (1_000_000, "Tasks/second\t11.57"),
    ],
)
def test_rate_is_told_for_the_unit_that_fits_the_amount(count, words):
    seen = attrs.evolve(FULL, day=overview.Day(count=count, average_seconds=0.5))

    last = qinfo.summary_lines(qinfo.summed(seen), aligned=False)[-1]

    assert last == f"Schedules\t4\t{words}\tAvg time\t0.5000"


@pytest.mark.parametrize(
    ("part", "rows"),
    [
        ("clusters", "Clusters\t-\tWorkers\t-\tRestarts\t-"),
        ("queue", "Queued\t-\tSuccesses\t1000\tFailures\t2"),
        ("results", "Queued\t12\tSuccesses\t-\tFailures\t-"),
        ("day", "Schedules\t4\tTasks/day\t-\tAvg time\t-"),
        ("schedules", "Schedules\t-\tTasks/hour\t7.38\tAvg time\t0.1612"),
    ],
)
def test_what_is_away_is_a_dash_and_a_line_says_why(part, rows):
    seen = without(**{part: "BrokerUnavailable: no route\n\tto the server"})

    assert rows in qinfo.summary_lines(qinfo.summed(seen), aligned=False)
    assert qinfo.reasons(seen.errors) == [f"{part}: BrokerUnavailable: no route to the server"]


def test_average_of_nothing_is_a_dash():
    seen = attrs.evolve(FULL, day=overview.Day(count=0, average_seconds=None))

    last = qinfo.summary_lines(qinfo.summed(seen), aligned=False)[-1]

    assert last == "Schedules\t4\tTasks/day\t0.00\tAvg time\t-"


def test_clusters_of_other_hosts_can_be_left_out():
    seen = overview.Overview(at=NOON, clusters=(cluster(1), cluster(2, host="vega")))

    assert qinfo.at_host(seen, "vega").clusters == (cluster(2, host="vega"),)
    assert qinfo.at_host(without("clusters"), "vega").clusters is None
