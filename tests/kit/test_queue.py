"""`djq_queue`: held, looked at, run when the test says so."""

from __future__ import annotations

import traceback

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import override_settings

from djq.brokers import get_broker
from djq.exceptions import TaskRefused
from djq.models import Task
from djq.tasks import (
    Chain,
    aresult,
    async_chain,
    async_iter,
    async_task,
    async_tasks,
    fetch,
    queue_size,
    result,
)
from djq_testing.held import HeldQueue
from tests.kit import samples


class Whatever:
    """Equals everything, as `unittest.mock.ANY` does."""

    def __eq__(self, _other):
        return True

    __hash__ = None


def test_nothing_runs_before_the_test_says_so(djq_queue, calls):
    async_task(samples.note, 1)

    assert calls == []
    assert len(djq_queue) == queue_size() == 1


def test_what_waits_is_told_with_all_that_was_said_of_it(djq_queue):
    task_id = async_task(
        samples.add, 1, second=2, group="sums", hook=samples.hear, task_name="one", timeout=5
    )

    (task,) = djq_queue
    assert (task.id, task.func, task.args) == (task_id, "tests.kit.samples.add", (1,))
    assert (task.kwargs, task.group, task.name) == ({"second": 2}, "sums", "one")
    assert task.hook == "tests.kit.samples.hear"
    assert task.message.timeout == 5


def test_tasks_stand_in_the_order_in_which_they_were_sent(djq_queue):
    async_task(samples.note, 1)
    async_task(samples.note, 2, broker=get_broker("priority"))
    async_tasks([(samples.note, (3,)), (samples.note, (4,))])

    assert [task.args[0] for task in djq_queue.tasks] == [1, 2, 3, 4]
    assert (djq_queue[0].args, djq_queue[-1].args) == ((1,), (4,))
    assert [task.queue for task in djq_queue.tasks][1] == "priority"


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"args": (1, 2)},
        {"args": [1, 2]},
        {"args": (Whatever(), 2)},
        {"hook": Whatever()},
        {"kwargs": {}},
        {"group": "sums", "count": 1},
        {"hook": samples.hear},
        {"hook": "tests.kit.samples.hear"},
        {"name": "one", "queue": "tests", "timeout": None},
    ],
)
def test_a_task_that_waits_is_found_by(djq_queue, wanted):
    task_id = async_task(samples.add, 1, 2, group="sums", hook=samples.hear, task_name="one")

    (found,) = djq_queue.assert_enqueued(samples.add, **wanted)

    assert found.id == task_id


@pytest.mark.parametrize(
    "wanted",
    [
        {"args": (1,)},
        {"args": (2, 1)},
        {"kwargs": {"x": 1}},
        {"group": None},
        {"count": 2},
        {"hook": None},
        {"hook": samples.note},
    ],
)
def test_a_task_that_is_another_is_not_found(djq_queue, wanted):
    async_task(samples.add, 1, 2, group="sums", hook=samples.hear)

    with pytest.raises(
        AssertionError, match=r"1 wait:\n  1. tests.kit.samples.add\(1, 2\) group='sums'"
    ):
        djq_queue.assert_enqueued(samples.add, **wanted)


def test_a_function_is_known_by_each_of_its_names(djq_queue):
    async_task("tests.kit.samples.async_task", samples.note)

    djq_queue.assert_enqueued("djq.tasks.async_task")
    djq_queue.assert_enqueued(async_task)


def test_what_is_refuted_does_not_wait(djq_queue):
    djq_queue.refute_enqueued()
    async_task(samples.add, 1, 2)

    djq_queue.refute_enqueued(samples.note)
    djq_queue.refute_enqueued(samples.add, args=(2, 1))
    with pytest.raises(AssertionError, match="no task such as add should wait"):
        djq_queue.refute_enqueued(samples.add)


@pytest.mark.parametrize("func", ["tests.kit.samples.nota", "nowhere.at.all", "note", lambda: 1])
def test_what_no_task_can_ever_call_is_not_refuted(djq_queue, func):
    with pytest.raises(TaskRefused):
        djq_queue.refute_enqueued(func)


@pytest.mark.parametrize("verb", ["assert_enqueued", "refute_enqueued"])
def test_a_word_that_no_task_knows_is_refused(djq_queue, verb):
    with pytest.raises(TypeError, match="arguments: nothing that a task has; it has args, kwargs"):
        getattr(djq_queue, verb)(samples.add, arguments=(1,))


@pytest.mark.django_db
def test_the_oldest_is_run_by_worker_and_monitor(djq_queue):
    task_id = async_task(samples.add, 1, 2)
    async_task(samples.add, 3, 4)

    done = djq_queue.run_next()

    assert (done.task.id, done.success, done.result) == (task_id, True, 3)
    assert fetch(task_id).result == result(task_id) == 3
    assert Task.objects.count() == len(djq_queue) == 1


