"""Holds the pusher: it fetches what it may, opens what it can, and outlives its broker."""

from __future__ import annotations

import pytest

from djq.components.pusher import FETCH_MAX, Pusher
from djq.core.events import (
    ChildStopped,
    PackageLeft,
    PackageRefused,
    PackagesAdrift,
    ServiceAway,
    ServiceBack,
)
from djq.core.lifecycle import Role
from djq.core.protocol import (
    Credit,
    Deliveries,
    Empty,
    Health,
    Probe,
    Ready,
    Renew,
    Stop,
    StopLevel,
)
from djq.core.received import Received
from djq.exceptions import BrokerUnavailable
from djq.ports import Broker, Wait
from djq_testing.memory import MemoryBroker
from tests.components import parts


class Shelf(Broker):
    """Gives what was put on it, and remembers what it was asked."""

    receipts = True

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)
        self.asked = []
        self.failed = []
        self.away = False

    def dequeue(self, limit=1):
        self.asked.append(limit)
        if self.away:
            raise BrokerUnavailable("nobody listens")
        return self.answers.pop(0) if self.answers else []

    def fail(self, id):
        if self.away:
            raise BrokerUnavailable("nobody listens")
        self.failed.append(id)


class Documented(Shelf):
    """Written after the manual: no limit, plain pairs."""

    def dequeue(self):
        return super().dequeue(None)


class Careless(Shelf):
    """Keeps no receipts; knows, or does not, how many packages an answer had that did not come."""

    receipts = False

    def __init__(self, taken_max):
        super().__init__()
        self.taken_max = taken_max

    def dequeue(self, limit=1):
        raise BrokerUnavailable("cut off", taken_max=self.taken_max)


class Bench(parts.Scene):
    """A pusher, and the sentinel's end of its link."""

    def __init__(self, broker, *, credit=0, bulk=None):
        super().__init__()
        self.broker = broker
        self.pusher = Pusher(
            link=self.link,
            broker=broker,
            codec=parts.codec(),
            around=self.around,
            label="Process-1:2",
            pid=8,
            poll_seconds=0.2,
            bulk=bulk,
        )
        if credit:
            self.sentinel.send(Credit(credit))

    @property
    def deliveries(self):
        return [item for message in self.heard(Deliveries) for item in message.items]


def given(number, receipt=None, attempt=1):
    return Received(receipt or f"r{number}", parts.package(number), attempt)


def test_a_pusher_without_credit_fetches_nothing():
    bench = Bench(Shelf([given(1)]))

    assert bench.pusher.step() == Wait(None)
    assert (bench.broker.asked, bench.heard()) == ([], [Ready(8)])


def test_what_is_fetched_is_passed_on_with_what_its_header_says():
    bench = Bench(Shelf([given(1), given(2, attempt=3)]), credit=5)
    wait = bench.pusher.step()

    assert wait == Wait(0.0)
    assert bench.deliveries == [
        parts.delivery(1, receipt="r1"),
        parts.delivery(2, receipt="r2", attempt=3),
    ]


def test_no_more_is_fetched_than_there_is_credit_for():
    bench = Bench(Shelf([given(1), given(2)], [given(3)]), credit=3)
    steps = [bench.pusher.step() for _ in range(3)]

    assert bench.broker.asked == [3, 1]
    assert steps == [Wait(0.0), Wait(0.0), Wait(None)]


def test_credit_adds_up_and_can_be_taken_back():
    bench = Bench(Shelf(), credit=5)
    bench.sentinel.send(Credit(4), Credit(-6))
    bench.pusher.step()
    bench.sentinel.send(Credit(-3))

    assert bench.pusher.step() == Wait(None)
    assert bench.broker.asked == [3]


@pytest.mark.parametrize(
    ("bulk", "broker_limit", "asked"),
    [
        (None, None, FETCH_MAX),
        (7, None, 7),
        (None, 10, 10),
        (50, 10, 10),
        (10_000, None, FETCH_MAX),
    ],
)
def test_one_fetch_is_bounded(bulk, broker_limit, asked):
    broker = Shelf()
    broker.bulk_limit = broker_limit
    bench = Bench(broker, credit=10_000, bulk=bulk)
    bench.pusher.step()

    assert broker.asked == [asked]


def test_a_broker_that_is_written_after_the_manual_serves_as_well():
    bench = Bench(
        Documented([("r1", parts.package(1)), (None, parts.package(2).encode())]), credit=9
    )
    bench.pusher.step()

    assert bench.deliveries == [
        parts.delivery(1, receipt="r1", attempt=None),
        parts.delivery(2, receipt=None),
    ]


@pytest.mark.parametrize("received", [("r1", parts.package(1)), Received("r1", parts.package(1))])
def test_a_delivery_with_a_receipt_and_no_attempt_is_not_counted(received):
    bench = Bench(Shelf([received]), credit=1)
    bench.pusher.step()
    (delivery,) = bench.deliveries

    assert (delivery.attempt, delivery.counted) == (1, False)


