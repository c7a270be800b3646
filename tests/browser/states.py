"""A busy afternoon of a shop: two clusters, what they run, what ended, failed and comes; always the same."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from djq.core.call import dump_call, dump_value
from djq.core.protocol import Running
from djq.core.tally import NONE, Count
from djq.models import OrmQ, Schedule, Task
from djq.monitor import Stat, written
from djq.tasks import async_task

NOW = datetime(2026, 11, 24, 14, 30, 12, tzinfo=UTC)


class Board:
    """A board with these clusters."""

    def __init__(self, *stats):
        self.texts = [written(stat) for stat in stats]

    def read(self):
        return self.texts


def ago(**lengths):
    return NOW - timedelta(**lengths)


def hour(scale):
    """An hour with a quiet start, a rush, and a few bad minutes in it."""
    minutes = []
    for number in range(60):
        rush = 40 + 30 * math.sin(number / 7) + 25 * math.exp(-((number - 41) ** 2) / 20)
        failed = 7 if number in {40, 41, 42} else int(number % 17 == 5)
        minutes.append(Count(int(rush * scale), failed))
    return tuple(minutes)


def running(number, func, seconds, *, worker, attempt=1, name=None):
    names = ("ten-fruit-lamp-moon", "july-mango-tango-nine", "oxygen-table-ink-lion")
    return Running(
        f"{number:032x}", name or names[number % 3], func, worker, ago(seconds=seconds), attempt
    )


def clusters():
    """Two clusters on two hosts."""
    first, second = hour(1.0), hour(0.6)
    orion = Stat(
        cluster_id=2104,
        host="orion",
        tob=ago(days=3, hours=4),
        now=NOW,
        status="Working",
        sentinel=2110,
        monitor=2115,
        pusher=2116,
        workers=(2111, 2112, 2113, 2114),
        task_q_size=3,
        done_q_size=1,
        reincarnations=2,
        running=(
            running(1, "shop.reports.monthly", 412, worker=2112, name="monthly-report"),
            running(2, "shop.images.resize", 3.2, worker=2111),
            running(3, "shop.mails.confirm", 0.4, worker=2114, attempt=2),
        ),
        minutes=first,
        last_minute=first[-1],
        last_hour=sum(first, NONE),
        last_day=Count(58_204, 311),
    )
    rigel = Stat(
        cluster_id=977,
        host="rigel",
        tob=ago(hours=2, minutes=11),
        now=NOW,
        status="Stopping",
        sentinel=980,
        monitor=983,
        workers=(981, 982),
        running=(running(4, "shop.search.index_products", 64, worker=981, name="nightly-index"),),
        minutes=second,
        last_minute=second[-1],
        last_hour=sum(second, NONE),
        last_day=Count(4_871, 40),
    )
    return orion, rigel


SUCCESSES = (
    ("ohio-river-nitrogen-tango", "shop.images.resize", 2, "810x540"),
    ("confirm-10481", "shop.mails.confirm", 9, True),
    ("nightly-index", "shop.search.index_products", 71, 18_204),
    ("confirm-10480", "shop.mails.confirm", 118, True),
    ("zebra-mike-utah-lemon", "shop.images.resize", 207, "1200x800"),
)
FAILURES = (
    (
        "confirm-10482",
        "shop.mails.confirm",
        95,
        "SMTPServerDisconnected: Connection unexpectedly closed",
    ),
    (
        "resize-8127",
        "shop.images.resize",
        840,
        "OSError: image file is truncated (12 bytes not processed)",
    ),
    (
        "import-rates",
        "shop.rates.fetch",
        5_400,
        "TimeoutError: the exchange did not answer within 30 s",
    ),
)
SCHEDULES = (
    ("Import of exchange rates", "shop.rates.fetch", 288, {"schedule_type": "H"}),
    ("Clean up carts", "shop.carts.clean", 1_788, {"schedule_type": "I", "minutes": 30}),
    (
        "Monthly report",
        "shop.reports.monthly",
        570_588,
        {"schedule_type": "C", "cron": "0 6 1 * *", "time_zone": "Europe/Berlin"},
    ),
)
WAITING = 17


def fill():
    """Rows, and packages in the queue, to go with the clusters."""
    for number, (name, func, seconds, result) in enumerate(SUCCESSES, start=101):
        keep(number, name=name, func=func, stopped=ago(seconds=seconds), result=result)
    for number, (name, func, seconds, line) in enumerate(FAILURES, start=1):
        fail(number, name=name, func=func, stopped=ago(seconds=seconds), line=line)
    for name, func, seconds, fields in SCHEDULES:
        Schedule.objects.create(
            name=name, func=func, next_run=NOW + timedelta(seconds=seconds), **fields
        )
    for number in range(WAITING):
        async_task("shop.mails.confirm", number + 10_483, task_name=f"confirm-{number + 10_483}")
    OrmQ.objects.update(available_at=ago(seconds=8))


def traceback_of(func, line):
    module, _, name = func.rpartition(".")
    path = f"/srv/{module.replace('.', '/')}.py"
    return (
        f'Traceback (most recent call last):\n  File "{path}", line 41, in {name}\n'
        f"    return work(*arguments)\n           ^^^^^^^^^^^^^^^^\n{line}\n"
    )


def keep(number, *, name="task", func="math.sqrt", stopped=NOW, result=None, **fields):
    """A task that is kept."""
    return Task.objects.create(
        **{
            "id": f"{number:032x}",
            "name": name,
            "func": func,
            "started": stopped - timedelta(seconds=4),
            "stopped": stopped,
            "body": dump_call(func, (10_482,), {"language": "en"}),
            "value": dump_value(result),
            "queue": "shop",
            **fields,
        }
    )


def fail(number, *, line, func="math.sqrt", **fields):
    """A failure that is kept."""
    trace = traceback_of(func, line)
    return keep(number, func=func, result=line, success=False, traceback=trace, **fields)
