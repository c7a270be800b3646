"""How fast the admin is on very many rows: `python -m tests.django.admin_bench`.

It makes a PostgreSQL database of its own, and drops it. Each page is asked for once for its queries and
then some times for its time; where one has too many queries, or takes too long at its best, which is the
time that other work of the machine disturbed least, the bench ends with an error. `--tasks` and `--queued`
say how many rows there are.
"""

# ruff: noqa: PLC0415, T201 -- Django is set up first, and figures are printed

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import django

from tests import settings

QUERIES_MAX = 30
SECONDS_MAX = 0.3
REPEATS = 5

# Of ten tasks one failed. The oldest tenth is one group, another tenth is spread over all times, and each
# hundred has a small group; every thousandth result is large, and so is the newest.
FILL_TASKS = """
    INSERT INTO djq_task (id, name, func, hook, "group", body, value, started, stopped, success,
        traceback, attempts, place, queue, options)
    SELECT md5(n::text), 'alpha-' || substr(md5(n::text), 1, 12) || '-' || n,
        'shop.tasks.' || (ARRAY['send_mail', 'make_report', 'resize', 'import_rows'])[n %% 4 + 1], NULL,
        CASE WHEN n <= %(tasks)s / 10 THEN 'old import' WHEN n %% 10 = 5 THEN 'nightly'
            WHEN n %% 10 < 4 THEN 'batch ' || n / 100 END,
        %(body)s, CASE WHEN n %% 1000 = 1 OR n = %(tasks)s THEN %(large)s
            WHEN n %% 10 = 0 THEN %(line)s ELSE %(value)s END,
        now() - (%(tasks)s - n) * interval '1 second' - interval '3 seconds',
        now() - (%(tasks)s - n) * interval '1 second', n %% 10 <> 0,
        CASE WHEN n %% 10 = 0 THEN %(trace)s ELSE '' END, 1, 0, 'tests', ''
    FROM generate_series(1, %(tasks)s) AS n
"""


def fill(tasks, queued, schedules):
    """Put the rows into the database."""
    from django.db import connection
    from django.utils import timezone

    from djq.core.call import dump_call, dump_value
    from djq.models import Schedule

    parameters = {
        "tasks": tasks,
        "body": dump_call("shop.tasks.send_mail", (7, "a subject"), {"to": ["x@example.org"]}),
        "value": dump_value({"sent": 1}),
        "large": dump_value("x" * 200_000),
        "line": dump_value("ConnectionError: no answer from the server " + "y" * 300),
        "trace": "Traceback (most recent call last):\n" + '  File "x.py", line 1, in f\n' * 60,
    }
    now = timezone.now()
    rows = [
        Schedule(func="math.floor", name=f"schedule {n}", schedule_type="D", next_run=now)
        for n in range(schedules)
    ]
    with connection.cursor() as cursor:
        cursor.execute(FILL_TASKS, parameters)
        Schedule.objects.bulk_create(rows)
        cursor.execute("UPDATE djq_schedule SET task = md5((%s - id)::text)", [tasks])
        columns = "key, payload, available_at, attempts, unbegun"
        with cursor.copy(f"COPY djq_ormq ({columns}) FROM STDIN") as copy:
            for payload in packages(queued, parameters["body"], now):
                copy.write_row(("tests", payload, now, 0, 0))
        cursor.execute("ANALYZE")


def packages(count, body, now):
    from djq.assembly import make_codec
    from djq.core.frame import pack
    from djq.core.message import TaskMessage

    codec = make_codec(queue="tests")
    for n in range(count):
        message = TaskMessage(
            id=f"{n:032x}",
            name=f"task-{n}",
            func="shop.tasks.send_mail",
            enqueued_at=now,
            body=body,
        )
        yield codec.seal(pack(message))