def test_a_broker_that_gives_more_than_asked_for_uses_up_the_credit():
    bench = Bench(Documented([given(1), given(2), given(3)], [given(4)]), credit=2)
    bench.pusher.step()

    assert bench.pusher.step() == Wait(None)
    bench.sentinel.send(Credit(1))
    assert bench.pusher.step() == Wait(None)
    bench.sentinel.send(Credit(1))
    assert bench.pusher.step() == Wait(0.0)


# Empty queues.


@pytest.mark.parametrize(("blocks", "seconds"), [(False, 0.2), (True, 0.0)])
def test_an_empty_queue_is_asked_again_after_poll_unless_the_broker_waits(blocks, seconds):
    broker = Shelf()
    broker.blocks = blocks
    bench = Bench(broker, credit=5)

    assert bench.pusher.step() == Wait(seconds)


def test_a_probe_is_answered_once_by_an_empty_fetch():
    bench = Bench(Shelf(), credit=5)
    bench.sentinel.send(Probe(3))
    bench.pusher.step()
    bench.pusher.step()

    assert bench.heard(Empty) == [Empty(3)]


def test_a_probe_is_not_answered_by_a_fetch_that_finds_something():
    bench = Bench(Shelf([given(1)]), credit=5)
    bench.sentinel.send(Probe(3))
    bench.pusher.step()
    bench.pusher.step()

    assert [type(message) for message in bench.heard()] == [Ready, Deliveries]


def test_a_probe_outlives_packages_that_nobody_can_open():
    bench = Bench(Shelf([("r1", "not ours")]), credit=5)
    bench.sentinel.send(Probe(3))
    bench.pusher.step()
    bench.pusher.step()

    assert bench.heard(Empty) == [Empty(3)]


def test_a_probe_outlives_the_absence_of_the_broker():
    bench = Bench(Shelf(), credit=5)
    bench.sentinel.send(Probe(3))
    bench.broker.away = True
    bench.pusher.step()
    bench.broker.away = False
    bench.clock.advance(1)
    before = bench.heard(Empty)
    bench.pusher.step()

    assert (before, bench.heard(Empty)) == ([], [Empty(3)])


# Packages that cannot be opened.


@pytest.mark.parametrize(
    "package",
    [
        "text of somebody else",
        "",
        b"\xff\xfe",
        "q" + parts.package(1),
        parts.codec().seal(b"\x01\x00\x00\x00\x00\x02{}"),
        parts.codec().seal(b"\x09\x00\x00\x00\x00\x02{}"),
    ],
    ids=["unsigned", "empty", "no text", "unknown mark", "no header", "newer version"],
)
def test_a_bad_package_costs_one_event_and_a_fail_and_stops_nothing(package):
    bench = Bench(Shelf([("bad", package), given(2)]), credit=5)
    bench.pusher.step()
    bench.pusher.step()
    (event,) = bench.observer.events

    assert bench.deliveries == [parts.delivery(2, receipt="r2")]
    assert (type(event), event.receipt) == (PackageRefused, "bad")
    assert event.reason
    assert bench.broker.failed == ["bad"]


def test_package_that_is_to_be_left_costs_one_event_and_is_not_failed():
    left = given(1)
    left.left_because = "it is elsewhere; look there"
    bench = Bench(Shelf([left, given(2)]), credit=5)
    bench.pusher.step()
    bench.pusher.step()

    assert bench.deliveries == [parts.delivery(2, receipt="r2")]
    assert bench.observer.events == [PackageLeft("it is elsewhere; look there")]
    assert bench.broker.failed == []


@pytest.mark.parametrize("key", ["kind", "group", "hook", "save", "at"])
def test_a_header_that_the_monitor_could_not_read_is_refused_here(key):
    frame = parts.delivery(1).frame
    length = int.from_bytes(frame[2:6], "big")
    header = frame[6 : 6 + length].replace(b'"at"', b'"was"')[:-1] + f',"{key}":7}}'.encode()
    bad = frame[:2] + len(header).to_bytes(4, "big") + header + frame[6 + length :]
    bench = Bench(Shelf([("bad", parts.codec().seal(bad))]), credit=5)
    bench.pusher.step()

    assert len(bench.observer.of(PackageRefused)) == 1
    assert bench.deliveries == []


def test_a_bad_package_costs_no_credit():
    bench = Bench(Shelf([("bad", "not ours")], [("worse", "not ours"), given(1)]), credit=3)
    for _ in range(3):
        bench.pusher.step()

    assert bench.broker.asked == [3, 3, 2]


def test_a_bad_package_without_a_receipt_costs_its_event_alone():
    bench = Bench(Shelf([(None, "not ours")]), credit=1)
    bench.pusher.step()
    bench.pusher.step()

    assert (len(bench.observer.events), bench.broker.failed) == (1, [])


