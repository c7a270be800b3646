"""What every broker has to do; its author runs this against it.

    class TestMyBroker(ReceiptBrokerContract):
        @pytest.fixture
        def make_broker(self, clock):
            return lambda key: MyBroker(key, clock=clock, retry_seconds=self.retry_seconds)

Without receipts it is `PlainBrokerContract`. A broker whose server keeps the time overrides `pass_time`
as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from djq.ports import Broker
from djq_testing.clock import ManualClock

MakeBroker = Callable[[str], Broker]
PassTime = Callable[[float], None]


def packages(taken: Sequence[tuple[str | None, str | bytes]]) -> list[str]:
    """What was delivered, as text."""
    return [package if isinstance(package, str) else package.decode() for _, package in taken]


def receipts(taken: Sequence[tuple[str | None, str | bytes]]) -> list[str]:
    """The receipts of what was delivered."""
    return [receipt for receipt, _ in taken if receipt is not None]


def attempts(taken: Sequence[tuple[str | None, str | bytes]]) -> list[int]:
    """How often each was delivered, this time included."""
    return [getattr(received, "attempt", 1) for received in taken]


class BrokerContract:
    """Every broker; subclass one of the two below."""

    retry_seconds = 60.0
    """The lease that `make_broker` has to give."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time that the broker keeps."""
        return ManualClock()

    @pytest.fixture
    def make_broker(self, clock: ManualClock) -> MakeBroker:
        """A function that makes a broker for a queue's name; brokers of one name share a queue."""
        raise NotImplementedError("override the fixture make_broker(self, clock)")

    @pytest.fixture
    def pass_time(self, clock: ManualClock) -> PassTime:
        """A function that lets seconds pass for the broker."""
        return clock.advance

    @pytest.fixture
    def broker(self, make_broker: MakeBroker) -> Broker:
        """A broker with an empty queue."""
        return make_broker("contract")

    def test_empty_queue_delivers_nothing(self, broker: Broker) -> None:
        assert list(broker.dequeue(5)) == []

    def test_package_arrives_as_it_was_sent(self, broker: Broker) -> None:
        sent = "eyJ:ÄÖ-_:" + "x" * 100_000

        broker.enqueue(sent)

        assert packages(broker.dequeue()) == [sent]

    def test_delivers_in_the_order_of_sending(self, broker: Broker) -> None:
        for number in range(5):
            broker.enqueue(str(number))

        taken = [*broker.dequeue(2), *broker.dequeue(2), *broker.dequeue(2)]

        assert packages(taken) == ["0", "1", "2", "3", "4"]

    def test_many_are_sent_in_order(self, broker: Broker) -> None:
        ids = broker.enqueue_many([str(number) for number in range(30)])

        taken: list[tuple[str | None, str | bytes]] = []
        while batch := broker.dequeue(10):
            taken += batch
        assert packages(taken) == [str(number) for number in range(30)]
        assert len(ids) == 30

    def test_sending_nothing_is_no_error(self, broker: Broker) -> None:
        assert broker.enqueue_many([]) == []
        assert list(broker.dequeue()) == []

    def test_never_more_than_asked_for(self, broker: Broker) -> None:
        broker.enqueue_many(["a", "b", "c"])

        assert len(broker.dequeue()) == 1
        assert len(broker.dequeue(10)) == 2

    def test_two_clusters_share_a_queue_and_never_a_package(
        self, broker: Broker, make_broker: MakeBroker
    ) -> None:
        other = make_broker("contract")
        broker.enqueue_many(["a", "b", "c", "d"])

        taken = [*broker.dequeue(2), *other.dequeue(2), *broker.dequeue(2), *other.dequeue(2)]

        assert sorted(packages(taken)) == ["a", "b", "c", "d"]

    def test_queues_of_other_names_stay_apart(
        self, broker: Broker, make_broker: MakeBroker
    ) -> None:
        other = make_broker("another")
        other.enqueue("theirs")
        broker.enqueue("ours")

        broker.purge_queue()

        assert list(broker.dequeue()) == []
        assert packages(other.dequeue()) == ["theirs"]

    def test_queue_size_counts_what_waits(self, broker: Broker) -> None:
        broker.enqueue_many(["a", "b", "c"])

        broker.dequeue(2)

        assert broker.queue_size() == 1

    def test_purged_queue_is_empty_and_works_on(self, broker: Broker) -> None:
        broker.enqueue("a")

        broker.purge_queue()

        assert broker.queue_size() == 0
        broker.enqueue("b")
        assert packages(broker.dequeue(5)) == ["b"]

    def test_deleted_queue_is_empty_and_works_on(self, broker: Broker) -> None:
        broker.enqueue("a")

        broker.delete_queue()

        assert broker.queue_size() == 0
        broker.enqueue("b")
        assert packages(broker.dequeue(5)) == ["b"]

    def test_deletes_by_tracking_id(self, broker: Broker) -> None:
        tracking_ids = broker.enqueue_many(["a", "b"])
        if None in tracking_ids:
            pytest.skip("the broker gives no tracking ids")

        broker.delete(str(tracking_ids[0]))

        assert packages(broker.dequeue(5)) == ["b"]

    def test_answers_a_ping_and_says_what_it_is(self, broker: Broker) -> None:
        assert broker.ping() is True
        assert broker.info()

    def test_connects_anew_after_a_close(self, broker: Broker) -> None:
        broker.enqueue("a")

        broker.close()

        assert packages(broker.dequeue(5)) == ["a"]


