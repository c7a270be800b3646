"""What waits for a commit in a test is run once, by whoever it belongs to, and is never overlooked."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, transaction
from django.test import TestCase

from djq.tasks import async_task
from djq_testing.held import HeldQueue
from tests.kit import samples


@pytest.mark.django_db
def test_django_may_run_the_callbacks_of_a_test_in_sync_mode(djq_sync, calls):
    with TestCase.captureOnCommitCallbacks(execute=True):
        samples.when_committed(1)
        samples.when_committed(2)

    assert calls == [((1,), {}), ((2,), {})]


@pytest.mark.django_db
def test_what_django_has_run_is_not_run_again(djq_queue):
    with TestCase.captureOnCommitCallbacks(execute=True) as captured:
        samples.when_committed(1)

    djq_queue.assert_enqueued(samples.note, count=1)
    assert len(captured) == 1
    captured[0]()
    djq_queue.assert_enqueued(samples.note, count=1)


@pytest.mark.django_db
def test_what_django_has_run_is_not_run_again_in_a_cluster(djq_cluster, calls):
    with TestCase.captureOnCommitCallbacks(execute=True):
        samples.when_committed(1)

    djq_cluster.run_until_idle()

    assert calls == [((1,), {})]


@pytest.mark.django_db
def test_connections_are_left_as_they_were():
    own = vars(connections["default"])
    with HeldQueue(), HeldQueue():
        assert "on_commit" in own

    assert "on_commit" not in own


@pytest.mark.django_db
def test_what_cannot_be_called_is_refused_by_django(djq_queue):
    with pytest.raises(TypeError, match="must be a callable"):
        transaction.on_commit("nothing")


@pytest.mark.django_db
def test_a_task_does_not_run_what_its_caller_left_to_a_commit(djq_sync, calls):
    transaction.on_commit(lambda: calls.append("the caller's"))

    async_task(samples.when_committed, 1)

    assert calls == [((1,), {})]
    assert djq_sync.commit() == 1
    assert calls[1:] == ["the caller's"]


@pytest.mark.parametrize("kit", ["djq_queue", "djq_sync"])
@pytest.mark.django_db
def test_a_coroutine_is_told_that_it_does_not_see_what_waits(request, kit):
    tasks = request.getfixturevalue(kit)

    async def ask():
        await sync_to_async(samples.when_committed)(1)
        with pytest.raises(SynchronousOnlyOperation, match=r"call the verbs .* by sync_to_async"):
            tasks.commit()
        return await sync_to_async(tasks.commit)()

    assert async_to_sync(ask)() == 1


@pytest.mark.djq_queue(store="memory")
def test_a_coroutine_without_a_database_may_look(djq_queue):
    async def ask():
        async_task(samples.add, 1, 2)
        djq_queue.assert_enqueued(samples.add)

    async_to_sync(ask)()
