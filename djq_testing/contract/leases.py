"""What a broker with receipts has to do: it lends a package, and keeps it until it is acknowledged."""

from __future__ import annotations

import pytest

from djq.ports import Broker
from djq_testing.contract.delivered import (
    BrokerFixtures,
    PassTime,
    attempts,
    packages,
    receipts,
    take,
    take_receipt,
)
from djq_testing.histories import dequeue

FENCED = (
    "an old receipt must do nothing to a package that was delivered again or given back: name the delivery "
    "and not the package, or say in the class: receipt_is_void = 'never'"
)
LEASED = (
    "a lease must last for retry_seconds by the fixture `clock`: hand that clock to the broker, or where its "
    "server keeps the time override the fixture `pass_time`"
)


class LeaseContract(BrokerFixtures):
    """At least once, by leases; all of it is skipped for a broker without receipts."""

    @pytest.fixture
    def lender(self, broker: Broker) -> Broker:
        """The broker, where it lends packages."""
        if not broker.receipts:
            pytest.skip("receipts is False")
        self.need(broker, "acknowledge")
        return broker

    def need_fencing(self, *weak: str) -> None:
        """Skip the test where a late word is taken for that of the new holder."""
        if self.receipt_is_void in {"never", "when given back"} - set(weak):
            pytest.skip(f'receipt_is_void is "{self.receipt_is_void}"')

    def test_acknowledged_package_never_returns(self, lender: Broker, pass_time: PassTime) -> None:
        lender.enqueue_many(["a", "b", "c"])

        lender.acknowledge_many(receipts(take(lender, 2)))
        lender.acknowledge(take_receipt(lender))

        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender, 5)) == []

    def test_package_is_hidden_for_its_lease_and_then_returns(
        self, lender: Broker, pass_time: PassTime
    ) -> None:
        lender.enqueue("a")
        dequeue(lender)

        pass_time(self.retry_seconds - 1)
        assert packages(dequeue(lender)) == [], LEASED
        pass_time(2)

        assert packages(dequeue(lender)) == ["a"], LEASED

    def test_says_how_often_it_was_delivered_unless_nobody_knows(
        self, lender: Broker, pass_time: PassTime
    ) -> None:
        lender.enqueue("a")
        seen = attempts(dequeue(lender))

        for _ in range(2):
            pass_time(self.retry_seconds + 1)
            seen += attempts(dequeue(lender))

        assert seen == ([1, 2, 3] if self.counts else [None] * 3), (
            "dequeue() gives djq.brokers.Received(receipt, package, attempt); where nobody knows, "
            "attempt is None, and the class says `counts = False`"
        )

    def test_delivery_that_is_released_begun_is_counted(self, lender: Broker) -> None:
        self.need(lender, "release")
        if not self.counts:
            pytest.skip("counts is False")
        lender.enqueue("a")
        counts = attempts(first := dequeue(lender))

        lender.release_many(receipts(first))
        counts += attempts(dequeue(lender))

        assert counts == [1, 2]

    def test_delivery_that_is_released_unbegun_is_not_counted(
        self, lender: Broker, pass_time: PassTime
    ) -> None:
        self.need(lender, "release")
        if not self.counts or not self.uncounts:
            pytest.skip("counts is False" if self.uncounts else "uncounts is False")
        lender.enqueue_many(["a", "b"])
        counts = []

        for begun in (False, False, True, False):
            counts.append(attempts(held := take(lender, 2)))
            lender.release_many(receipts(held), begun=begun)
        lender.release(take_receipt(lender), begun=False)
        pass_time(self.retry_seconds + 1)
        counts.append(attempts(take(lender, 2)))

        assert counts == [[1, 1], [1, 1], [1, 1], [2, 2], [2, 2]]

    @pytest.mark.parametrize("begun", [True, False])
    def test_receipt_is_void_after_a_release(
        self, lender: Broker, pass_time: PassTime, *, begun: bool
    ) -> None:
        self.need(lender, "release")
        lender.enqueue("a")
        given_back = take_receipt(lender)
        lender.release(given_back, begun=begun)

        lender.acknowledge(given_back)
        lender.extend(given_back)
        lender.release(given_back, begun=begun)

        assert packages(dequeue(lender, 5)) == ["a"], FENCED
        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender, 5)) == ["a"], FENCED

    @pytest.mark.parametrize("begun", [True, False])
    def test_receipt_of_a_delivery_that_was_released_is_void_in_the_next(
        self, lender: Broker, pass_time: PassTime, *, begun: bool
    ) -> None:
        self.need(lender, "release")
        self.need_fencing("when given back")
        lender.enqueue("a")
        given_back = take_receipt(lender)
        lender.release(given_back, begun=begun)
        held = take_receipt(lender)

        lender.release(given_back, begun=begun)
        lender.acknowledge(given_back)
        hidden = list(dequeue(lender))
        lender.release(held)

        assert hidden == [], FENCED
        assert packages(dequeue(lender, 5)) == ["a"], FENCED
        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender)) == ["a"], FENCED

    def test_extended_lease_lasts_from_now(self, lender: Broker, pass_time: PassTime) -> None:
        self.need(lender, "extend")
        lender.enqueue("a")
        receipt = take_receipt(lender)

        for _ in range(3):
            pass_time(self.retry_seconds - 1)
            receipt = lender.extend(receipt)
        pass_time(self.retry_seconds - 1)
        assert packages(dequeue(lender)) == [], LEASED
        pass_time(2)

        assert packages(dequeue(lender)) == ["a"], LEASED

    def test_extended_lease_can_be_acknowledged(self, lender: Broker, pass_time: PassTime) -> None:
        self.need(lender, "extend")
        lender.enqueue_many(["a", "b"])
        held = receipts(take(lender, 2))

        changed = lender.extend_many(held)
        lender.acknowledge_many([changed.get(receipt, receipt) for receipt in held])

        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender, 5)) == []

    def test_each_of_many_leases_is_extended(self, lender: Broker, pass_time: PassTime) -> None:
        self.need(lender, "extend")
        lender.enqueue_many(["a", "b", "c"])
        held = receipts(take(lender, 3))

        pass_time(self.retry_seconds - 1)
        lender.extend_many(iter(held))
        pass_time(self.retry_seconds - 1)

        assert packages(dequeue(lender, 5)) == []

    def test_released_packages_return_at_once(self, lender: Broker) -> None:
        self.need(lender, "release")
        lender.enqueue_many(["a", "b", "c"])

        lender.release_many(receipts(take(lender, 2)))

        assert sorted(packages(take(lender, 5))) == ["a", "b", "c"]

    def test_released_packages_return_before_the_rest_and_in_order(
        self, lender: Broker, pass_time: PassTime
    ) -> None:
        self.need(lender, "release")
        if not self.ordered:
            pytest.skip("ordered is False")
        lender.enqueue_many(["a", "b", "c", "d"])
        held = receipts(take(lender, 3))
        pass_time(1)

        lender.release(held[2])
        lender.release_many(held[:2])

        assert packages(take(lender, 5)) == ["a", "b", "c", "d"]

    def test_failed_package_never_returns(self, lender: Broker, pass_time: PassTime) -> None:
        self.need(lender, "fail")
        lender.enqueue("a")

        lender.fail(take_receipt(lender))

        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender)) == []

    @pytest.mark.parametrize("verb", ["acknowledge", "fail"])
    def test_late_acknowledgement_leaves_the_new_lease_alone(
        self, lender: Broker, pass_time: PassTime, verb: str
    ) -> None:
        self.need(lender, verb)
        self.need_fencing()
        lender.enqueue("a")
        lost = take_receipt(lender)
        pass_time(self.retry_seconds + 1)
        dequeue(lender)

        getattr(lender, verb)(lost)

        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender)) == ["a"], FENCED

    def test_late_release_leaves_the_new_lease_alone(
        self, lender: Broker, pass_time: PassTime
    ) -> None:
        self.need(lender, "release")
        self.need_fencing()
        lender.enqueue("a")
        lost = take_receipt(lender)
        pass_time(self.retry_seconds + 1)
        dequeue(lender)

        lender.release(lost)

        assert packages(dequeue(lender)) == [], FENCED

    def test_late_extension_leaves_the_new_lease_alone(
        self, lender: Broker, pass_time: PassTime
    ) -> None:
        self.need(lender, "extend")
        self.need_fencing()
        lender.enqueue("a")
        lost = take_receipt(lender)
        pass_time(self.retry_seconds + 1)
        dequeue(lender)

        pass_time(self.retry_seconds - 1)
        lender.extend(lost)
        pass_time(2)

        assert packages(dequeue(lender)) == ["a"], FENCED

    def test_receipt_is_good_until_another_has_the_package(
        self, lender: Broker, pass_time: PassTime
    ) -> None:
        if self.receipt_is_void == "when the lease ends":
            pytest.skip('receipt_is_void is "when the lease ends"')
        lender.enqueue("a")
        held = take_receipt(lender)
        pass_time(self.retry_seconds + 1)

        lender.acknowledge(held)

        assert packages(dequeue(lender)) == []

    def test_word_about_a_lost_lease_is_no_error(self, lender: Broker, pass_time: PassTime) -> None:
        lender.enqueue("a")
        lost = take_receipt(lender)
        pass_time(self.retry_seconds + 1)
        lender.acknowledge(take_receipt(lender))

        lender.acknowledge_many([lost, lost])
        lender.extend_many([lost])
        lender.release_many([lost])
        lender.fail(lost)

        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender)) == []

    def test_second_acknowledgement_is_no_error(self, lender: Broker) -> None:
        lender.enqueue_many(["a", "b"])
        held = list(dequeue(lender))

        lender.acknowledge_many(receipts(held))
        lender.acknowledge_many(receipts(held))

        assert sorted(packages([*held, *take(lender, 5)])) == ["a", "b"]

    def test_lock_size_counts_what_is_out(self, lender: Broker, pass_time: PassTime) -> None:
        self.need(lender, "queue_size", "release")
        if lender.lock_size() is None:
            pytest.skip("lock_size() is None")
        lender.enqueue_many(["a", "b", "c"])
        held = receipts(take(lender, 2))
        sizes = [(lender.queue_size(), lender.lock_size())]

        lender.release(held[0])
        sizes.append((lender.queue_size(), lender.lock_size()))
        pass_time(self.retry_seconds + 1)
        sizes.append((lender.queue_size(), lender.lock_size()))

        assert sizes == [(1, 2), (2, 1), (3, 0)]

    def test_acknowledged_packages_are_counted_no_longer(self, lender: Broker) -> None:
        self.need(lender, "queue_size")
        lender.enqueue_many(["a", "b", "c"])

        lender.acknowledge_many(receipts(take(lender, 2)))

        assert lender.queue_size() == 1
        assert lender.lock_size() in {0, None}

    @pytest.mark.parametrize("verb", ["purge_queue", "delete_queue"])
    def test_emptying_takes_what_is_out_as_well(
        self, lender: Broker, pass_time: PassTime, verb: str
    ) -> None:
        self.need(lender, verb)
        lender.enqueue_many(["a", "b"])
        dequeue(lender)

        getattr(lender, verb)()

        pass_time(self.retry_seconds + 1)
        assert packages(dequeue(lender, 5)) == []
