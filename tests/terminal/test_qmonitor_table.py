"""What `qmonitor` makes of an overview, for the screen and for plain lines."""

from __future__ import annotations

from datetime import timedelta, timezone

import attrs
import pytest

from djq.monitor import Count
from djq.terminal.qmonitor_table import (
    COLUMNS,
    Expected,
    bars,
    cluster_rows,
    duration,
    ended,
    facts,
    failure_rows,
    key_of,
    plain_rows,
    summary,
    troubles,
    worker_rows,
)
from tests.terminal.samples import (
    EXPECTED,
    FAILED,
    FULL,
    HOSTILE_OVERVIEW,
    LONG,
    MINUTE,
    NOON,
    NOTHING_YET,
    ORION,
    PHOENIX,
    SHOWN,
)

BERLIN = timezone(timedelta(hours=1), "CET")


def texts(row):
    return [cell.text for cell in row.cells]


def cell_of(stat, column, expected=EXPECTED):
    (row,) = cluster_rows(attrs.evolve(FULL, clusters=(stat,)), expected)
    return row.cells[COLUMNS.index(column)]


def test_clusters_have_the_columns_of_the_manual():
    rows = cluster_rows(FULL, EXPECTED)

    assert COLUMNS == ("Host", "Id", "State", "Pool", "TQ", "RQ", "RC", "Up")
    assert texts(rows[0]) == ["Orion", "17004", "Working", "4", "23", "0", "0", "0:01:15"]
    assert texts(rows[1]) == ["Phoenix", "14710", "Stopping", "3", "0", "14", "2", "26:10:18"]


@pytest.mark.parametrize(
    ("status", "colour"),
    [
        ("Starting", ""),
        ("Idle", ""),
        ("Working", "green"),
        ("Stopping", "yellow"),
        ("Stopped", "red"),
    ],
)
def test_each_state_has_its_colour(status, colour):
    assert cell_of(attrs.evolve(ORION, status=status), "State").colour == colour


@pytest.mark.parametrize(
    ("queue_limit", "queued", "colour"),
    [
        (20, 0, ""),
        (20, 1, "cyan"),
        (20, 19, "cyan"),
        (20, 20, "green"),
        (20, 23, "green"),
        (None, 7, "cyan"),
        (None, 8, "green"),
    ],
)
def test_tasks_in_memory_turn_green_at_the_queue_limit(queue_limit, queued, colour):
    stat = attrs.evolve(ORION, task_q_size=queued)

    cell = cell_of(stat, "TQ", Expected(workers=4, queue_limit=queue_limit))

    assert cell.colour == colour


def test_unsaved_results_and_a_pool_that_is_too_small_stand_out():
    assert cell_of(ORION, "RQ").colour == ""
    assert cell_of(PHOENIX, "RQ").colour == "cyan"
    assert cell_of(ORION, "Pool").colour == ""
    assert cell_of(PHOENIX, "Pool").colour == "yellow"


def test_clusters_with_one_number_are_told_apart_by_host_and_birth():
    others = [attrs.evolve(ORION, host="Phoenix"), attrs.evolve(ORION, tob=NOON)]

    assert len({key_of(stat) for stat in [ORION, *others]}) == 3


def test_long_hosts_are_shortened_where_a_width_is_given():
    seen = attrs.evolve(FULL, clusters=(attrs.evolve(ORION, host="worker-7f9c5d-abcde"),))

    assert cluster_rows(seen, EXPECTED, 9)[0].cells[0].text == "work…bcde"
    assert cluster_rows(seen, EXPECTED)[0].cells[0].text == "worker-7f9c5d-abcde"


def test_workers_show_what_they_run_and_those_without_a_task_come_last():
    leaving = attrs.evolve(LONG, id="c" * 32, name="last-one", worker=16999, attempt=1)

    rows = worker_rows(attrs.evolve(ORION, running=(LONG, leaving)))

    assert texts(rows[0]) == ["17006", "long-report", "shop.tasks.report", "2", "0:05:00"]
    assert texts(rows[1])[:2] == ["16999", "last-one"]
    assert [texts(row)[:2] for row in rows[2:]] == [
        ["17007", "-"],
        ["17008", "-"],
        ["17009", "-"],
    ]
    assert [rows[0].cells[3].colour, rows[1].cells[3].colour] == ["yellow", ""]


def test_a_worker_with_two_tasks_has_two_rows_with_keys_of_their_own():
    other = attrs.evolve(LONG, id="c" * 32)

    rows = worker_rows(attrs.evolve(ORION, workers=(17006,), running=(LONG, other)))

    assert len({row.key for row in rows}) == len(rows) == 2


