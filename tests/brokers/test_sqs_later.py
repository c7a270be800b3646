"""Packages held back at Amazon SQS: longer than it can, in FIFO queues, and what that costs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from math import inf, nan
from uuid import uuid4

import pytest

from djq import assembly
from djq.brokers.sqs import MESSAGE_BYTES, SqsBroker
from djq.brokers.sqs_later import ATTRIBUTE, REMEMBERED_MAX, moment_of
from djq.core.config import Config
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.runtime.clock import SystemClock
from djq_testing.clock import ManualClock
from djq_testing.fakes.sqs import make_fake
from tests.sqs_servers import account_at
from tests.sqs_tampered import (
    RETRY_SECONDS,
    Bucket,
    failing,
    packages,
    raising,
    receipts,
    with_bucket,
)

MINUTE, HOUR, DAY = 60, 3_600, 86_400
FORTNIGHT = 14 * DAY
LATE = 2
"""Moments of SQS are told in whole seconds."""


@pytest.fixture
def make(sqs_server):
    """A function that makes brokers of one queue."""
    return partial(make_fake, "q", server=sqs_server, retry_seconds=RETRY_SECONDS)


@pytest.fixture
def broker(make):
    return make()


@pytest.fixture
def hindered(tampered):
    return SqsBroker("q", connect=tampered, retry_seconds=RETRY_SECONDS, wait_seconds=0)


def attempts(taken):
    return [each.attempt for each in taken]


# When it comes.


@pytest.mark.parametrize(("seconds", "waited"), [(0.2, 1), (1.0, 1), (899.5, 900), (900, 900)])
def test_delay_is_in_whole_seconds_and_never_too_short(broker, djq_clock, seconds, waited):
    broker.enqueue_later(["a"], seconds)

    djq_clock.advance(seconds=waited - 0.001)
    early = broker.dequeue()
    djq_clock.advance(seconds=0.001)

    assert (early, packages(broker.dequeue())) == ([], ["a"])


@pytest.mark.parametrize(
    ("fifo", "seconds"),
    [(False, 900.5), (False, 5_000), (False, DAY), (True, 0.2), (True, 600), (True, DAY)],
)
def test_delay_that_sqs_does_not_have_is_two_seconds_too_long_at_most(
    make, djq_clock, fifo, seconds
):
    broker = make(fifo=fifo)
    broker.enqueue_later(["a"], seconds)

    early, end = [], djq_clock.monotonic() + seconds
    for part in (0, 0.4, 0.9):
        djq_clock.advance(seconds=part * (end - djq_clock.monotonic()))
        early += broker.dequeue()
    djq_clock.advance(seconds=end - djq_clock.monotonic() - 0.001)
    early += broker.dequeue()
    djq_clock.advance(seconds=2.001)

    assert (early, packages(broker.dequeue())) == ([], ["a"])


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("seconds", [0, -5])
def test_what_is_due_already_comes_at_once(make, fifo, seconds):
    broker = make(fifo=fifo)
    broker.enqueue_later(["a"], seconds)

    assert packages(broker.dequeue()) == ["a"]


def test_sending_nothing_for_later_asks_nothing(broker, sqs_server):
    assert broker.enqueue_later([], HOUR) == []
    assert sqs_server.calls == {}


def test_ordinary_packages_cost_nothing_more(broker, sqs_server):
    broker.enqueue_many([str(number) for number in range(10)])
    broker.acknowledge_many(receipts(broker.dequeue(10)))

    assert sqs_server.calls == {
        "GetQueueUrl": 1,
        "CreateQueue": 1,
        "GetQueueAttributes": 1,
        "SendMessageBatch": 1,
        "ReceiveMessage": 1,
        "DeleteMessageBatch": 1,
    }


def test_what_is_too_early_hides_nothing_behind_it(make, sqs_server):
    broker = make(fifo=True)
    broker.enqueue_later([str(number) for number in range(25)], HOUR)
    broker.enqueue("a")

    assert packages(broker.dequeue(10)) == ["a"]
    assert sqs_server.calls["ReceiveMessage"] == 3
    assert sqs_server.calls["ChangeMessageVisibilityBatch"] == 3


def test_dequeue_ends_however_much_is_too_early(make, sqs_server):
    broker = make(fifo=True)
    broker.enqueue_later([str(number) for number in range(105)], HOUR)

    first, second = broker.dequeue(10), broker.dequeue(10)

    assert (first, second) == ([], [])
    assert sqs_server.calls["ReceiveMessage"] == 10 + 2


def undated(client, asked):
    answer = client.receive_message(**asked)
    del answer["ResponseMetadata"]["HTTPHeaders"]["date"]
    return answer


def test_answer_without_its_moment_goes_by_the_host_s_clock(tampered, djq_clock):
    around = {"retry_seconds": RETRY_SECONDS, "wait_seconds": 0, "fifo": True}
    broker = SqsBroker("q", connect=tampered, host_clock=djq_clock, **around)
    broker.enqueue_later(["a"], HOUR)
    tampered.instead["receive_message"] = [undated] * 5

    early = broker.dequeue(10)
    djq_clock.advance(seconds=HOUR + LATE)

    assert (early, packages(broker.dequeue(10))) == ([], ["a"])


def test_settings_hand_the_host_s_clock_to_the_broker():
    config = Config(workers=1, time_zone="UTC", sqs={"aws_region": "eu-west-1"})

    assert isinstance(assembly.make_broker(config)._host_clock, SystemClock)


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("yesterday", 784_000_000),
    ],
)
def test_moment_of_an_answer_is_read_in_every_form_that_http_knows(date, moment):
    host_clock = ManualClock(datetime.fromtimestamp(784_000_000, UTC))

    assert moment_of({"ResponseMetadata": {"HTTPHeaders": {"date": date}}}, host_clock) == moment


def test_answer_without_its_moment_gives_too_early_rather_than_never(make, tampered):
    broker = SqsBroker("q", connect=tampered, retry_seconds=RETRY_SECONDS, wait_seconds=0)
    make(fifo=True).enqueue("other queue")
    fifo = SqsBroker("q", connect=tampered, retry_seconds=RETRY_SECONDS, wait_seconds=0, fifo=True)
    fifo.enqueue_later(["a"], HOUR)
    tampered.instead["receive_message"] = [undated]

    assert "a" in packages(fifo.dequeue(10))
    assert broker.dequeue() == []


@pytest.mark.parametrize("value", ["", "-5", "1e9", "9" * 10, "soon"])
def test_attribute_of_somebody_else_s_hides_nothing(broker, sqs_server, value):
    broker.dequeue()
    said = {ATTRIBUTE: {"DataType": "String", "StringValue": value or " "}}
    client = sqs_server("sqs")
    url = client.get_queue_url(QueueName="q")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="a", MessageAttributes=said)

    assert packages(broker.dequeue()) == ["a"]


@pytest.mark.parametrize("moment", [0.0, 0.4])
def test_first_look_just_before_it_is_due_is_too_early(make, djq_clock, moment):
    djq_clock.advance(seconds=moment)
    broker = make(fifo=True)
    broker.enqueue_later(["a"], 10)

    djq_clock.advance(seconds=9.7)

    assert broker.dequeue() == []


# Attempts.


@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("seconds", [1_000, 12 * HOUR, 13 * HOUR, 60 * HOUR, 10 * DAY])
def test_deliveries_too_early_are_no_attempts(make, djq_clock, fifo, seconds):
    broker, other = make(fifo=fifo), make(fifo=fifo)
    broker.enqueue_later(["a"], seconds)
    begin = djq_clock.monotonic()

    taken, looks = [], 0
    while not taken and looks < 30:
        waits = broker.next_available() - djq_clock.now()
        djq_clock.advance(seconds=max(0.0, waits.total_seconds()))
        taken = broker.dequeue()
        looks += 1
    seen, took = attempts(taken), djq_clock.monotonic() - begin
    for _ in range(2):
        djq_clock.advance(seconds=RETRY_SECONDS)
        seen += attempts(other.dequeue())

    assert seen == [1, 2, 3]
    assert seconds <= took <= seconds + LATE
    assert looks <= 3 + seconds // (12 * HOUR)


def test_package_that_nobody_looked_at_before_it_was_due_has_all_its_attempts_counted(
    broker, djq_clock
):
    broker.enqueue_later(["a"], 3 * DAY)
    djq_clock.advance(seconds=3 * DAY + LATE)

    seen = []
    for _ in range(2):
        seen += attempts(broker.dequeue())
        djq_clock.advance(seconds=RETRY_SECONDS)

    assert seen == [1, 2]


def test_package_that_could_not_be_hidden_comes_again_and_has_all_its_attempts(
    hindered, tampered, djq_clock
):
    hindered.enqueue_later(["a"], HOUR)
    djq_clock.advance(seconds=15 * MINUTE)
    operation = "change_message_visibility_batch"
    tampered.instead[operation] = [
        raising("AccessDenied", status=403),
        failing(operation, "0", "InternalError"),
        failing(operation, "0", "InternalError"),
    ]
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match=r"AccessDenied|1 of 1"):
            hindered.dequeue()
        djq_clock.advance(seconds=RETRY_SECONDS)

    assert hindered.dequeue() == []
    djq_clock.advance(seconds=HOUR)
    assert attempts(hindered.dequeue()) == [1]


def test_package_that_could_not_be_hidden_keeps_no_other_from_coming(hindered, tampered, djq_clock):
    hindered.enqueue_later(["a"], HOUR)
    djq_clock.advance(seconds=15 * MINUTE)
    hindered.enqueue("b")
    tampered.instead["change_message_visibility_batch"] = [raising("AccessDenied", status=403)]

    assert packages(hindered.dequeue(10)) == ["b"]


def test_lost_lease_of_what_is_too_early_is_no_error(hindered, tampered, djq_clock):
    hindered.enqueue_later(["a"], HOUR)
    djq_clock.advance(seconds=15 * MINUTE)
    operation = "change_message_visibility_batch"
    tampered.instead[operation] = [failing(operation, "0", "ReceiptHandleIsInvalid", sender=True)]

    assert hindered.dequeue() == []


def test_what_was_not_given_is_not_remembered_for_ever(hindered, tampered, djq_clock):
    taken_off = hindered._attempts._taken_off
    taken_off |= {f"m{number}": 1 for number in range(REMEMBERED_MAX)}
    hindered.enqueue_later(["a"], HOUR)
    djq_clock.advance(seconds=15 * MINUTE)
    tampered.instead["change_message_visibility_batch"] = [raising("AccessDenied", status=403)]

    with pytest.raises(BrokerUnavailable):
        hindered.dequeue()

    assert (len(taken_off), next(iter(taken_off))) == (REMEMBERED_MAX, "m1")


# What is refused.


@pytest.mark.parametrize("seconds", [FORTNIGHT - RETRY_SECONDS + 1, 1e30, inf, nan])
def test_delay_beyond_what_sqs_keeps_is_refused(broker, seconds):
    with pytest.raises(TaskRefused, match=r"keeps a message for 1,209,600 seconds, .* 60 \('ret"):
        broker.enqueue_later(["a"], seconds)

    assert broker.queue_size() == 0
    broker.enqueue_later(["a"], FORTNIGHT - RETRY_SECONDS)


def test_queue_that_keeps_less_refuses_earlier(broker, sqs_server):
    kept = {"MessageRetentionPeriod": "345600"}
    sqs_server("sqs").create_queue(QueueName="q", Attributes=kept)

    with pytest.raises(
        TaskRefused, match=r"'q' keeps .* 345,600 .*345,541; raise its MessageRetentionPeriod"
    ):
        broker.enqueue_later(["a"], 4 * DAY - RETRY_SECONDS + 1)

    broker.enqueue_later(["a"], 4 * DAY - RETRY_SECONDS)


def test_queue_that_may_not_be_asked_is_taken_to_keep_as_long_as_sqs_can(hindered, tampered):
    tampered.instead["get_queue_attributes"] = [raising("AccessDenied", status=403)]

    with pytest.raises(TaskRefused, match=r"1,209,600"):
        hindered.enqueue_later(["a"], FORTNIGHT)

    hindered.enqueue_later(["a"], 13 * DAY)


def test_what_is_said_of_the_delay_takes_its_room(broker, sqs_server):
    beside = len(f"{ATTRIBUTE}Number3600")
    fits, large = "x" * (MESSAGE_BYTES - beside), "x" * (MESSAGE_BYTES - beside + 1)

    broker.enqueue_later([fits, "y"], HOUR)
    with pytest.raises(TaskRefused, match="262,126"):
        broker.enqueue_later([large], HOUR)
    broker.enqueue_later([large], MINUTE)

    assert sqs_server.calls["SendMessageBatch"] == 3


# Sizes, S3 and groups.


def test_package_held_back_counts_as_out_once_it_was_hidden(broker, djq_clock):
    broker.enqueue_later(["a"], HOUR)
    sizes = [(broker.queue_size(), broker.lock_size())]
    djq_clock.advance(seconds=15 * MINUTE)
    broker.dequeue()
    sizes.append((broker.queue_size(), broker.lock_size()))
    djq_clock.advance(seconds=HOUR)
    sizes.append((broker.queue_size(), broker.lock_size()))

    assert sizes == [(0, 0), (0, 1), (1, 0)]


def test_package_in_s3_is_held_back_and_fetched_when_it_is_due(tampered, djq_clock):
    bucket = Bucket()
    broker = with_bucket(tampered, bucket)
    large = "ä" * MESSAGE_BYTES
    broker.enqueue_later([large], HOUR)
    djq_clock.advance(seconds=15 * MINUTE)

    early, fetched = broker.dequeue(), bucket.calls["GetObject"]
    djq_clock.advance(seconds=45 * MINUTE + LATE)
    taken = broker.dequeue()
    broker.acknowledge_many(receipts(taken))

    assert (early, fetched) == ([], 0)
    assert (packages(taken), attempts(taken)) == ([large], [1])
    assert (bucket.objects, broker.lock_size()) == ({}, 0)


def test_package_held_back_in_the_one_group_holds_up_what_is_behind_it(make, djq_clock):
    broker = make(fifo=True, group="all")
    broker.enqueue_later(["a"], HOUR)
    broker.dequeue()
    broker.enqueue("b")

    meanwhile = broker.dequeue(10)
    djq_clock.advance(seconds=HOUR + LATE)

    assert meanwhile == []
    assert packages(broker.dequeue(10)) == ["a", "b"]


@pytest.mark.servers
@pytest.mark.parametrize("server", ["sqs_on_moto", "sqs_on_roto"])
def test_delay_that_a_server_does_not_have_ends_by_its_clock(request, server):
    account = account_at(request.getfixturevalue(server))
    around = {"connect": account, "retry_seconds": RETRY_SECONDS, "wait_seconds": 1, "fifo": True}
    broker = SqsBroker(uuid4().hex, **around)
    broker.enqueue_many(["ordinary"])
    before = time.monotonic()
    broker.enqueue_later(["later"], 2)

    first = broker.dequeue(10)
    while not (second := broker.dequeue(10)):
        assert time.monotonic() - before < 10

    assert (packages(first), packages(second)) == (["ordinary"], ["later"])
    assert time.monotonic() - before >= 2
    assert attempts(second) == [1]