def test_a_bad_package_is_failed_as_soon_as_the_broker_is_back():
    bench = Bench(Shelf([("bad", "not ours"), ("worse", "not ours")]), credit=5)
    bench.pusher.step()
    bench.broker.away = True
    bench.pusher.step()
    bench.broker.away = False
    bench.clock.advance(1)
    before = list(bench.broker.failed)
    bench.pusher.step()
    bench.pusher.step()

    assert before == []
    assert sorted(bench.broker.failed) == ["bad", "worse"]


# A broker that is away.


def test_a_broker_that_is_away_is_asked_after_growing_pauses_and_told_of_once():
    bench = Bench(Shelf(), credit=5)
    bench.broker.away = True
    pauses = []
    for _ in range(5):
        pauses.append(bench.pusher.step().seconds)
        bench.clock.advance(pauses[-1])

    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])
    assert bench.observer.events == [ServiceAway("broker", "nobody listens")]


def test_the_sentinel_hears_since_when_a_broker_is_away_and_that_it_is_back():
    bench = Bench(Shelf(), credit=5)
    bench.broker.away = True
    for _ in range(2):
        bench.clock.advance(bench.pusher.step().seconds)
    during = bench.heard(Health)
    bench.broker.away = False
    bench.pusher.step()

    assert during == [Health(broker=parts.NOON)]
    assert bench.heard(Health) == [Health()]


def test_a_broker_is_left_alone_during_a_pause():
    bench = Bench(Shelf(), credit=5)
    bench.broker.away = True
    bench.pusher.step()
    bench.clock.advance(0.04)
    wait = bench.pusher.step()

    assert wait.seconds == pytest.approx(0.06)
    assert len(bench.broker.asked) == 1


def test_a_broker_that_is_back_is_served_and_told_of():
    bench = Bench(Shelf([given(1)]), credit=5)
    bench.broker.away = True
    bench.pusher.step()
    bench.broker.away = False
    bench.clock.advance(1)
    bench.pusher.step()

    assert len(bench.deliveries) == 1
    assert bench.observer.events[1:] == [ServiceBack("broker")]


# Leaving.


@pytest.mark.parametrize(
    ("taken_max", "told"), [(None, [PackagesAdrift(7)]), (3, [PackagesAdrift(3)]), (0, [])]
)
def test_without_receipts_it_is_told_how_many_packages_an_answer_may_have_had(taken_max, told):
    bench = Bench(Careless(taken_max), credit=20, bulk=7)
    bench.pusher.step()

    assert bench.observer.of(PackagesAdrift) == told


def test_with_receipts_a_lost_answer_loses_nothing():
    bench = Bench(Shelf(), credit=20)
    bench.broker.away = True
    bench.pusher.step()

    assert bench.observer.of(ServiceAway)
    assert not bench.observer.of(PackagesAdrift)


def test_a_pusher_that_is_told_to_leave_fetches_nothing_more():
    bench = Bench(Shelf([given(1)]), credit=5)
    bench.sentinel.send(Stop(StopLevel.GENTLE))

    assert bench.pusher.step() is None
    assert bench.broker.asked == []
    assert bench.observer.events == [ChildStopped(Role.PUSHER, "Process-1:2", 8)]


@pytest.mark.parametrize("away", [False, True])
def test_a_pusher_fails_what_it_could_not_open_before_it_leaves(away):
    bench = Bench(Shelf([("bad", "not ours"), ("worse", "not ours")]), credit=5)
    bench.pusher.step()
    bench.broker.away = away
    bench.sentinel.send(Stop(StopLevel.GENTLE))

    assert bench.pusher.step() is None
    assert sorted(bench.broker.failed) == ([] if away else ["bad", "worse"])


def test_a_pusher_leaves_when_its_sentinel_is_gone():
    bench = Bench(Shelf([given(1)]), credit=5)
    bench.sentinel.close()

    assert bench.pusher.step() is None


def test_a_pusher_leaves_in_the_middle_of_a_pause():
    bench = Bench(Shelf(), credit=5)
    bench.broker.away = True
    bench.pusher.step()
    bench.sentinel.send(Stop(StopLevel.GENTLE))

    assert bench.pusher.step() is None


def test_an_attempt_is_the_one_that_the_broker_counted():
    scene = parts.Scene()
    broker = MemoryBroker(clock=scene.clock, retry_seconds=60)
    broker.enqueue(parts.package(1))
    broker.dequeue()
    scene.clock.advance(61)
    bench = Bench(broker, credit=1)
    bench.pusher.step()

    assert [item.attempt for item in bench.deliveries] == [2]


def test_a_message_that_is_for_another_box_is_passed_over():
    bench = Bench(Shelf([given(1)]), credit=0)
    bench.pusher.step()

    bench.sentinel.send(Renew(("r1",)))

    assert bench.pusher.step() == Wait(None)
    assert bench.broker.asked == []