class PlainBrokerContract(BrokerContract):
    """Brokers without receipts: at most once."""

    def test_delivered_package_is_gone(self, broker: Broker, pass_time: PassTime) -> None:
        broker.enqueue("a")

        taken = broker.dequeue()

        assert broker.receipts is False
        assert [receipt for receipt, _ in taken] == [None]
        pass_time(self.retry_seconds + 1)
        assert list(broker.dequeue()) == []


class ReceiptBrokerContract(BrokerContract):
    """Brokers with receipts: at least once, by leases."""

    uncounts = True
    """False: a delivery that this broker has counted stays counted, whatever `release` is told."""

    def test_says_that_it_gives_receipts(self, broker: Broker) -> None:
        broker.enqueue("a")

        assert broker.receipts is True
        assert len(receipts(broker.dequeue())) == 1

    def test_acknowledged_package_never_returns(self, broker: Broker, pass_time: PassTime) -> None:
        broker.enqueue_many(["a", "b", "c"])

        broker.acknowledge_many(receipts(broker.dequeue(2)))
        broker.acknowledge(*receipts(broker.dequeue()))

        pass_time(self.retry_seconds + 1)
        assert list(broker.dequeue(5)) == []
        assert broker.queue_size() == 0

    def test_package_is_hidden_for_its_lease_and_then_returns(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        broker.dequeue()

        pass_time(self.retry_seconds - 1)
        assert list(broker.dequeue()) == []
        pass_time(2)

        assert packages(broker.dequeue()) == ["a"]

    def test_deliveries_are_counted(self, broker: Broker, pass_time: PassTime) -> None:
        broker.enqueue("a")
        counts = []

        counts += attempts(first := broker.dequeue())
        broker.release(*receipts(first))
        counts += attempts(broker.dequeue())
        pass_time(self.retry_seconds + 1)
        counts += attempts(broker.dequeue())

        assert counts == [1, 2, 3]

    def test_delivery_that_is_released_unbegun_is_not_counted(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        if not self.uncounts:
            pytest.skip("the broker cannot take a count back")
        broker.enqueue_many(["a", "b"])
        counts = []

        for begun in (False, False, True, False):
            counts.append(attempts(held := broker.dequeue(2)))
            broker.release_many(receipts(held), begun=begun)
        broker.release(receipts(held := broker.dequeue())[0], begun=False)
        counts.append(attempts(held))
        pass_time(self.retry_seconds + 1)
        counts.append(attempts(broker.dequeue(2)))

        assert counts == [[1, 1], [1, 1], [1, 1], [2, 2], [2], [2, 2]]

    def test_receipt_is_void_after_a_release_unbegun(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        given_back = receipts(broker.dequeue())
        broker.release_many(given_back, begun=False)
        held = receipts(taken := broker.dequeue())

        broker.release_many(given_back, begun=False)
        broker.acknowledge_many(given_back)
        hidden = list(broker.dequeue())
        broker.release_many(held)

        assert hidden == []
        assert attempts(broker.dequeue()) == ([attempts(taken)[0] + 1])
        pass_time(self.retry_seconds + 1)
        assert packages(broker.dequeue()) == ["a"]

    def test_extended_lease_lasts_from_now(self, broker: Broker, pass_time: PassTime) -> None:
        broker.enqueue("a")
        (receipt,) = receipts(broker.dequeue())

        pass_time(self.retry_seconds - 1)
        receipt = broker.extend(receipt)
        pass_time(self.retry_seconds - 1)
        assert list(broker.dequeue()) == []
        pass_time(2)

        assert packages(broker.dequeue()) == ["a"]

    def test_extended_lease_can_be_acknowledged(self, broker: Broker, pass_time: PassTime) -> None:
        broker.enqueue_many(["a", "b"])
        held = receipts(broker.dequeue(2))

        changed = broker.extend_many(held)
        broker.acknowledge_many([changed.get(receipt, receipt) for receipt in held])

        pass_time(self.retry_seconds + 1)
        assert list(broker.dequeue(5)) == []

    def test_released_packages_return_at_once_before_the_rest_and_in_order(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue_many(["a", "b", "c", "d"])
        held = receipts(broker.dequeue(3))
        pass_time(1)

        broker.release(held[2])
        broker.release_many(held[:2])

        assert packages(broker.dequeue(5)) == ["a", "b", "c", "d"]

    def test_failed_package_never_returns(self, broker: Broker, pass_time: PassTime) -> None:
        broker.enqueue("a")

        broker.fail(*receipts(broker.dequeue()))

        pass_time(self.retry_seconds + 1)
        assert list(broker.dequeue()) == []

    def test_late_acknowledgement_leaves_the_new_lease_alone(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        lost = receipts(broker.dequeue())
        pass_time(self.retry_seconds + 1)
        broker.dequeue()

        broker.acknowledge_many(lost)
        broker.fail(lost[0])

        pass_time(self.retry_seconds + 1)
        assert packages(broker.dequeue()) == ["a"]

    def test_late_release_leaves_the_new_lease_alone(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        lost = receipts(broker.dequeue())
        pass_time(self.retry_seconds + 1)
        broker.dequeue()

        broker.release_many(lost)

        assert list(broker.dequeue()) == []

    def test_late_extension_leaves_the_new_lease_alone(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        lost = receipts(broker.dequeue())
        pass_time(self.retry_seconds + 1)
        broker.dequeue()

        pass_time(self.retry_seconds - 1)
        broker.extend_many(lost)
        pass_time(2)

        assert packages(broker.dequeue()) == ["a"]

    def test_receipt_is_void_after_release(self, broker: Broker) -> None:
        broker.enqueue("a")
        given_back = receipts(broker.dequeue())
        broker.release_many(given_back)

        broker.acknowledge_many(given_back)
        broker.extend_many(given_back)

        assert packages(broker.dequeue()) == ["a"]

    def test_acknowledgement_is_good_until_another_has_the_package(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        held = receipts(broker.dequeue())
        pass_time(self.retry_seconds + 1)

        broker.acknowledge_many(held)

        assert list(broker.dequeue()) == []

    def test_second_acknowledgement_is_no_error(self, broker: Broker) -> None:
        broker.enqueue_many(["a", "b"])
        held = receipts(broker.dequeue())

        broker.acknowledge_many(held)
        broker.acknowledge_many(held)

        assert packages(broker.dequeue(5)) == ["b"]

    def test_lock_size_counts_what_is_out(self, broker: Broker, pass_time: PassTime) -> None:
        if broker.lock_size() is None:
            pytest.skip("the broker cannot tell what is out")
        broker.enqueue_many(["a", "b", "c"])
        held = receipts(broker.dequeue(2))
        sizes = [(broker.queue_size(), broker.lock_size())]

        broker.release(held[0])
        sizes.append((broker.queue_size(), broker.lock_size()))
        pass_time(self.retry_seconds + 1)
        sizes.append((broker.queue_size(), broker.lock_size()))

        assert sizes == [(1, 2), (2, 1), (3, 0)]

    def test_purge_takes_what_is_out_as_well(self, broker: Broker, pass_time: PassTime) -> None:
        broker.enqueue_many(["a", "b"])
        broker.dequeue()

        broker.purge_queue()

        pass_time(self.retry_seconds + 1)
        assert list(broker.dequeue(5)) == []
