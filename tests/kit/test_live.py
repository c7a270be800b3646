"""When a live cluster is idle, and what it refuses; that it works is shown by the sample project."""

from __future__ import annotations

import pytest

from djq.brokers.orm import OrmBroker
from djq_testing.clock import ManualClock
from djq_testing.live import LiveCluster, outstanding
from djq_testing.memory import MemoryBroker


class TwoAnswers(OrmBroker):
    """Between two questions a package has gone from the one number to the other."""

    def queue_size(self):
        return 0

    def lock_size(self):
        return 0


@pytest.mark.django_db
def test_a_queue_in_a_database_is_asked_once_for_what_waits_and_what_is_in_hand():
    broker = TwoAnswers("live", alias="default", clock=ManualClock(), retry_seconds=60)
    broker.enqueue_many(["one", "two"])
    broker.dequeue(1)

    assert outstanding(broker) == 2


@pytest.mark.parametrize("receipts", [True, False])
def test_of_another_broker_both_numbers_count(receipts):
    broker = MemoryBroker(clock=ManualClock(), receipts=receipts)
    broker.enqueue_many(["one", "two"])
    broker.dequeue(1)

    assert outstanding(broker) > 0
    broker.purge_queue()
    assert outstanding(broker) == 0


@pytest.mark.django_db
def test_data_that_no_process_sees_is_refused():
    with pytest.raises(RuntimeError, match="'default' is in a transaction"), LiveCluster():
        pass


def test_before_it_starts_it_can_do_nothing():
    with pytest.raises(RuntimeError, match="enter its context first"):
        LiveCluster().stop()
