"""What the broker at IronMQ does beyond the contract: its leases, its waiting, and what it costs."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from djq.brokers.ironmq import IronMqBroker
from djq.brokers.ironmq_client import read_server
from djq.exceptions import BrokerUnavailable
from djq.runtime.clock import SystemClock
from djq_testing.clock import ManualClock
from djq_testing.contract.delivered import packages
from djq_testing.fakes.ironmq import IronMqService, connector, make_fake
from tests.brokers.ironmq_parts import (
    AWAY,
    SOON_SECONDS,
    VERBS,
    Answering,
    hearing,
    over_http,
)

LONG_SECONDS = 8
"""A wait that no test waits for."""


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def service(clock):
    return IronMqService(clock)


@pytest.fixture
def broker(service):
    return make_fake("q", service=service, retry_seconds=60)


# Leases.


@pytest.mark.parametrize(
    ("status", "words", "forgiven"),
    [
        (403, "Reservation timed out", True),
        (403, "The RESERVATION is not yours", True),
        (403, "Project suspended", False),
        (404, "message not found", True),
        (404, "Queue not found", True),
        (404, "Not Found", False),
        (404, "Reservation", False),
    ],
)
@pytest.mark.parametrize("verb", ["acknowledge", "extend", "release", "delete"])
def test_only_what_is_said_to_be_gone_is_taken_for_it(verb, status, words, forgiven):
    broker = hearing(Answering(status, json.dumps({"msg": words})))

    if forgiven:
        VERBS[verb](broker)
    else:
        with pytest.raises(BrokerUnavailable, match=words):
            VERBS[verb](broker)


def test_lost_lease_among_many_leaves_the_others_acknowledged(broker, service, clock):
    broker.enqueue_many(["a", "b", "c"])
    lost, *held = [receipt for receipt, _ in broker.dequeue(3)]
    changed = broker.extend_many(held)
    broker.release(lost)
    broker.dequeue()

    broker.acknowledge_many([lost, *changed.values()])

    clock.advance(seconds=61)
    assert packages(broker.dequeue(5)) == ["a"]


def test_nothing_is_asked_about_a_lease_that_is_over(broker, service):
    broker.enqueue_many(["a", "b", "c"])
    over = [receipt for receipt, _ in broker.dequeue(3)]
    broker.acknowledge_many(over[:2])
    broker.release(over[2])
    asked = len(service.asked)

    assert broker.extend_many(over) == {}
    broker.acknowledge_many(over)
    broker.release_many(over)

    assert service.asked[asked:] == []
    assert packages(broker.dequeue(5)) == ["c"]


def test_nothing_is_asked_twice_about_a_lease_that_is_lost(broker, service, clock):
    broker.enqueue_many(["a", "b", "c"])
    lost, *others = [receipt for receipt, _ in broker.dequeue(3)]
    clock.advance(seconds=61)
    ((held, _),) = broker.dequeue()
    broker.extend(lost)
    broker.acknowledge_many(others)
    asked = len(service.asked)

    broker.extend_many([lost, *others])
    broker.release_many([lost, *others])
    broker.acknowledge_many([lost, held, *others])

    assert service.asked[asked:] == ["DELETE messages ID"]
    assert packages(broker.dequeue(5)) == ["b", "c"]


def test_leases_that_are_over_are_forgotten_in_the_end(broker, service):
    for number in range(10_001):
        broker._forget(f"{number}:x")
    broker.enqueue("a")
    asked = len(service.asked)

    broker.extend_many(["10000:x", "1:x"])
    assert len(service.asked) == asked
    broker.extend("0:x")

    assert service.asked[asked:] == ["POST messages ID touch"]
    assert len(broker._void) == 10_000


@pytest.mark.parametrize("receipt", ["", "x", ":", "7:", ":7", "7/touch:1", "../q:1", "?n=1"])
def test_receipt_of_another_broker_stands_for_nothing_and_least_of_all_for_the_queue(
    broker, receipt
):
    broker.enqueue_many(["a", "b"])
    broker.dequeue()

    for word in (broker.acknowledge, broker.extend, broker.release, broker.fail, broker.delete):
        word(receipt)
    broker.acknowledge_many([receipt, receipt])

    assert broker.queue_size() == 1
    assert broker.service.queues["q"].messages.keys() >= {"7000000000000000001"}


def test_leases_that_were_extended_before_the_service_went_are_known_by_their_new_names(broker):
    broker.enqueue_many(["a", "b", "c"])
    held = [receipt for receipt, _ in broker.dequeue(3)]
    touched = []

    def extend(receipt):
        if len(touched) == 2:
            raise BrokerUnavailable("gone")
        touched.append(receipt)
        return type(broker).extend(broker, receipt)

    broker.extend = extend

    with pytest.raises(BrokerUnavailable, match=r"gone .1 of 3 leases") as caught:
        broker.extend_many(held)

    changed = caught.value.changed
    assert list(changed) == held[:2]
    broker.acknowledge_many(changed.values())
    broker.acknowledge(held[2])
    assert broker.service.queues["q"].messages == {}


def test_lease_that_cannot_be_extended_is_told_and_keeps_none_of_the_others_from_it(
    broker, service
):
    broker.enqueue_many(["a", "b", "c"])
    held = [receipt for receipt, _ in broker.dequeue(3)]
    answer, trouble = service.answer, f"/{held[0].partition(':')[0]}/touch"

    def answering(*request):
        return (500, {"msg": "Internal"}) if trouble in request[1] else answer(*request)

    service.answer = answering

    with pytest.raises(BrokerUnavailable, match=r"500: Internal .1 of 3 leases were not") as caught:
        broker.extend_many(held)

    assert list(caught.value.changed) == held[1:]


def test_rest_of_the_leases_is_not_asked_about_when_nobody_answers():
    broker = IronMqBroker("q", connect=read_server(AWAY), retry_seconds=60)
    asked = []

    def extend(receipt):
        asked.append(receipt)
        return IronMqBroker.extend(broker, receipt)

    broker.extend = extend

    with pytest.raises(BrokerUnavailable):
        broker.extend_many(["1:a", "2:b", "3:c"])
    assert asked == ["1:a"]


def test_service_that_goes_before_any_lease_was_extended_is_unavailable():
    broker = hearing(Answering(503, "{}"))

    with pytest.raises(BrokerUnavailable):
        broker.extend_many(["1:a", "2:b"])


@pytest.mark.parametrize(("retry", "seconds"), [(30, 30), (60.2, 61)])
def test_lease_lasts_for_whole_seconds_and_never_less_than_retry(service, clock, retry, seconds):
    broker = make_fake("q", service=service, retry_seconds=retry)
    broker.enqueue("x")
    ((receipt, _),) = broker.dequeue()
    until = [broker.next_available()]

    clock.advance(seconds=10)
    broker.extend(receipt)
    until.append(broker.next_available())

    now = clock.now()
    assert until == [now + timedelta(seconds=seconds - 10), now + timedelta(seconds=seconds)]


def test_delivery_says_how_often_the_service_has_made_it(broker):
    broker.enqueue("x")

    for count in (1, 2, 3):
        (taken,) = broker.dequeue()
        broker.release(taken[0])
        assert taken.attempt == count


# What the service keeps, and what it costs.


def test_service_is_told_to_keep_messages_for_as_long_as_it_can(broker, clock):
    broker.enqueue("x")

    clock.advance(days=29)
    kept = broker.queue_size()
    clock.advance(days=2)

    assert (kept, broker.queue_size()) == (1, 0)


@pytest.mark.parametrize("first", ["enqueue", "dequeue"])
def test_queue_is_set_up_by_whoever_comes_first(service, first):
    broker = make_fake("q", service=service, retry_seconds=60)

    VERBS[first](broker)

    assert service.queues["q"].options["message_expiration"] == 2_592_000


def test_queue_that_was_deleted_is_set_up_anew(broker, service):
    broker.enqueue("a")
    broker.delete_queue()

    broker.enqueue("b")

    assert service.queues["q"].options["message_expiration"] == 2_592_000


def test_queue_whose_messages_are_to_be_kept_as_it_says_is_left_alone(service, clock):
    broker = IronMqBroker(
        "q", connect=connector(service), retry_seconds=60, wait_seconds=0, keep_seconds=None
    )
    broker.enqueue("x")
    clock.advance(days=8)

    assert broker.dequeue() == []
    broker.delete_queue()
    broker.enqueue("y")
    assert service.asked == ["POST messages", "POST reservations", "DELETE", "POST messages"]


def test_a_drain_costs_few_round_trips(broker, service):
    tasks = 10_000
    broker.enqueue_many(["x" * 500] * tasks)
    sent = len(service.asked)
    while taken := broker.dequeue(100):
        broker.acknowledge_many([receipt for receipt, _ in taken])
    drained = len(service.asked) - sent

    print(f"round trips for {tasks:,} tasks: {sent} to send, {drained} to drain")  # noqa: T201 - shown by -s
    assert (sent, drained) == (2 + 100, 2 * 100 + 1)
    assert Counter(service.asked)["DELETE messages"] == 100


@pytest.mark.parametrize("package", ["x" * 30_000, "ä" * 5_000])
def test_large_packages_are_sent_in_requests_that_every_plan_takes(broker, service, package):
    broker.enqueue_many([package] * 5)

    assert service.asked.count("POST messages") == 3
    assert broker.queue_size() == 5


def test_queue_is_set_up_once(broker, service):
    broker.enqueue("a")
    asked = len(service.asked)

    broker.enqueue("b")

    assert service.asked[asked:] == ["POST messages"]


def test_nothing_is_asked_to_send_nothing(broker, service):
    assert broker.enqueue_many([]) == []
    assert service.asked == []


def test_more_than_one_request_gives_can_be_asked_for(broker):
    broker.enqueue_many(["x"] * 120)

    assert [len(broker.dequeue(500)) for _ in range(2)] == [100, 20]


# Waiting, over HTTP.


def test_package_wakes_who_waits():
    with over_http(IronMqService(SystemClock()), wait_seconds=LONG_SECONDS) as (broker, server):
        connect = broker._connect
        broker.enqueue("a")
        broker.acknowledge(broker.dequeue()[0][0])
        broker._client.client.timeouts = (LONG_SECONDS, LONG_SECONDS * 2)
        with ThreadPoolExecutor() as threads:
            coming = threads.submit(broker.dequeue, 5)
            while server.service.asked.count("POST reservations") < 2:
                assert not coming.done()
            IronMqBroker("q", connect=connect, retry_seconds=60).enqueue("b")

            assert packages(coming.result(SOON_SECONDS)) == ["b"]


def test_empty_dequeue_has_waited_a_second():
    with over_http(IronMqService(SystemClock())) as (broker, _):
        assert broker.blocks
        broker.dequeue()

        began = time.monotonic()
        assert broker.dequeue() == []

        assert 0.9 < time.monotonic() - began < SOON_SECONDS


def test_who_asks_for_nothing_gets_nothing(broker, service):
    assert broker.dequeue(0) == []
    assert service.asked == []


def test_connection_is_one_and_is_made_anew_when_the_service_has_ended_it():
    threads = threading.active_count()
    with over_http(IronMqService(SystemClock()), wait_seconds=0) as (broker, server):
        for number in range(5):
            broker.enqueue(str(number))
        used = len(server.open)
        server.hang_up()
        while server.open:
            pass

        taken = packages(broker.dequeue(9))

    assert used == 1
    assert taken == ["0", "1", "2", "3", "4"]
    assert threading.active_count() <= threads + 1


@pytest.mark.parametrize("name", ["a b", "a/b", "ü?*", "50%", "#1"])
def test_package_is_found_whatever_the_queue_is_called(name):
    service = IronMqService(SystemClock())
    with over_http(service, wait_seconds=0) as (broker, _):
        named = IronMqBroker(name, connect=broker._connect, retry_seconds=60, wait_seconds=0)
        named.enqueue("x")

        assert packages(named.dequeue()) == ["x"]
        named.close()
    assert list(service.queues) == [name]
