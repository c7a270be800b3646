"""What a broker has to do with a queue: what is sent arrives, once, and where it is meant for."""

from __future__ import annotations

import pytest

from djq.components.pusher import takes_limit
from djq.exceptions import TaskRefused
from djq.ports import Broker
from djq_testing.contract.delivered import (
    BrokerFixtures,
    MakeBroker,
    PassTime,
    attempts,
    packages,
    take,
)
from djq_testing.histories import dequeue

HOUR, DAY = 3_600.0, 86_400.0


class QueueContract(BrokerFixtures):
    """Every broker, with receipts or without."""

    def need_limit(self, broker: Broker) -> None:
        """Skip the test where `dequeue` gives as many packages as it likes."""
        if not takes_limit(broker):
            pytest.skip("dequeue() takes no limit")

    def test_empty_queue_delivers_nothing(self, broker: Broker) -> None:
        assert list(dequeue(broker, 5)) == []

    def test_package_arrives_as_it_was_sent(self, broker: Broker) -> None:
        sent = "eyJ:ÄÖ-_:" + "x" * (min(broker.max_payload or 100_000, 100_000) - 20)

        broker.enqueue(sent)

        assert packages(dequeue(broker)) == [sent]

    def test_gives_receipts_as_it_says(self, broker: Broker) -> None:
        broker.enqueue("a")

        (delivered,) = dequeue(broker)

        receipt, _package = delivered
        assert isinstance(receipt, str) is broker.receipts, (
            f"receipts is {broker.receipts}, and dequeue() gives the receipt {receipt!r}"
        )

    def test_delivers_in_the_order_of_sending(self, broker: Broker) -> None:
        if not self.ordered:
            pytest.skip("ordered is False")
        for number in range(5):
            broker.enqueue(str(number))

        taken = [*dequeue(broker, 2), *dequeue(broker, 2), *take(broker, 5)]

        assert packages(taken) == ["0", "1", "2", "3", "4"]

    def test_many_are_sent_in_order(self, broker: Broker) -> None:
        sent = [f"{number:02}" for number in range(30)]

        ids = broker.enqueue_many(sent)

        assert self.in_order(packages(take(broker, 40))) == sent
        assert len(ids) == 30

    def test_sending_nothing_is_no_error(self, broker: Broker) -> None:
        assert broker.enqueue_many([]) == []
        assert list(dequeue(broker)) == []

    def test_never_more_than_asked_for(self, broker: Broker) -> None:
        self.need_limit(broker)
        broker.enqueue_many(["a", "b", "c"])

        assert len(dequeue(broker)) == 1
        assert len(dequeue(broker, 10)) == min(2, broker.bulk_limit or 2)

    def test_never_more_than_its_bulk_limit(self, broker: Broker) -> None:
        if broker.bulk_limit is None:
            pytest.skip("bulk_limit is None")
        self.need_limit(broker)
        broker.enqueue_many(["x"] * (broker.bulk_limit + 1))

        assert len(dequeue(broker, broker.bulk_limit + 1)) == broker.bulk_limit

    def test_package_that_is_too_large_is_refused_and_nothing_is_sent(self, broker: Broker) -> None:
        if broker.max_payload is None:
            pytest.skip("max_payload is None")
        large = "x" * (broker.max_payload + 1)

        with pytest.raises(TaskRefused):
            broker.enqueue(large)
        with pytest.raises(TaskRefused):
            broker.enqueue_many(["a", large])

        assert list(dequeue(broker)) == []

    def test_two_clusters_share_a_queue_and_never_a_package(
        self, broker: Broker, make_broker: MakeBroker
    ) -> None:
        other = make_broker("contract")
        broker.enqueue_many(["a", "b", "c", "d", "e"])

        taken = [*dequeue(broker, 2), *dequeue(other, 2), *dequeue(broker), *take(other, 5)]

        assert sorted(packages(taken)) == ["a", "b", "c", "d", "e"]

    def test_queues_of_other_names_stay_apart(
        self, broker: Broker, make_broker: MakeBroker
    ) -> None:
        other = make_broker("another")
        other.enqueue("theirs")
        broker.enqueue("ours")

        assert packages(take(broker, 5)) == ["ours"]
        assert packages(take(other, 5)) == ["theirs"]

    @pytest.mark.parametrize("verb", ["purge_queue", "delete_queue"])
    def test_emptying_a_queue_leaves_others_alone(
        self, broker: Broker, make_broker: MakeBroker, verb: str
    ) -> None:
        self.need(broker, verb)
        other = make_broker("another")
        other.enqueue("theirs")
        broker.enqueue("ours")

        getattr(broker, verb)()

        assert list(dequeue(broker)) == []
        assert packages(dequeue(other)) == ["theirs"]

    def test_queue_size_counts_what_waits(self, broker: Broker) -> None:
        self.need(broker, "queue_size")
        broker.enqueue_many(["a", "b", "c"])

        take(broker, 2)

        assert broker.queue_size() == 1

    @pytest.mark.parametrize("verb", ["purge_queue", "delete_queue"])
    def test_emptied_queue_is_empty_and_works_on(self, broker: Broker, verb: str) -> None:
        self.need(broker, verb)
        broker.enqueue("a")

        getattr(broker, verb)()

        assert broker.queue_size() == 0
        broker.enqueue("b")
        assert packages(take(broker, 5)) == ["b"]

    def test_broker_that_cannot_hold_back_says_so_and_sends_nothing(self, broker: Broker) -> None:
        if broker.delays:
            pytest.skip("delays is True")

        with pytest.raises(TaskRefused):
            broker.enqueue_later(["a"], 5)

        assert list(broker.dequeue()) == []

    def test_package_for_later_comes_when_its_time_has_come(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        self.need_delays(broker)
        broker.enqueue_later(["b", "c"], 10)
        broker.enqueue("a")

        assert packages(take(broker, 5)) == ["a"]
        pass_time(9)
        assert packages(take(broker, 5)) == []
        pass_time(2)

        assert self.in_order(packages(take(broker, 5))) == ["b", "c"]

    def test_package_can_be_held_back_for_days(self, broker: Broker, pass_time: PassTime) -> None:
        """A cluster looks now and then; none of that counts as an attempt."""
        self.need_delays(broker)
        broker.enqueue_later(["a"], 2.5 * DAY)

        early = []
        for hours in (0, 0.3, 2, 13, 20, 24.6):
            pass_time(hours * HOUR)
            early += take(broker, 1)
        pass_time(0.2 * HOUR)
        came = take(broker, 1)

        assert early == []
        assert packages(came) == ["a"]
        assert attempts(came) in ([1], [None])

    def test_packages_for_later_come_in_the_order_of_their_moments(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        self.need_delays(broker)
        for package, seconds in (("c", 3), ("a", 1), ("b", 2)):
            broker.enqueue_later([package], seconds)

        pass_time(4)

        expected = ["c", "a", "b"] if self.ordered and self.by_age else ["a", "b", "c"]
        assert self.in_order(packages(take(broker, 5))) == expected

    def test_package_for_later_neither_waits_nor_is_out(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        self.need_delays(broker)
        self.need(broker, "queue_size")
        if not self.held_apart:
            pytest.skip("held_apart is False")
        broker.enqueue_later(["a"], 10)

        sizes = [(broker.queue_size(), broker.lock_size() or 0)]
        pass_time(11)
        sizes.append((broker.queue_size(), broker.lock_size() or 0))

        assert sizes == [(0, 0), (1, 0)]

    def test_package_for_later_can_be_deleted(self, broker: Broker, pass_time: PassTime) -> None:
        self.need_delays(broker)
        self.need(broker, "delete")
        tracking_ids = broker.enqueue_later(["a", "b"], 10)
        if None in tracking_ids:
            pytest.skip("the broker gives no tracking ids")

        broker.delete(str(tracking_ids[0]))

        pass_time(11)
        assert packages(take(broker, 5)) == ["b"]

    def test_purge_takes_what_is_for_later_as_well(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        self.need_delays(broker)
        self.need(broker, "purge_queue")
        broker.enqueue_later(["a"], 10)

        broker.purge_queue()

        pass_time(11)
        assert list(broker.dequeue()) == []

    def test_deletes_by_tracking_id(self, broker: Broker) -> None:
        self.need(broker, "delete")
        tracking_ids = broker.enqueue_many(["a", "b"])
        if None in tracking_ids:
            pytest.skip("the broker gives no tracking ids")

        for _ in range(2):
            broker.delete(str(tracking_ids[0]))

        assert packages(take(broker, 5)) == ["b"]

    def test_answers_a_ping_and_says_what_it_is(self, broker: Broker) -> None:
        assert broker.ping() is True
        assert broker.info()

    def test_connects_anew_after_a_close(self, broker: Broker) -> None:
        broker.enqueue("a")

        broker.close()

        assert packages(take(broker, 5)) == ["a"]

    def test_package_stays_after_its_delivery_only_where_there_are_receipts(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        dequeue(broker)

        pass_time(self.retry_seconds + 1)

        assert packages(dequeue(broker)) == (["a"] if broker.receipts else [])
