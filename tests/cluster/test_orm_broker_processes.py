"""Real processes on one queue: every row is taken once, and nobody is told that a database is locked."""

from __future__ import annotations

import json
import multiprocessing

import pytest
from django.db import connections

from djq.brokers import orm_claim
from djq.brokers.orm import OrmBroker
from djq.core.call import load_value
from djq.exceptions import StoreUnavailable
from djq.models import IterElement, OrmQ, Progress, Task
from djq.results.database import DatabaseStore
from djq_testing.clock import ManualClock
from djq_testing.contract.samples import element, finished, messages, task_id

pytestmark = pytest.mark.thorough

PROCESSES = 4
ROWS = 400
SECONDS_MAX = 60

SQLITE_OPTIONS = {
    "default settings": {},
    "recommended settings": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    },
}


@pytest.fixture(params=SQLITE_OPTIONS)
def sqlite_file(request, tmp_path, add_database):
    settings = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(tmp_path / "queue.sqlite3"),
        "OPTIONS": SQLITE_OPTIONS[request.param],
    }
    return add_database("sqlite_file", settings, OrmQ, Task, Progress, IterElement)


def make_broker(alias, claim=None):
    return OrmBroker("busy", alias=alias, clock=ManualClock(), retry_seconds=60.0, claim=claim)


def work_off(alias, claim, barrier, report):
    """What a cluster does, in one process: take, save, acknowledge, all in one transaction."""
    broker = make_broker(alias, claim)
    store = DatabaseStore(alias=alias, save_limit=0)
    mine = []
    barrier.wait()
    while taken := broker.dequeue(10):
        with store.unit():
            store.save([finished(int(package)) for _, package in taken])
            broker.acknowledge_many([receipt for receipt, _ in taken])
        mine += [int(package) for _, package in taken]
    connections.close_all()
    report.write_text(json.dumps(mine))


def in_processes(folder, function, *args):
    """Run a function in several processes at once; what each of them reported."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PROCESSES)
    reports = [folder / f"{number}.json" for number in range(PROCESSES)]
    # A child that inherited a connection would speak on its parent's socket.
    connections.close_all()
    children = [
        context.Process(target=function, args=(*args, barrier, report)) for report in reports
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(SECONDS_MAX)
    assert [child.exitcode for child in children] == [0] * PROCESSES
    return [json.loads(report.read_text()) for report in reports]


def assert_each_row_is_taken_once(alias, folder, claim=None):
    broker = make_broker(alias)
    broker.enqueue_many([str(number) for number in range(ROWS)])

    shares = in_processes(folder, work_off, alias, claim)

    assert sorted(number for share in shares for number in share) == list(range(ROWS))
    assert OrmQ.objects.using(alias).count() == 0
    kept = set(Task.objects.using(alias).values_list("id", flat=True))
    assert kept == {task_id(number) for number in range(ROWS)}
    return shares


def test_each_row_is_taken_once_on_sqlite(sqlite_file, tmp_path):
    assert_each_row_is_taken_once(sqlite_file, tmp_path)


def test_each_row_is_taken_once_on_a_server(server_database, tmp_path):
    shares = assert_each_row_is_taken_once(server_database, tmp_path)

    assert all(shares), "a cluster that finds the queue contended must not take it for empty"


def test_each_row_is_taken_once_row_by_row(sqlite_file, tmp_path):
    assert_each_row_is_taken_once(sqlite_file, tmp_path, orm_claim.claim_row_by_row)


def test_each_row_is_taken_once_row_by_row_on_a_server(server_database, tmp_path):
    assert_each_row_is_taken_once(server_database, tmp_path, orm_claim.claim_row_by_row)


def save_own(alias, barrier, report):
    """Save tasks of one's own, with a limit that makes each batch prune."""
    store = DatabaseStore(alias=alias, save_limit=5)
    first = 1_000 * barrier.wait()
    for number in range(first, first + 200, 10):
        store.save([finished(number + each, minute=number + each) for each in range(10)])
    connections.close_all()
    report.write_text("[]")


def assert_monitors_save_side_by_side(alias, folder):
    in_processes(folder, save_own, alias)

    DatabaseStore(alias=alias, save_limit=5).save([finished(9_000, minute=9_000)])
    ids = set(Task.objects.using(alias).values_list("id", flat=True))
    assert ids == {task_id(number) for number in (3_196, 3_197, 3_198, 3_199, 9_000)}


def test_monitors_save_side_by_side_on_sqlite(sqlite_file, tmp_path):
    assert_monitors_save_side_by_side(sqlite_file, tmp_path)


def test_monitors_save_side_by_side_on_a_server(server_database, tmp_path):
    assert_monitors_save_side_by_side(server_database, tmp_path)


def save_the_same(alias, barrier, report):
    """Save the outcomes that all save; one of the processes has the successes."""
    store = DatabaseStore(alias=alias, save_limit=0)
    success = barrier.wait() == 0
    for number in range(100):
        while True:
            try:
                store.save([finished(number), finished(number + 100, success=success)])
                break
            except StoreUnavailable:
                # A deadlock, on a server: its victim tries again, as a monitor does.
                continue
    connections.close_all()
    report.write_text("[]")


def assert_no_failure_shuts_out_a_success(alias, folder):
    in_processes(folder, save_the_same, alias)

    kept = set(Task.objects.using(alias).values_list("id", "success"))
    assert kept == {(task_id(number), True) for number in range(200)}


def test_no_failure_shuts_out_a_success_on_sqlite(sqlite_file, tmp_path):
    assert_no_failure_shuts_out_a_success(sqlite_file, tmp_path)


def test_no_failure_shuts_out_a_success_on_a_server(server_database, tmp_path):
    assert_no_failure_shuts_out_a_success(server_database, tmp_path)


ITERS = 12
ELEMENTS = 8 * PROCESSES


def gather_elements(alias, barrier, report):
    """Keep every fourth element of each iter, at the same time as the others; gives what was complete."""
    store = DatabaseStore(alias=alias, save_limit=0)
    mine = barrier.wait()
    complete, errors = [], 0
    for of in range(ITERS):
        for place in range(mine, ELEMENTS, PROCESSES):
            batch = [element(place, ELEMENTS, of=of)]
            while True:
                try:
                    complete += [int(one.finished.message.id, 16) for one in store.save(batch)]
                    break
                except StoreUnavailable:
                    errors += 1
    connections.close_all()
    report.write_text(json.dumps([complete, errors]))


def assert_iters_are_counted_once(alias, folder):
    shares = in_processes(folder, gather_elements, alias)

    assert sorted(number for complete, _ in shares for number in complete) == list(range(ITERS))
    kept = DatabaseStore(alias=alias, save_limit=0).kept(messages(*range(ITERS)))
    results = [load_value(kept[task_id(of)].outcome.value) for of in range(ITERS)]
    assert results == [[place * 10 for place in range(ELEMENTS)]] * ITERS
    assert IterElement.objects.using(alias).count() == 0
    return [errors for _, errors in shares]


def test_iters_are_counted_once_on_sqlite(sqlite_file, tmp_path):
    assert_iters_are_counted_once(sqlite_file, tmp_path)


def test_iters_are_counted_once_on_a_server_and_nobody_waits_in_a_ring(server_database, tmp_path):
    assert assert_iters_are_counted_once(server_database, tmp_path) == [0] * PROCESSES
