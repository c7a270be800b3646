"""`djq_sync`: each task runs where it is asked for."""

from __future__ import annotations

import traceback

import pytest
from django.db import transaction

from djq.brokers import get_broker
from djq.models import Schedule, Task
from djq.tasks import async_chain, async_iter, async_task, async_tasks, fetch, result, schedule
from djq.tasks.scheduling import run_now
from tests.kit import samples

pytestmark = pytest.mark.django_db


def test_a_task_runs_where_it_is_asked_for(djq_sync, calls):
    task_id = async_task(samples.note, 1, x=2)

    assert calls == [((1,), {"x": 2})]
    assert result(task_id) == 1


def test_one_that_wants_a_queue_runs_here_too(djq_sync, calls):
    async_task(samples.note, sync=False)
    async_task(samples.note, broker=get_broker("priority"))

    assert len(calls) == 2


def test_it_runs_in_the_transaction_of_the_test(djq_sync):
    with transaction.atomic():
        task_id = async_task(samples.add, 1, 2)
        transaction.set_rollback(True)

    assert fetch(task_id) is None


def test_what_follows_runs_too(djq_sync, calls):
    async_task(samples.chain_of_two)
    group = async_chain([(samples.add, (1, 2)), (samples.add, (3, 4))])
    iter_id = async_iter(samples.add, [(1, 1), (2, 2)])

    assert calls[1][1:] == (True, 1)
    assert Task.objects.filter(group=group).count() == 2
    assert result(iter_id) == [2, 4]


def test_a_failure_is_stored_and_not_raised(djq_sync):
    task_id = async_task(samples.fail, "no")

    assert result(task_id) == "LookupError: no"


@pytest.mark.djq_sync(raises=True)
def test_the_true_exception_is_raised_after_its_failure_was_stored(djq_sync, calls):
    with pytest.raises(LookupError, match="no") as caught:
        async_task(samples.fail, "no", hook=samples.hear, task_name="wrong")

    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fail"
    assert result("wrong") == "LookupError: no"
    assert calls[0][1:] == (False, "LookupError: no")


@pytest.mark.djq_sync(True)
def test_what_follows_raises_too(djq_sync):
    with pytest.raises(LookupError):
        async_task(samples.add, 1, 2, hook=samples.fail)


@pytest.mark.djq_sync(raises=True)
@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyboardInterrupt])
def test_whatever_it_is(djq_sync, error):
    with pytest.raises(error):
        async_task(error_of, error)


def error_of(error):
    raise error


def test_raising_can_be_switched_in_the_middle(djq_sync):
    async_task(samples.fail)
    djq_sync.raises = True

    with pytest.raises(LookupError):
        async_task(samples.fail)


@pytest.mark.djq_sync(raises=True)
def test_tasks_behind_the_one_that_failed_are_not_run(djq_sync, calls):
    with pytest.raises(LookupError):
        async_tasks([samples.note, samples.fail, samples.note])

    assert len(calls) == 1


@pytest.mark.djq_sync(raises=True)
def test_a_task_within_a_task_raises_in_it(djq_sync):
    with pytest.raises(LookupError):
        async_task(async_task, "tests.kit.samples.fail")

    assert Task.objects.filter(success=False).count() == 2


def test_a_schedule_that_is_run_now_runs_here_and_hears_of_it(djq_sync, calls):
    made = schedule("tests.kit.samples.fail", schedule_type=Schedule.DAILY)

    run_now(made)

    made.refresh_from_db()
    assert "it does not work" in made.last_error


def test_what_waits_for_the_commit_runs_when_the_test_says_so(djq_sync, calls):
    samples.when_committed(1)
    assert calls == []

    assert djq_sync.commit() == 1

    assert calls == [((1,), {})]


def test_results_may_go_to_a_cache_that_processes_do_not_share(djq_sync):
    assert result(async_task(samples.add, 1, 2, cached=60), cached=True) == 3
