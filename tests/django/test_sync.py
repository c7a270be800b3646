"""Holds sync mode: the same worker and monitor, inline, in the caller's own transaction."""

from __future__ import annotations

import math
from contextlib import nullcontext
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, connections, transaction

from djq.components.worker import Worker
from djq.conf import make_signer
from djq.core.call import dump_call, func_path
from djq.core.codec import Codec
from djq.core.events import HookFailed, ServiceAway, TaskSaved
from djq.core.frame import delivery_of, pack
from djq.core.message import TaskMessage
from djq.exceptions import StoreUnavailable
from djq.inline import FollowersBroker, InlineRunner, savepoints
from djq.models import Schedule, Task
from djq.ports import Surroundings
from djq.results.database import DatabaseStore
from djq.tasks import async_task, fetch, queue_size, result
from djq_testing.clock import ManualClock, SeededIds
from djq_testing.memory import MemoryStore
from tests.django import task_samples as samples

here = partial(async_task, sync=True)


@pytest.fixture(autouse=True)
def heard():
    samples.heard.clear()
    yield samples.heard
    samples.heard.clear()


class Events:
    def __init__(self):
        self.all = []

    def notify(self, event):
        self.all.append(event)

    def of(self, kind):
        return [event for event in self.all if isinstance(event, kind)]


class Bench:
    """An inline runner whose surroundings the test holds."""

    def __init__(self, store=None, scope=nullcontext, max_payload=1_000_000):
        self.clock, self.ids, self.events = ManualClock(), SeededIds(1), Events()
        self.store = MemoryStore() if store is None else store
        codec = Codec(signer=make_signer("task", "t"), compress=False, max_payload=max_payload)
        self.following = FollowersBroker(codec)
        self.runner = InlineRunner(
            store=self.store,
            codec=codec,
            broker=self.following,
            around=Surroundings(self.clock, self.ids, self.events),
            scope=scope,
            max_payload=max_payload,
        )

    def run(self, func, *args, hook=None, **options):
        message = TaskMessage(
            id=self.ids.task_id(),
            name="a-name",
            func=func_path(func),
            enqueued_at=self.clock.now(),
            body=dump_call(func, args, {}),
            hook=None if hook is None else func_path(hook),
            **options,
        )
        self.runner.run(delivery_of(pack(message), None, 1))
        for delivery in self.following.deliveries():
            self.runner.run(delivery)
        return self.store.find(message.id)


def test_a_success_is_stored_with_its_value():
    task = Bench().run(math.modf, 2.5)

    assert task.success
    assert task.result == (0.5, 2.0)
    assert task.attempts == 1


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
def test_a_value_that_is_false_is_stored_as_it_is(value):
    assert Bench().run(samples.give, value).result == value


def test_one_runner_runs_task_after_task():
    bench = Bench()

    assert [bench.run(math.floor, number + 0.5).result for number in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("func", "line"),
    [
        ("my.buggy.code", "ImportError: 'my.buggy.code' cannot be found: No module named 'my'"),
        ("math.nothing", "AttributeError: 'math.nothing' cannot be found: "),
        (samples.leave, "SystemExit: 3"),
        (samples.endless, "PicklingError: the function returned an object of type 'generator'"),
        (math.modf, "TypeError: "),
    ],
)
def test_a_failure_is_stored_and_not_raised(func, line):
    task = Bench().run(func)

    assert not task.success
    assert task.result.startswith(line)
    assert task.traceback


def test_a_result_over_max_payload_is_a_failure():
    task = Bench(max_payload=2_000).run(samples.give, "a" * 1_000)
    assert task.success

    task = Bench(max_payload=2_000).run("operator.mul", "a", 3_000)

    assert not task.success
    assert "max_payload" in task.result


def test_a_time_limit_does_not_end_an_inline_task():
    bench = Bench()

    task = bench.run(math.floor, 1.5, timeout=0.000_001)

    assert task.success


@pytest.mark.parametrize(("func", "success"), [(math.floor, True), ("math.nothing", False)])
def test_the_hook_is_called_with_the_task_whatever_came_of_it(heard, func, success):
    task = Bench().run(func, 1.5, hook=samples.note)

    assert heard == [task]
    assert task.success is success


def test_a_hook_is_called_for_a_success_that_is_not_kept(heard):
    task = Bench().run(math.floor, 1.5, hook=samples.note, save=False)

    assert task is None
    assert [each.result for each in heard] == [1]


def test_a_hook_that_fails_is_told_and_changes_nothing(heard):
    bench = Bench()

    task = bench.run(math.floor, 1.5, hook=samples.failing_hook)

    assert task.success
    assert heard == [task]
    assert bench.store.tasks == [task]
    (event,) = bench.events.of(HookFailed)
    assert event.error == "ValueError: the hook does not like it"


def test_the_outcome_is_told_and_nothing_of_a_cluster():
    bench = Bench()

    bench.run(math.floor, 1.5)

    (event,) = bench.events.all
    assert isinstance(event, TaskSaved)
    assert event.success


