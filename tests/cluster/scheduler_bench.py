"""How fast schedulers are on a real database: `python -m tests.cluster.scheduler_bench postgres`.

It makes a database of its own, and drops it. First many schedules come due at once, and three forked
schedulers race for them; then one scheduler idles over many more. What is printed are figures.
"""

# ruff: noqa: PLC0415, T201 -- Django is set up first, and figures are printed

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta

import django
from django.db import connections


class Quiet:
    """Hears everything and says nothing."""

    def notify(self, _event):
        """Hear it."""


class NoLink:
    """A link to nobody, that does not end."""

    ended = False

    def send(self, *_messages):
        """Send to nobody."""

    def receive(self):
        return []


def make_scheduler(alias):
    from djq.assembly import make_codec
    from djq.brokers.orm import OrmBroker, ServerClock
    from djq.components.scheduler import Queue, Scheduler
    from djq.conf import get_zone
    from djq.core.schedules import Custom
    from djq.ports import Surroundings
    from djq.runtime.clock import SystemClock, SystemIds
    from djq.schedules.database import DatabaseScheduleStore

    clock = ServerClock(alias, SystemClock())
    broker = OrmBroker("bench", alias=alias, clock=clock, retry_seconds=60)
    queue = Queue(broker, make_codec(queue="bench"))
    return Scheduler(
        link=NoLink(),
        store=DatabaseScheduleStore(alias=alias, clock=clock),
        queue_of=lambda _name: queue,
        custom=Custom(catch_up=True, time_zone="UTC"),
        zone_of=get_zone,
        around=Surroundings(SystemClock(), SystemIds(), Quiet()),
        label="bench",
        pid=os.getpid(),
    )


def race(alias, count, racers):
    """Fork schedulers and let them run until nothing is due; gives seconds and counts of statements."""
    connections.close_all()
    began, pipes = time.perf_counter(), []
    for _ in range(racers):
        reader, writer = os.pipe()
        if os.fork() == 0:
            statements = Counter()

            def tally(execute, sql, *rest, statements=statements):
                statements[sql.split(None, 1)[0]] += 1
                return execute(sql, *rest)

            scheduler = make_scheduler(alias)
            with connections[alias].execute_wrapper(tally):
                while (wait := scheduler.step()).seconds <= 0.1:
                    time.sleep(wait.seconds)
            os.write(writer, repr(dict(statements)).encode())
            os._exit(0)
        os.close(writer)
        pipes.append(reader)
    found = [os.read(pipe, 10_000).decode() for pipe in pipes]
    for _ in pipes:
        os.wait()
    return time.perf_counter() - began, found


def idle(alias, looks):
    scheduler = make_scheduler(alias)
    statements = []

    def keep(execute, sql, params, *rest):
        statements.append((sql, params))
        return execute(sql, params, *rest)

    scheduler.step()
    with connections[alias].execute_wrapper(keep):
        began = time.perf_counter()
        for _ in range(looks):
            scheduler.step()
        seconds = time.perf_counter() - began
    return seconds / looks, len(statements) / looks, statements[0]


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from django.utils import timezone

    from djq.models import OrmQ, Schedule

    parser = argparse.ArgumentParser()
    parser.add_argument("alias", nargs="?", default="postgres")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--idle", type=int, default=100_000)
    parser.add_argument("--racers", type=int, default=3)
    options = parser.parse_args()
    alias = options.alias
    creation = connections[alias].creation
    with ExitStack() as stack:
        old = creation.create_test_db(verbosity=0, serialize=False)
        stack.callback(lambda: creation.destroy_test_db(old, verbosity=0))
        due = timezone.now().replace(microsecond=0)
        rows = [
            Schedule(func="math.floor", args="1", schedule_type="D", next_run=due)
            for _ in range(options.schedules)
        ]
        Schedule.objects.using(alias).bulk_create(rows, batch_size=2_000)
        seconds, statements = race(alias, options.schedules, options.racers)
        sent = OrmQ.objects.using(alias).count()
        ids = Schedule.objects.using(alias).values_list("task", flat=True).distinct().count()
        left = Schedule.objects.using(alias).filter(due_at__lte=timezone.now()).count()
        print(f"{sent} tasks of {options.schedules} schedules in {seconds:.2f} s")
        print(f"{ids} different ids, {left} schedules left, statements: {statements}")
        later = due + timedelta(days=2)
        more = [
            Schedule(func="math.floor", schedule_type="D", next_run=later, repeats=number % 2)
            for number in range(options.idle)
        ]
        Schedule.objects.using(alias).bulk_create(more, batch_size=2_000)
        with connections[alias].cursor() as cursor:
            cursor.execute("ANALYZE" if alias == "postgres" else "ANALYZE TABLE djq_schedule")
        average, queries, (sql, params) = idle(alias, 200)
        print(f"idle: {average * 1000:.3f} ms and {queries:.2f} queries a look")
        with connections[alias].cursor() as cursor:
            explain = "EXPLAIN (ANALYZE, BUFFERS)" if alias == "postgres" else "EXPLAIN"
            cursor.execute(f"{explain} {sql}", params)
            print(*[" ".join(map(str, row)) for row in cursor.fetchall()], sep="\n")


if __name__ == "__main__":
    main()
