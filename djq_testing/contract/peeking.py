"""What a broker shows of what waits: the package that comes next, left where it is."""

from __future__ import annotations

import pytest

from djq.core.received import Waiting
from djq.ports import Broker
from djq_testing.contract.delivered import (
    BrokerFixtures,
    MakeBroker,
    PassTime,
    attempts,
    packages,
    receipts,
    take,
)

NEARLY = 1.0
"""By how many seconds the server's time may be off: some keep the real one."""


class PeekContract(BrokerFixtures):
    """For brokers that can show what waits; others say `without = ("peek",)`."""

    def shown(self, broker: Broker) -> list[str]:
        """The packages that are shown, as text."""
        self.need(broker, "peek")
        seen = broker.peek()
        if seen is None:
            pytest.fail(f"{broker.info()} defines peek(), and it gives None, that it cannot tell")
        return [text_of(waiting) for waiting in seen]

    def test_empty_queue_shows_nothing(self, broker: Broker, make_broker: MakeBroker) -> None:
        make_broker("another").enqueue("theirs")

        assert self.shown(broker) == []

    def test_what_is_shown_comes_next_and_is_not_taken(self, broker: Broker) -> None:
        broker.enqueue_many(["a", "b", "c"])

        shown = [self.shown(broker) for _ in range(3)]
        came = take(broker, 5)

        assert shown == [["a"]] * 3
        assert packages(came) == ["a", "b", "c"]
        assert set(attempts(came)) <= {1, None}

    def test_what_was_taken_is_shown_no_more(self, broker: Broker) -> None:
        broker.enqueue_many(["a", "b"])

        shown = []
        for _ in range(2):
            take(broker, 1)
            shown.append(self.shown(broker))

        assert shown == [["b"], []]

    def test_what_is_held_back_is_shown_when_its_time_has_come(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        self.need_delays(broker)
        broker.enqueue_later(["later"], 10)

        shown = [self.shown(broker)]
        pass_time(11)
        shown.append(self.shown(broker))

        assert shown == [[], ["later"]]

    def test_what_waits_behind_what_was_held_back_is_not_forgotten(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        """Else a queue in which something comes due all the time would seem young for ever."""
        self.need_delays(broker)
        broker.enqueue_later(["later"], 10)
        broker.enqueue("first")
        pass_time(11)

        shown = self.shown(broker)

        assert shown[0] == packages(take(broker, 1))[0]
        assert self.by_age or "first" in shown

    def test_what_was_given_back_is_shown_again(self, broker: Broker) -> None:
        if not broker.receipts:
            pytest.skip("receipts is False")
        self.need(broker, "release")
        broker.enqueue_many(["a", "b"])

        broker.release_many(receipts(take(broker, 1)))

        assert self.shown(broker) == ["a"]

    def test_what_was_out_too_long_is_shown_again(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        if not broker.receipts:
            pytest.skip("receipts is False")
        broker.enqueue("a")
        take(broker, 1)

        pass_time(self.retry_seconds + 5)

        assert self.shown(broker) == ["a"]
        assert self.seconds(broker) in (None, pytest.approx(5, abs=NEARLY))

    def test_tells_how_long_it_has_waited_unless_nobody_knows(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        broker.enqueue("a")
        pass_time(7)
        broker.enqueue("b")

        assert self.shown(broker) == ["a"]
        assert self.seconds(broker) in (None, pytest.approx(7, abs=NEARLY))

    def test_time_in_which_it_was_held_back_is_none_in_which_it_waited(
        self, broker: Broker, pass_time: PassTime
    ) -> None:
        self.need_delays(broker)
        broker.enqueue_later(["later"], 100)

        pass_time(104)

        assert self.shown(broker) == ["later"]
        assert self.seconds(broker) in (None, pytest.approx(4, abs=NEARLY))

    def seconds(self, broker: Broker) -> float | None:
        """How long the package that comes next has waited, as is told."""
        (waiting,) = broker.peek() or ()
        return waiting.seconds


def text_of(waiting: Waiting) -> str:
    """The package, as text."""
    package = waiting.package
    return package if isinstance(package, str) else package.decode()
