"""The twin in memory and the ORM broker answer alike, whatever is asked of them in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from djq.brokers import orm_claim
from djq.brokers.orm import OrmBroker
from djq_testing.clock import ManualClock
from djq_testing.memory import MemoryBroker

RETRY_SECONDS = 10.0


class Agreement(RuleBasedStateMachine):
    """Every verb goes to both; a receipt is a pair, since each broker has its own."""

    alias = "default"
    claim = None
    receipts = Bundle("receipts")

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        around = {"clock": self.clock, "retry_seconds": RETRY_SECONDS}
        self.memory = MemoryBroker("agreement", **around)
        self.orm = OrmBroker("agreement", alias=self.alias, claim=type(self).claim, **around)
        self.orm.purge_queue()
        self.sent = 0

    @rule(count=st.integers(0, 4))
    def enqueue(self, count):
        packages = [f"package {self.sent + number}" for number in range(count)]
        self.sent += count
        assert len(self.memory.enqueue_many(packages)) == len(self.orm.enqueue_many(packages))

    @rule(target=receipts, limit=st.integers(1, 4))
    def dequeue(self, limit):
        expected, actual = self.memory.dequeue(limit), self.orm.dequeue(limit)
        assert [(r[1], r.attempt) for r in actual] == [(r[1], r.attempt) for r in expected]
        return multiple(*[(a[0], b[0]) for a, b in zip(expected, actual, strict=True)])

    @rule(some=st.lists(receipts, min_size=1, max_size=4))
    def acknowledge(self, some):
        self.memory.acknowledge_many([mine for mine, _ in some])
        self.orm.acknowledge_many([theirs for _, theirs in some])

    @rule(some=st.lists(receipts, min_size=1, max_size=4))
    def extend(self, some):
        assert self.memory.extend_many([mine for mine, _ in some]) == {}
        assert self.orm.extend_many([theirs for _, theirs in some]) == {}

    @rule(some=st.lists(receipts, min_size=1, max_size=4), begun=st.booleans())
    def release(self, some, begun):
        self.memory.release_many([mine for mine, _ in some], begun=begun)
        self.orm.release_many([theirs for _, theirs in some], begun=begun)

    @rule(pair=receipts)
    def fail(self, pair):
        self.memory.fail(pair[0])
        self.orm.fail(pair[1])

    @rule(pair=receipts)
    def delete(self, pair):
        self.memory.delete(pair[0].partition(":")[0])
        self.orm.delete(pair[1].partition(":")[0])

    @rule(seconds=st.sampled_from([0.001, 1, RETRY_SECONDS / 2, RETRY_SECONDS]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule()
    def purge(self):
        self.memory.purge_queue()
        self.orm.purge_queue()

    @invariant()
    def sizes_agree(self):
        assert self.orm.queue_size() == self.memory.queue_size()
        assert self.orm.lock_size() == self.memory.lock_size()


def run(alias, examples, claim=None):
    machine = type("Machine", (Agreement,), {"alias": alias, "claim": claim})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db
def test_orm_broker_agrees_with_its_twin():
    run("default", examples=60)


@pytest.mark.django_db
def test_claims_row_by_row_agree_with_the_twin():
    run("default", examples=15, claim=staticmethod(orm_claim.claim_row_by_row))


def test_servers_agree_with_the_twin(server_database):
    run(server_database, examples=10)
