"""The overview as plain values: what `qinfo --json`, `qmonitor --json` and the admin's page give."""

from __future__ import annotations

import json

from djq import overview
from djq.terminal.plain import plain
from tests.django.overview_parts import FULL, NOON


def test_everything_is_plain_and_survives_json():
    values = plain(FULL)

    assert json.loads(json.dumps(values)) == values
    assert values == {
        "at": "2026-11-29T12:00:00+00:00",
        "queue": {
            "name": "shop",
            "broker": "Redis 7.4",
            "size": 12,
            "locked": None,
            "oldest_seconds": 31.5,
        },
        "clusters": [
            {
                "cluster_id": 17000,
                "host": "orion",
                "tob": "2026-11-29T10:00:00+00:00",
                "now": "2026-11-29T12:00:00+00:00",
                "status": "Working",
                "sentinel": 17005,
                "monitor": 17010,
                "pusher": 17011,
                "workers": [17006, 17007],
                "task_q_size": 23,
                "done_q_size": 2,
                "reincarnations": 1,
                "running": [
                    {
                        "id": "a" * 32,
                        "name": "green-nine",
                        "func": "shop.tasks.report",
                        "worker": 17006,
                        "since": "2026-11-29T11:00:00+00:00",
                        "attempt": 2,
                    }
                ],
                "last_minute": {"succeeded": 7, "failed": 1, "total": 8},
                "last_hour": {"succeeded": 70, "failed": 10, "total": 80},
                "last_day": {"succeeded": 700, "failed": 100, "total": 800},
                "minutes": [
                    {"succeeded": 0, "failed": 0, "total": 0},
                    {"succeeded": 70, "failed": 10, "total": 80},
                ],
                "broker_away_since": "2026-11-29T11:00:00+00:00",
                "store_away_since": None,
                "by_func": [
                    {
                        "func": "shop.tasks.report",
                        "succeeded": 3,
                        "failed": 1,
                        "seconds": 7.5,
                        "durations": [0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0],
                    }
                ],
                "restarts": {
                    "recycle": 4,
                    "max_rss": 0,
                    "timeout": 1,
                    "death": 0,
                    "start": 0,
                    "stop": 0,
                    "total": 5,
                },
                "uptime_seconds": 7_200.0,
            }
        ],
        "results": {"successes": 1_000, "failures": 2},
        "day": {"count": 177, "average_seconds": 0.1612},
        "failures": [
            {
                "id": "b" * 32,
                "name": "lima-lima",
                "func": "shop.tasks.pay",
                "stopped": "2026-11-29T11:00:00+00:00",
                "attempts": 1,
                "traceback": "ValueError: 7\n",
                "reason": "ValueError: 7",
            }
        ],
        "schedules": {
            "count": 4,
            "coming": [
                {"id": 3, "name": "", "func": "math.sqrt", "at": "2026-11-29T13:00:00+00:00"}
            ],
        },
        "errors": {},
    }


def test_a_part_that_is_away_is_none_and_one_that_nobody_asked_for_is_not_there():
    away = {"queue": "BrokerUnavailable: no route to the queue"}

    values = plain(overview.Overview(at=NOON, clusters=(), errors=away))

    assert values == {
        "at": "2026-11-29T12:00:00+00:00",
        "clusters": [],
        "queue": None,
        "errors": away,
    }
