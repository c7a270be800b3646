"""The cluster in process, in a test's own transaction: what waits for a commit is sent."""

from __future__ import annotations

import pytest
from django.db import transaction

from djq.exceptions import BrokerUnavailable
from djq.tasks import async_task
from djq_testing.cluster import LocalCluster
from tests.kit import samples

pytestmark = pytest.mark.django_db


@pytest.fixture
def cluster(db):
    with LocalCluster() as cluster:
        yield cluster


@pytest.mark.parametrize(
    "play",
    [LocalCluster.run_until_idle, lambda c: c.advance(seconds=5), lambda c: c.clock.advance(5)],
    ids=["run_until_idle", "advance", "the clock"],
)
def test_what_only_the_test_holds_back_is_sent_when_time_goes_on(cluster, calls, play):
    samples.when_committed(1)
    assert calls == []

    play(cluster)

    assert calls == [((1,), {})]


def test_what_a_block_of_the_test_holds_back_is_not(cluster, calls):
    with transaction.atomic():
        async_task(samples.note, on_commit=True)
        cluster.run_until_idle()
        assert calls == []

    cluster.run_until_idle()
    assert len(calls) == 1


@pytest.mark.parametrize("func", [samples.when_committed, samples.commit_and_fail])
def test_what_a_task_leaves_to_a_commit_follows_it(cluster, calls, func):
    async_task(func, 1)

    cluster.run_until_idle()

    assert calls == [((1,), {})]


def test_a_broker_that_is_away_is_told_at_the_commit(cluster):
    samples.when_committed(1)
    cluster.broker_down(seconds=5)

    with pytest.raises(BrokerUnavailable):
        cluster.run_until_idle()
