"""What the database store does beside the contract: round trips, transactions, errors, time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from djq.exceptions import StoreRefused, StoreUnavailable
from djq.models import Failure, IterElement, Progress, Success, Task
from djq.results.database import DatabaseStore
from djq_testing.contract.samples import NOON, element, finished, messages, task_id

LARGE = 5_000_000


def make_store(alias, save_limit=0):
    return DatabaseStore(alias=alias, save_limit=save_limit)


def statements(alias, act):
    """The first words of what `act` asks of the database."""
    with CaptureQueriesContext(connections[alias]) as context:
        act()
    return [query["sql"].split()[0] for query in context.captured_queries]


# Round trips.


def test_batch_costs_one_insert(live_database):
    store = make_store(live_database)
    batch = [finished(number, success=number % 2 == 0) for number in range(60)]

    asked = statements(live_database, lambda: store.save(batch))

    assert asked == ["BEGIN", "INSERT", "COMMIT"]
    assert Task.objects.using(live_database).count() == 60


def test_large_outcomes_go_in_statements_of_their_own(live_database):
    store = make_store(live_database)
    batch = [finished(number, result=b"x" * 3_000_000) for number in range(2)]

    asked = statements(live_database, lambda: store.save([*batch, finished(3)]))

    assert asked == ["BEGIN", "INSERT", "INSERT", "COMMIT"]


def test_limit_costs_one_query_more_a_batch(live_database):
    store = make_store(live_database, save_limit=5)
    store.save([finished(number, minute=number) for number in range(5)])

    asked = statements(live_database, lambda: store.save([finished(9, minute=9)]))

    # MariaDB deletes by ids that it was asked for before: deleting what it reads makes deadlocks.
    prune = {"mysql": ["SELECT", "DELETE"]}.get(connections[live_database].vendor, ["DELETE"])
    assert asked == ["BEGIN", "INSERT", *prune, "COMMIT"]


def test_failures_alone_cost_no_pruning(live_database):
    store = make_store(live_database, save_limit=5)

    asked = statements(live_database, lambda: store.save([finished(success=False)]))

    assert asked == ["BEGIN", "INSERT", "COMMIT"]


def test_batch_with_nothing_to_keep_costs_nothing(live_database):
    store = make_store(live_database, save_limit=-1)

    assert statements(live_database, lambda: store.save([finished(1), finished(2)])) == []


def test_look_for_what_stands_costs_one_query_for_hundreds(live_database):
    store = make_store(live_database)
    store.save([finished(number) for number in range(400)])

    assert statements(live_database, lambda: store.kept(messages(*range(300)))) == ["SELECT"]
    assert statements(live_database, lambda: store.kept([])) == []


def test_look_for_a_task_costs_one_query(database):
    store = make_store(database)
    store.save([finished(1)])

    for wanted in (task_id(1), "task-1", task_id(2), "nobody"):
        assert statements(database, lambda wanted=wanted: store.find(wanted)) == ["SELECT"]


def test_thousands_are_pruned_at_once(database):
    make_store(database).save([finished(number, minute=number) for number in range(1_500)])

    make_store(database, save_limit=2).save([finished(2_000, minute=2_000)])

    assert {task.id for task in Task.objects.using(database)} == {task_id(1_499), task_id(2_000)}


# Rows.


def test_row_can_be_read_by_the_models(database):
    make_store(database).save([finished(1, result=5), finished(2, success=False, result="no")])

    success = Success.objects.using(database).get()
    failure = Failure.objects.using(database).get()
    assert (success.args, success.result, success.stopped) == ((3, 4), 5, NOON)
    assert (failure.id, failure.result) == (task_id(2), "no")


def test_failure_is_replaced_in_every_column(database):
    store = make_store(database)
    store.save([finished(success=False, result="no", traceback="t", group="old")])

    later = finished(result=1, minute=1, attempt=3, group="new", hook="a.b", name="n", func="f.g")
    store.save([later])

    row, wanted = Task.objects.using(database).get(), store.present(later)
    for field in Task._meta.concrete_fields:
        kept = getattr(row, field.name)
        kept = bytes(kept) if field.name in {"body", "value"} else kept
        assert kept == getattr(wanted, field.name), field.name


def test_large_result_is_kept(database):
    store = make_store(database)

    store.save([finished(1), finished(2, result=b"x" * LARGE), finished(3)])

    assert len(store.find(task_id(2)).result) == LARGE
    assert Task.objects.using(database).count() == 3


def test_result_that_mariadb_would_hang_up_on_is_refused(server_database):
    if connections[server_database].vendor != "mysql":
        pytest.skip("PostgreSQL takes a gigabyte")
    store = make_store(server_database)
    with connections[server_database].cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        (limit,) = cursor.fetchone()

    # A driver sends each byte as two digits.
    with pytest.raises(StoreRefused, match=f"{task_id(2)} need .* takes {limit}.*max_allowed"):
        store.save([finished(1), finished(2, result=b"x" * (limit // 2))])

    assert Task.objects.using(server_database).count() == 0
    store.save([finished(3, result=b"'" * (limit // 2 - 200_000))])
    assert Task.objects.using(server_database).count() == 1


def test_task_for_a_hook_knows_whether_it_is_stored(database):
    stored = make_store(database).present(finished())
    unstored = make_store(database, save_limit=-1).present(finished())

    assert (stored._state.adding, stored._state.db) == (False, database)
    assert (unstored._state.adding, unstored._state.db) == (True, None)


def test_task_for_a_hook_can_be_changed(database):
    store = make_store(database)
    store.save([finished(result=1)])
    task = store.present(finished(result=1))

    task.result = 2
    task.save()

    assert store.find(task_id(1)).result == 2


# Transactions.


def test_unit_keeps_all_or_nothing(live_database):
    store = make_store(live_database)

    def spoiled():
        with store.unit():
            store.save([finished(1)])
            raise LookupError

    with pytest.raises(LookupError):
        spoiled()

    assert Task.objects.using(live_database).count() == 0


def test_errors_of_others_pass_through_a_unit(database):
    store = make_store(database)

    with pytest.raises(ValueError, match="mine"), store.unit():
        raise ValueError("mine")


def test_refusal_leaves_the_callers_transaction_usable(live_database):
    store = make_store(live_database)

    with transaction.atomic(using=live_database):
        with pytest.raises(StoreRefused):
            store.save([finished(1), finished(2, group="g" * 101)])
        store.save([finished(3)])

    assert Task.objects.using(live_database).get().id == task_id(3)


def test_refusal_by_the_database_leaves_the_callers_transaction_usable(live_database):
    if connections[live_database].vendor == "sqlite":
        pytest.skip("SQLite takes any number for a small one")
    store = make_store(live_database)

    with transaction.atomic(using=live_database):
        with pytest.raises(StoreRefused):
            store.save([finished(1), finished(2, attempt=100_000)])
        store.save([finished(3)])

    assert Task.objects.using(live_database).get().id == task_id(3)


# Errors.


def test_value_of_a_wrong_type_is_refused(database):
    with pytest.raises(StoreRefused):
        make_store(database).save([finished(1, body=b"", enqueued_at=NOON), finished(2, group=7)])


def test_store_that_is_away_is_unavailable(away):
    store = make_store(away)

    with pytest.raises(StoreUnavailable, match=r"'away'.*Error"):
        store.save([finished()])
    with pytest.raises(StoreUnavailable):
        store.find(task_id(1))
    with pytest.raises(StoreUnavailable):
        store.kept(messages(1))
    with pytest.raises(StoreUnavailable), store.unit():
        pass


def test_table_that_is_not_there_is_unavailable(add_database, tmp_path):
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}

    with pytest.raises(StoreUnavailable, match="no such table"):
        make_store(add_database("empty", settings)).save([finished()])


def test_lost_session_is_replaced(server_database):
    store = make_store(server_database)
    store.save([finished(1)])
    connection = connections[server_database]
    with connection.cursor() as cursor:
        postgres = connection.vendor == "postgresql"
        cursor.execute("SELECT pg_backend_pid()" if postgres else "SELECT CONNECTION_ID()")
        (session,) = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)" if postgres else "KILL %s", [session])
    other.close()

    with pytest.raises(StoreUnavailable):
        store.save([finished(2)])
    store.save([finished(2)])

    assert Task.objects.using(server_database).count() == 2


def test_broken_transaction_of_the_caller_is_reported_as_what_it_is(live_database):
    store = make_store(live_database)

    with transaction.atomic(using=live_database):
        transaction.set_rollback(True, using=live_database)
        with pytest.raises(transaction.TransactionManagementError):
            store.save([finished()])


# Time zones.


def test_times_without_zones_are_in_the_projects_own(database, settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    store = make_store(database)
    outcome = finished(enqueued_at=datetime(2026, 7, 1, 12, tzinfo=UTC))

    store.save([outcome])

    (kept,) = store.kept(messages(1)).values()
    assert kept.message.enqueued_at == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert kept.outcome.stopped_at == NOON
    row = Task.objects.using(database).get()
    assert row.started == store.present(outcome).started == datetime(2026, 7, 1, 8)  # noqa: DTZ001
    assert row.stopped == datetime(2026, 1, 1, 7)  # noqa: DTZ001


def test_iter_whose_results_are_too_large_together_is_a_failure(database):
    store = DatabaseStore(alias=database, save_limit=0, results_bytes_max=5_000)
    for place in range(9):
        store.save([element(place, 10, result=b"x" * 1_000)])

    (gathered,) = store.save([element(9, 10)])

    task = store.find(task_id(900))
    assert (task.success, task.result) == (False, gathered.line)
    assert "max_payload" in task.result
    assert IterElement.objects.using(database).count() == 0


def test_iters_of_which_nothing_comes_any_more_are_given_up(database):
    store = make_store(database)
    store.save([element(0, 2, of=7)])
    left = []

    for of, days in ((8, 29), (9, 31)):
        for place in range(2):
            one = element(place, 2, of=of)
            at = NOON + timedelta(days=days)
            store.save([attrs.evolve(one, outcome=attrs.evolve(one.outcome, stopped_at=at))])
        left.append(Progress.objects.using(database).filter(id=task_id(7)).count())

    assert left == [1, 0]
    assert IterElement.objects.using(database).count() == 0