@pytest.mark.django_db
def test_there_may_be_nothing_to_run(djq_queue):
    assert djq_queue.run_next() is None
    assert djq_queue.run_all() == []
    assert djq_queue.run_until_idle() == []


@pytest.mark.django_db
@pytest.mark.parametrize("run", [HeldQueue.run_all, lambda q: q.run_until_idle(recursive=False)])
def test_all_that_waits_is_run_and_nothing_that_follows(djq_queue, calls, run):
    async_task(samples.chain_of_two)
    async_task(samples.note, 2)

    done = run(djq_queue)

    assert [one.task.func.rpartition(".")[2] for one in done] == ["chain_of_two", "note"]
    assert calls == [((2,), {})]
    djq_queue.assert_enqueued(samples.note, args=("first",), count=1)


@pytest.mark.django_db
def test_everything_is_run_until_nothing_waits(djq_queue, calls):
    task_id = async_task(samples.chain_of_two)

    done = djq_queue.run_until_idle()

    assert [one.task.is_hook for one in done] == [False, False, True]
    assert calls[0] == (("first",), {})
    assert calls[1][1:] == (True, 1)
    assert result(task_id) == calls[1][0]


@pytest.mark.django_db
def test_tasks_without_an_end_are_told(djq_queue):
    async_task(samples.for_ever)

    with pytest.raises(AssertionError, match="20 tasks were run and there is no end to them"):
        djq_queue.run_until_idle(limit=20)


@pytest.mark.django_db
def test_a_failure_is_stored_and_told(djq_queue):
    task_id = async_task(samples.fail, "no")

    done = djq_queue.run_next()

    assert not done.success
    assert isinstance(done.error, LookupError)
    assert done.result == result(task_id) == "LookupError: no"


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["run_next", "run_all", "run_until_idle"])
def test_the_true_exception_is_raised_where_that_is_wanted(djq_queue, verb):
    task_id = async_task(samples.fail, "no")

    with pytest.raises(LookupError, match="no") as caught:
        getattr(djq_queue, verb)(raises=True)

    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "fail"
    assert not fetch(task_id).success


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["run_next", "run_all", "run_until_idle"])
def test_an_exception_that_ends_a_generator_is_raised_as_it_is(djq_queue, verb):
    async_task(samples.stop)

    with pytest.raises(StopIteration):
        getattr(djq_queue, verb)(raises=True)


@pytest.mark.django_db
def test_whoever_would_wait_for_ever_is_told(djq_queue):
    chain = Chain([(samples.add, (1, 2))])
    chain.run()

    with pytest.raises(
        AssertionError, match=r"run_until_idle.*1 wait:\n  1. tests.kit.samples.add"
    ):
        chain.result()
    with pytest.raises(AssertionError, match="waits here without an end"):
        async_to_sync(aresult)("nobody", wait=-1)
    djq_queue.run_until_idle()

    assert chain.result() == [3]


@pytest.mark.django_db
@pytest.mark.djq_queue(raises=True)
def test_a_marker_says_that_exceptions_are_raised(djq_queue):
    async_task(samples.fail)

    with pytest.raises(LookupError):
        djq_queue.run_all()


@pytest.mark.djq_queue(store="memory")
def test_a_test_without_a_database_keeps_results_in_memory(djq_queue):
    task_id = async_task(samples.add, 1, 2, cached=60)
    chain = Chain([(samples.add, (1, 1)), (samples.note, (2,))])
    chain.run()
    djq_queue.run_until_idle()

    assert result(task_id, cached=True) == 3
    assert chain.result() == [2, 1]


@pytest.mark.django_db
def test_links_elements_and_options_are_what_they_are_in_a_cluster(djq_queue):
    group = async_chain([(samples.add, (1, 2)), (samples.add, (3, 4))])
    iter_id = async_iter(samples.add, [(1, 1), (2, 2)])
    djq_queue.assert_enqueued(samples.add, count=3)

    djq_queue.run_until_idle()

    assert [task.result for task in Task.objects.filter(group=group).order_by("place")] == [3, 7]
    assert result(iter_id) == [2, 4]


@pytest.mark.django_db
@override_settings(Q_CLUSTER={"orm": "default", "sync": True})
def test_the_setting_sync_changes_nothing(djq_queue, calls):
    async_task(samples.note)

    assert calls == []
    djq_queue.assert_enqueued(samples.note)


@pytest.mark.django_db
def test_a_call_that_wants_to_run_here_does(djq_queue, calls):
    async_task(samples.note, sync=True)

    assert len(calls) == 1
    djq_queue.refute_enqueued()