def test_no_place_of_the_world_is_asked_but_the_one_handed_in():
    bench = Bench()
    bench.clock.advance(days=31)

    task = bench.run(math.floor, 1.5)

    assert task.stopped - ManualClock().now() == timedelta(days=31)


class AwayStore(MemoryStore):
    def save(self, batch):
        raise StoreUnavailable("the disk is gone")


def test_a_store_that_is_away_is_the_callers_error_and_nobody_waits():
    bench = Bench(AwayStore())

    with pytest.raises(StoreUnavailable, match=r"could not be saved.*the disk is gone"):
        bench.run(math.floor, 1.5)

    assert bench.events.of(ServiceAway)


def test_sync_mode_runs_tasks_in_the_clusters_own_worker(heard):
    assert isinstance(Bench().runner._worker, Worker)


# In the database, through the documented functions.


@pytest.mark.django_db
def test_the_outcome_is_there_when_the_call_returns():
    task = fetch(here("math.copysign", 2, -2, group="math", task_name="copy"))

    assert isinstance(task, Task)
    assert (task.success, task.result, task.args, task.kwargs) == (True, -2.0, (2, -2), {})
    assert (task.name, task.group, task.func) == ("copy", "math", "math.copysign")


@pytest.mark.django_db
def test_the_documented_failure_can_be_examined():
    task = fetch(here("my.buggy.code"))

    assert not task.success
    assert "No module named 'my'" in task.result


@pytest.mark.django_db
def test_a_hook_gets_the_stored_row(heard):
    task_id = here(math.floor, 1.5, hook=samples.note)

    (task,) = heard
    assert task == Task.objects.get(pk=task_id)
    assert task.result == 1


@pytest.mark.django_db
def test_the_setting_runs_every_task_inline_without_any_broker(settings):
    settings.Q_CLUSTER = {"name": "tests", "sync": True}

    assert result(async_task("math.floor", 1.5)) == 1


@pytest.mark.django_db
def test_an_explicit_false_overrides_the_setting(settings):
    settings.Q_CLUSTER = {"name": "tests", "sync": True, "orm": "default"}

    task_id = async_task("math.floor", 1.5, sync=False)

    assert fetch(task_id) is None
    assert queue_size() == 1


@pytest.mark.django_db
def test_nothing_is_sent_to_the_broker():
    here("math.floor", 1.5, hook=samples.note)

    assert queue_size() == 0


@pytest.mark.django_db
def test_a_task_may_run_another_inline():
    assert result(here(samples.ask_for_another, 7)) == [7]


@pytest.mark.django_db
def test_sync_is_now_also_where_tasks_wait_for_the_commit():
    assert result(here("math.floor", 1.5, on_commit=True)) == 1


@pytest.mark.django_db(transaction=True)
def test_task_and_outcome_belong_to_the_callers_transaction():
    with transaction.atomic():
        task_id = here(samples.write, "default", "inline")
        assert fetch(task_id).success
        transaction.set_rollback(True)

    assert fetch(task_id) is None
    assert not Schedule.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_a_transaction_the_task_has_none_either():
    assert result(here(samples.open_transactions, "default")) is False


@pytest.mark.django_db
def test_the_callers_connection_stays_open():
    connection.ensure_connection()
    before = connection.connection

    here("my.buggy.code")
    here(math.floor, 1.5)

    assert connection.connection is before


# What a task may do to the transaction, on each database.


@pytest.fixture
def live(live_database):
    bench = Bench(DatabaseStore(alias=live_database, save_limit=250), savepoints)
    bench.alias = live_database
    return bench


def names(bench):
    return set(Schedule.objects.using(bench.alias).values_list("name", flat=True))


def test_a_failed_statement_leaves_the_callers_transaction_usable(live):
    with transaction.atomic(using=live.alias):
        samples.write(live.alias, "before")
        task = live.run(samples.violate, live.alias)
        samples.write(live.alias, "after")

    assert task.result.startswith("IntegrityError: ")
    assert names(live) == {"before", "after"}
    assert not live.store.find(task.id).success


def test_what_a_failed_task_wrote_stays_as_it_would_in_a_cluster(live):
    with transaction.atomic(using=live.alias):
        task = live.run(samples.write_and_fail, live.alias, "written")

    assert task.result == "ValueError: after the writing"
    assert names(live) == {"written"}


def test_a_transaction_that_a_task_marked_broken_is_mended(live):
    with transaction.atomic(using=live.alias):
        samples.write(live.alias, "before")
        task = live.run(partial(transaction.set_rollback, True, using=live.alias))

    assert not task.success
    assert names(live) == {"before"}


def test_a_task_that_goes_on_over_a_failed_statement_is_told_the_truth(live):
    with transaction.atomic(using=live.alias):
        task = live.run(samples.violate_and_go_on, live.alias)

    # Only PostgreSQL gives up the whole transaction after a failed statement.
    assert task.success is (connections[live.alias].vendor != "postgresql")


def test_outside_a_transaction_a_failed_statement_harms_nothing(live):
    task = live.run(samples.violate, live.alias)

    assert task.result.startswith("IntegrityError: ")
    assert not connections[live.alias].in_atomic_block