def pages():
    """What is asked for: a name, an address, and what is posted there, if anything is."""
    from djq.models import Failure, OrmQ, Schedule, Success

    for kind, rows in (("success", Success.objects.all()), ("failure", Failure.objects.all())):
        url = f"/admin/djq/{kind}/"
        newest, old = rows.first(), rows.last()
        word = newest.name.split("-")[1]
        for name, asked in [
            ("first page", ""),
            ("last page", "?p=100"),
            ("oldest first", "?o=4"),
            ("past 7 days", "?stopped__gte=2020-01-01+00:00:00%2B00:00"),
            ("a small group", f"?group={newest.group or 'batch 5000'}"),
            ("a group all over", "?group=nightly"),
            ("a group of old ones", "?group=old import"),
            ("a group of nobody", "?group=nobody"),
            ("search: an id", f"?q={old.pk}"),
            ("search: a name", f"?q={old.name}"),
            ("search: a group", "?q=old import"),
            ("search: a new word", f"?q={word}"),
            ("search: a common word", "?q=send"),
            ("search: nothing", "?q=nothing of it"),
            ("search in a group", "?group=old import&q=report"),
            ("newest", f"{newest.pk}/change/"),
            ("oldest", f"{old.pk}/change/"),
            ("delete", f"{old.pk}/delete/"),
        ]:
            yield f"{kind}: {name}", url + asked, None
        yield f"{kind}: delete 100", url, deletion(rows[:100])
        yield f"{kind}: delete all", url, {**deletion(rows[:100]), "select_across": 1}
    first = Schedule.objects.first()
    for name, asked in [
        ("first page", ""),
        ("search", "?q=schedule 7"),
        ("form", f"{first.pk}/change/"),
    ]:
        yield f"schedule: {name}", f"/admin/djq/schedule/{asked}", None
    row = OrmQ.objects.earliest("id")
    for name, asked in [
        ("first page", ""),
        ("last page", "?p=100"),
        ("oldest first", "?o=1"),
        ("oldest", f"{row.pk}/change/"),
        ("delete", f"{row.pk}/delete/"),
    ]:
        yield f"queue: {name}", f"/admin/djq/ormq/{asked}", None
    yield "queue: delete 100", "/admin/djq/ormq/", deletion(OrmQ.objects.order_by("-id")[:100])
    yield "clusters", "/admin/djq/clusters/", None
    yield "clusters: renewal", "/admin/djq/clusters/now/", None
    yield "the admin's index", "/admin/", None


def deletion(rows):
    chosen = list(rows.values_list("pk", flat=True))
    return {"action": "delete_selected", "_selected_action": chosen, "index": 0}


def measure(client, url, posted):
    """Ask for a page; gives its queries, best and median seconds, seconds of processors, slowest query."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def ask():
        answer = client.get(url) if posted is None else client.post(url, posted)
        assert answer.status_code == 200, (url, answer.status_code, answer.headers)

    with CaptureQueriesContext(connection) as captured:
        ask()
    queries = captured.captured_queries  # the next request forgets them
    seconds, worked = [], worked_seconds()
    for _ in range(REPEATS):
        began = time.perf_counter()
        ask()
        seconds.append(time.perf_counter() - began)
    slowest = max(queries, key=lambda query: float(query["time"]))
    worked = (worked_seconds() - worked) / REPEATS
    return len(queries), min(seconds), statistics.median(seconds), worked, slowest


def worked_seconds():
    """Seconds of processors that this process has had, with its server's where that is on this Linux."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    status = Path(f"/proc/{pid}/stat")
    ticks = status.read_text().rpartition(")")[2].split()[11:13] if status.exists() else ()
    return time.process_time() + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--schedules", type=int, default=1_000)
    parser.add_argument(
        "--slowest", action="store_true", help="show the slowest query of each page"
    )
    options = parser.parse_args()
    settings.DATABASES = {"default": settings.SERVERS["postgres"]}
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import setup_test_environment

    setup_test_environment()
    too_slow = []
    with ExitStack() as stack:
        old = connection.creation.create_test_db(verbosity=0, serialize=False)
        stack.callback(lambda: connection.creation.destroy_test_db(old, verbosity=0))
        began = time.perf_counter()
        fill(options.tasks, options.queued, options.schedules)
        print(
            f"{options.tasks:,} tasks, {options.queued:,} queued, {options.schedules:,} schedules"
        )
        print(f"filled in {time.perf_counter() - began:.0f} s\n")
        client = Client()
        client.force_login(User.objects.create_superuser("ann"))
        print(f"{'page':34} queries  best ms  median ms  processor ms")
        for name, url, posted in pages():
            queries, best, median, worked, slowest = measure(client, url, posted)
            figures = f"{best * 1000:8.0f} {median * 1000:10.0f} {worked * 1000:13.0f}"
            print(f"{name:34} {queries:7} {figures}", flush=True)
            if options.slowest:
                print(f"    {slowest['time']} s: {slowest['sql'][:2_000]}")
            if queries >= QUERIES_MAX or best >= SECONDS_MAX:
                too_slow.append(name)
    if too_slow:
        sys.exit(f"too slow: {', '.join(too_slow)}")


if __name__ == "__main__":
    main()
