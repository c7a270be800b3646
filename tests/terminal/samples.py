"""Overviews to show, with names that nobody should trust."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs

from djq.monitor import Count, Running, Stat
from djq.overview import Failed, Overview, QueueNow, Results
from djq.terminal.qmonitor_table import Expected

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOSTILE = "[bold]x[/bold]\x1b[31m\u202ey\n"
"""Markup, an escape sequence, a change of direction, a new line."""
SHOWN = r"[bold]x[/bold]\x1b[31m\u202ey\n"
EXPECTED = Expected(workers=4, queue_limit=20)

LONG = Running("a" * 32, "long-report", "shop.tasks.report", 17006, NOON - 5 * MINUTE, 2)
ORION = Stat(
    cluster_id=17004,
    host="Orion",
    tob=NOON - timedelta(seconds=75),
    now=NOON,
    status="Working",
    sentinel=17005,
    monitor=17010,
    pusher=17011,
    workers=(17006, 17007, 17008, 17009),
    task_q_size=23,
    running=(LONG,),
    last_minute=Count(7, 1),
    last_hour=Count(70, 10),
    last_day=Count(700, 100),
    minutes=(*[Count()] * 57, Count(4, 0), Count(1, 0), Count(6, 2)),
)
PHOENIX = Stat(
    cluster_id=14710,
    host="Phoenix",
    tob=NOON - timedelta(hours=26, minutes=10, seconds=18),
    now=NOON,
    status="Stopping",
    workers=(1, 2, 3),
    done_q_size=14,
    reincarnations=2,
    last_minute=Count(3, 0),
    minutes=(*[Count()] * 59, Count(8, 0)),
)
FAILED = Failed(
    id="b" * 32,
    name="pay-42",
    func="shop.tasks.pay",
    stopped=NOON - MINUTE,
    attempts=3,
    traceback='Traceback (most recent call last):\n  File "pay.py", line 7\nValueError: no card\n',
)
FULL = Overview(
    at=NOON,
    queue=QueueNow(name="shop", broker="Redis 7.4", size=12, locked=3),
    clusters=(ORION, PHOENIX),
    results=Results(successes=1_000, failures=2),
    failures=(FAILED,),
)
NOTHING_YET = Overview(at=NOON)

HOSTILE_OVERVIEW = attrs.evolve(
    FULL,
    queue=attrs.evolve(FULL.queue, broker=HOSTILE),
    clusters=(
        attrs.evolve(
            ORION, host=HOSTILE, running=(attrs.evolve(LONG, name=HOSTILE, func=HOSTILE),)
        ),
    ),
    failures=(
        attrs.evolve(
            FAILED,
            name=HOSTILE,
            func=HOSTILE,
            traceback=f"{HOSTILE}E: {HOSTILE}",
            reason=HOSTILE,
        ),
    ),
    errors={"results": HOSTILE},
)
