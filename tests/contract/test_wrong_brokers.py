"""What the author of a wrong broker, or of a wrong store, is told."""

from __future__ import annotations

import pytest

from djq.brokers import Broker, Waiting
from djq_testing.clock import ManualClock
from djq_testing.contract.agreement import BrokerAgreement
from djq_testing.contract.broker import BrokerContract
from djq_testing.contract.delivered import take_receipt
from djq_testing.contract.schedules import ScheduleStoreContract
from djq_testing.memory import MemoryBroker
from djq_testing.schedules import MemoryScheduleStore

Failed = pytest.fail.Exception
Skipped = pytest.skip.Exception


class Bare(Broker):
    """Begun, and left."""

    receipts = True

    def __init__(self):
        super().__init__()
        self.queue = []

    def enqueue(self, task):
        self.queue.append(task)

    def dequeue(self, limit=1):
        return [(None, self.queue.pop(0)) for _ in self.queue[:limit]]


def test_a_verb_that_is_left_out_is_named_with_the_way_to_say_so():
    with pytest.raises(
        Failed, match=r"Bare does not define queue_size.*without = \('queue_size',\)"
    ):
        BrokerContract().test_queue_size_counts_what_waits(Bare())


def test_a_verb_that_is_left_out_on_purpose_is_a_visible_skip():
    class Suite(BrokerContract):
        without = ("queue_size",)

    with pytest.raises(Skipped, match="without queue_size"):
        Suite().test_queue_size_counts_what_waits(Bare())


def test_receipts_that_are_missing_are_told_with_what_came():
    with pytest.raises(AssertionError, match=r"receipts is True, and dequeue.* the receipt None"):
        BrokerContract().test_gives_receipts_as_it_says(Bare())
    bare = Bare()
    bare.enqueue("a")
    with pytest.raises(Failed, match=r"with a receipt, as text; it gave \[\(None, 'a'\)\]"):
        take_receipt(bare)


def test_attempts_that_are_missing_are_told_with_the_two_ways_out(djq_clock):
    broker = MemoryBroker(clock=djq_clock, counts=False)

    with pytest.raises(
        AssertionError, match=r"Received\(receipt, package, attempt\).*counts = False"
    ):
        BrokerContract().test_says_how_often_it_was_delivered_unless_nobody_knows(
            broker, djq_clock.advance
        )


def test_receipts_that_name_the_package_are_told_what_to_say(djq_clock):
    broker = MemoryBroker(clock=djq_clock, receipt_is_void="never")

    with pytest.raises(AssertionError, match=r"name the delivery .* receipt_is_void = 'never'"):
        BrokerContract().test_late_acknowledgement_leaves_the_new_lease_alone(
            broker, djq_clock.advance, "acknowledge"
        )


def test_a_broker_on_another_clock_is_told_of_the_fixtures(djq_clock):
    broker = MemoryBroker(clock=djq_clock)

    with pytest.raises(
        AssertionError, match=r"hand that clock .* override the fixture `pass_time`"
    ):
        BrokerContract().test_package_is_hidden_for_its_lease_and_then_returns(
            broker, ManualClock().advance
        )


def test_a_contract_that_is_not_filled_in_names_the_hole():
    make_broker = BrokerContract.make_broker.__wrapped__

    with pytest.raises(NotImplementedError, match="BrokerContract must override the fixture"):
        make_broker(BrokerContract(), None)
    with pytest.raises(NotImplementedError, match="must define make_broker"):
        BrokerAgreement().make_broker(None)
    with pytest.raises(NotImplementedError, match=r"ScheduleStoreContract must override .* kept"):
        ScheduleStoreContract.kept.__wrapped__(ScheduleStoreContract())


def test_a_schedule_store_with_a_naive_time_is_found_out(djq_clock):
    class Naive(MemoryScheduleStore):
        def now(self):
            return super().now().replace(tzinfo=None)

    with pytest.raises(AssertionError):
        ScheduleStoreContract().test_its_time_is_aware_and_utc(Naive(clock=djq_clock))


class Careless(MemoryBroker):
    """Does half of what it is told."""

    def extend_many(self, ids):
        return super().extend_many(list(ids)[:1])

    def delete_queue(self):
        self._rows = [row for row in self._rows if row.taken]


def test_half_of_what_was_told_is_not_enough(djq_clock):
    suite, broker = BrokerContract(), Careless(clock=djq_clock)

    with pytest.raises(AssertionError):
        suite.test_each_of_many_leases_is_extended(broker, djq_clock.advance)
    broker.purge_queue()
    with pytest.raises(AssertionError):
        suite.test_emptying_takes_what_is_out_as_well(broker, djq_clock.advance, "delete_queue")


class Blind(MemoryBroker):
    def queue_size(self):
        return 0


def test_the_agreement_tells_which_step_was_answered_differently():
    class Suite(BrokerAgreement):
        def make_broker(self, clock):
            return Blind(clock=clock, retry_seconds=self.retry_seconds)

    told = r"queue_size\(\) after Enqueue\(count=1\): the twin 1, here 0"
    with pytest.raises(AssertionError, match=told):
        Suite().test_answers_as_its_twin_whatever_is_asked()


class Showing(MemoryBroker):
    """Shows what it has, whether it waits or not."""

    def peek(self):
        return [Waiting(row.package, 0.0) for row in self._rows[:1]]


class Grabbing(MemoryBroker):
    """Shows what it takes."""

    def peek(self):
        return [Waiting(package) for _, package in self.dequeue()]


class Hiding(MemoryBroker):
    def peek(self):
        return None


def test_what_is_shown_has_to_wait_and_to_stay(djq_clock):
    suite, around = BrokerContract(), {"clock": djq_clock, "retry_seconds": 60.0}

    with pytest.raises(AssertionError):
        suite.test_what_was_taken_is_shown_no_more(Showing(**around))
    with pytest.raises(AssertionError):
        suite.test_what_is_held_back_is_shown_when_its_time_has_come(
            Showing(**around), djq_clock.advance
        )
    with pytest.raises(AssertionError):
        suite.test_tells_how_long_it_has_waited_unless_nobody_knows(
            Showing(**around), djq_clock.advance
        )
    with pytest.raises(AssertionError):
        suite.test_what_is_shown_comes_next_and_is_not_taken(Grabbing(**around))
    with pytest.raises(Failed, match="gives None, that it cannot tell"):
        suite.test_empty_queue_shows_nothing(Hiding(**around), lambda _: Hiding(**around))


def test_the_agreement_looks_at_what_is_shown():
    class Suite(BrokerAgreement):
        def make_broker(self, clock):
            return Showing(clock=clock, retry_seconds=self.retry_seconds)

    with pytest.raises(AssertionError, match=r"peek\(\) after .*: the twin \[.*, here \[Waiting"):
        Suite().test_answers_as_its_twin_whatever_is_asked()