def test_the_documented_verbs_of_a_broker_work_on_what_waits(djq_queue):
    broker = get_broker()
    async_task(samples.note, 1)
    async_task(samples.note, 2, broker=get_broker("other"))

    (received,) = broker.dequeue(5)
    assert received[0] is None
    assert (broker.queue_size(), get_broker("other").queue_size()) == (0, 1)
    get_broker("other").purge_queue()
    djq_queue.refute_enqueued()


def test_what_waits_can_be_forgotten(djq_queue):
    async_task(samples.note)

    djq_queue.clear()

    djq_queue.refute_enqueued()


def test_each_test_has_a_queue_of_its_own(djq_queue):
    djq_queue.refute_enqueued()
    async_task(samples.note)


test_each_test_has_a_queue_of_its_own_again = test_each_test_has_a_queue_of_its_own


# What waits for a commit.


@pytest.mark.django_db
@pytest.mark.parametrize(
    "send", [samples.when_committed, lambda *a: async_task(samples.note, *a, on_commit=True)]
)
def test_a_task_that_waits_for_the_tests_own_transaction_alone_is_there(djq_queue, send):
    send(1)

    djq_queue.assert_enqueued(samples.note, args=(1,), count=1)
    djq_queue.assert_enqueued(samples.note, args=(1,), count=1)


@pytest.mark.django_db
def test_a_task_of_an_open_block_is_not_there_yet(djq_queue):
    with transaction.atomic():
        async_task(samples.note, on_commit=True)
        djq_queue.refute_enqueued()

    djq_queue.assert_enqueued(samples.note)


@pytest.mark.django_db
def test_a_task_of_a_block_that_was_rolled_back_never_is(djq_queue):
    with transaction.atomic():
        async_task(samples.note, on_commit=True)
        transaction.set_rollback(True)

    djq_queue.refute_enqueued()


@pytest.mark.django_db
def test_what_an_outer_block_holds_back_an_inner_one_does_not_let_go(djq_queue):
    async_task(samples.note, 0, on_commit=True)
    with transaction.atomic():
        with transaction.atomic():
            async_task(samples.note, 1, on_commit=True)
        assert [task.args for task in djq_queue] == [(0,)]

    assert [task.args for task in djq_queue] == [(0,), (1,)]


@pytest.mark.django_db
@pytest.mark.parametrize("func", [samples.when_committed, samples.commit_and_fail])
@pytest.mark.parametrize("kit", ["djq_queue", "djq_sync"])
def test_what_a_task_leaves_to_a_commit_follows_it(request, calls, func, kit):
    tasks = request.getfixturevalue(kit)

    async_task(func, 1)
    if kit == "djq_queue":
        tasks.run_next()
        assert calls == []
        tasks.run_next()

    assert calls == [((1,), {})]


@pytest.mark.django_db
def test_what_the_caller_holds_back_a_task_in_sync_mode_does_not_let_go(djq_sync, calls):
    with transaction.atomic():
        async_task(samples.when_committed, 1)
        transaction.set_rollback(True)

    assert djq_sync.commit() == 0
    assert calls == []


@pytest.mark.django_db(transaction=True)
def test_real_transactions_commit_by_themselves(djq_queue):
    with transaction.atomic():
        async_task(samples.note, on_commit=True)
        djq_queue.refute_enqueued()

    djq_queue.assert_enqueued(samples.note)


@pytest.mark.django_db
def test_callbacks_of_the_code_under_test_run_in_their_order(djq_queue):
    heard = []
    transaction.on_commit(lambda: heard.append(1))
    transaction.on_commit(lambda: transaction.on_commit(lambda: heard.append(3)))
    transaction.on_commit(lambda: heard.append(2), robust=True)
    transaction.on_commit(lambda: 1 / 0, robust=True)

    assert djq_queue.commit() == 5
    assert heard == [1, 2, 3]
    assert djq_queue.commit() == 0


# A broker that was made before.


@pytest.mark.django_db
def test_what_goes_to_a_broker_of_the_project_is_held_too(request):
    early = get_broker("reports")
    queue = request.getfixturevalue("djq_queue")

    async_task(samples.note, "a", broker=early)
    async_chain([(samples.note, ("b",))], broker=early)

    queue.assert_enqueued(samples.note, queue="reports", count=2)
    assert early.queue_size() == 0
    assert [one.success for one in queue.run_until_idle()] == [True, True]


@pytest.mark.django_db
def test_what_goes_to_a_broker_of_the_project_is_run_by_the_cluster_of_the_test(request):
    early = get_broker()
    cluster = request.getfixturevalue("djq_cluster")

    task_id = async_task(samples.add, 1, 2, broker=early)
    cluster.run_until_idle()

    assert (result(task_id), early.queue_size()) == (3, 0)