def test_failures_show_why_they_failed():
    silent = attrs.evolve(FAILED, id="d" * 32, traceback="")
    killed = attrs.evolve(silent, id="f" * 32, reason="WorkerDied: signal 9\nand more")
    talkative = attrs.evolve(FAILED, id="e" * 32, traceback=f"E: {'y' * 100}")

    rows = failure_rows(attrs.evolve(FULL, failures=(FAILED, silent, talkative, killed)), BERLIN)

    assert texts(rows[0]) == [
        *("11-29 12:59:00", "pay-42", "ValueError: no card", "shop.tasks.pay", "3")
    ]
    assert texts(rows[1])[2] == "-"
    assert texts(rows[2])[2] == f"E: {'y' * 56}…"
    assert texts(rows[3])[2] == "WorkerDied: signal 9"
    assert failure_rows(NOTHING_YET, BERLIN) == []


@pytest.mark.parametrize(
    ("locked", "queued"), [(3, "12 (3 locked)"), (0, "12"), (None, "12")], ids=str
)
def test_the_summary_counts_the_queue_and_what_is_kept(locked, queued):
    seen = attrs.evolve(FULL, queue=attrs.evolve(FULL.queue, locked=locked))

    assert summary(seen) == f"shop at Redis 7.4   Queued {queued}   Success 1000   Failures 2"


def test_what_is_not_known_is_no_zero():
    assert summary(NOTHING_YET) == "?   Queued ?   Success ?   Failures ?"


def test_what_has_ended_is_added_up_over_clusters():
    assert (
        ended([ORION, PHOENIX]) == "Ended: minute 11 (1 failed), hour 80 (10 failed), "
        "day 800 (100 failed)"
    )
    assert ended([]) == "Ended: minute 0, hour 0, day 0"


def test_bars_begin_at_zero_and_end_with_this_minute():
    assert bars([ORION, PHOENIX]) == f"{'':57}▂▁█  peak 16/min"
    # One cluster alone has other bars: the height is that of its own highest minute.
    assert bars([ORION]) == f"{'':57}▄▁█  peak 8/min"


def test_a_steady_rate_is_high_all_the_way_and_nothing_at_all_is_blank():
    steady = attrs.evolve(ORION, minutes=(Count(100, 0),) * 60)
    uncounted = attrs.evolve(ORION, minutes=())

    assert bars([steady]) == f"{'█' * 60}  peak 100/min"
    assert bars([uncounted]) == bars([]) == f"{'':60}  peak 0/min"


def test_the_facts_of_a_cluster_name_its_processes():
    assert facts(ORION) == [
        "Orion 17004  Working  up 0:01:15",
        "Pool 4  TQ 23  RQ 0  RC 0  sentinel 17005  pusher 17011  monitor 17010",
        "Ended: minute 8 (1 failed), hour 80 (10 failed), day 800 (100 failed)",
    ]
    assert facts(PHOENIX)[1].endswith("sentinel -  pusher -  monitor -")


def test_troubles_are_parts_that_are_away_and_services_that_a_cluster_does_not_reach():
    cut_off = attrs.evolve(ORION, broker_away_since=NOON - MINUTE, store_away_since=NOON)
    seen = attrs.evolve(
        FULL, clusters=(cut_off, PHOENIX), errors={"queue": "gone", "failures": "also gone"}
    )

    assert troubles(seen, BERLIN) == [
        "failures: also gone",
        "queue: gone",
        "Orion 17004: its broker has not answered since 12:59:00 CET",
        "Orion 17004: its store has not answered since 13:00:00 CET",
    ]
    assert troubles(FULL, BERLIN) == []


def test_plain_rows_are_as_wide_as_their_cells():
    assert plain_rows(COLUMNS, cluster_rows(FULL, EXPECTED)) == [
        "Host        Id  State     Pool  TQ  RQ  RC        Up",
        "Orion    17004  Working      4  23   0   0   0:01:15",
        "Phoenix  14710  Stopping     3   0  14   2  26:10:18",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(75.9, "0:01:15"), (90_061, "25:01:01"), (0, "0:00:00"), (-3, "0:00:00")]
)
def test_durations_are_hours_minutes_and_seconds(seconds, shown):
    assert duration(seconds) == shown


def test_nothing_that_others_chose_comes_through_as_a_control_character():
    (stat,) = HOSTILE_OVERVIEW.clusters
    rows = [
        *cluster_rows(HOSTILE_OVERVIEW, EXPECTED),
        *worker_rows(stat),
        *failure_rows(HOSTILE_OVERVIEW, BERLIN),
    ]
    lines = [
        *(text for row in rows for text in texts(row)),
        summary(HOSTILE_OVERVIEW),
        *facts(stat),
        *troubles(HOSTILE_OVERVIEW, BERLIN),
    ]

    assert all(line.isprintable() for line in lines)
    assert sum(SHOWN in line for line in lines) == 8
