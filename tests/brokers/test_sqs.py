"""What the broker at Amazon SQS does beyond the contract: parts of batches, errors, sizes, S3, processes."""

from __future__ import annotations

import io
import json
import multiprocessing
import pickle
import socket
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest
from botocore.awsrequest import AWSResponse

from djq.brokers.sqs import GIVEN_BACK_MAX, MESSAGE_BYTES, SqsBroker
from djq.components.sealing import send_packages
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq_testing.fakes.sqs import make_fake
from tests.sqs_servers import account_at
from tests.sqs_tampered import RETRY_SECONDS, failing, packages, raising, receipts

SERVERS = ("sqs_on_moto", "sqs_on_roto")
SECRETS = ("hunter2", "AKIASECRET", "tokentoken")


@pytest.fixture
def broker(tampered):
    return SqsBroker("q", connect=tampered, retry_seconds=RETRY_SECONDS, wait_seconds=0)


# Parts of batches.


def test_what_was_not_sent_of_a_batch_is_sent_again_and_nothing_else(broker, tampered):
    tampered.instead["send_message_batch"] = [failing("send_message_batch", "1", "InternalError")]

    ids = broker.enqueue_many(["a", "b", "c"])

    assert len(set(ids)) == 3
    assert None not in ids
    assert packages(broker.dequeue(10)) == ["a", "b", "c"]


def test_what_is_not_sent_the_second_time_either_is_told_and_the_rest_was(broker, tampered):
    fails = failing("send_message_batch", "1", "InternalError")
    tampered.instead["send_message_batch"] = [fails, fails]

    with pytest.raises(BrokerUnavailable, match=r"did not do 1 of 3 .*InternalError: about 1"):
        broker.enqueue_many(["a", "b", "c"])

    assert packages(broker.dequeue(10)) == ["a", "c"]


def test_what_is_the_sender_s_fault_is_refused_and_not_said_again(broker, tampered):
    fails = failing("send_message_batch", "0", "InvalidMessageContents", sender=True)
    tampered.instead["send_message_batch"] = [fails, fails]

    with pytest.raises(TaskRefused, match="InvalidMessageContents"):
        broker.enqueue("a")

    assert len(tampered.instead["send_message_batch"]) == 1


@pytest.mark.parametrize("count", [3, 30])
def test_what_was_sent_of_a_refused_batch_is_told_and_sent_no_second_time(broker, tampered, count):
    operation, middle = "send_message_batch", count // 2

    def refusing(client, asked):
        bad = [each["Id"] for each in asked["Entries"] if each["MessageBody"] == "bad"]
        if not bad:
            return client.send_message_batch(**asked)
        return failing(operation, bad[0], "InvalidParameterValue", sender=True)(client, asked)

    tampered.instead[operation] = [refusing] * 100
    tasks = [f"{number:02}" for number in range(count)]
    tasks[middle] = "bad"

    refused = send_packages(broker, tasks)

    sent = []
    while taken := packages(broker.dequeue(10)):
        sent += taken
    assert (set(refused), sorted(sent)) == ({middle}, sorted(set(tasks) - {"bad"}))


def test_batch_that_broke_off_says_how_many_of_it_were_sent(broker, tampered):
    fails = failing("send_message_batch", "11", "InternalError")
    tampered.instead["send_message_batch"] = [fails, fails, fails]

    with pytest.raises(
        BrokerUnavailable, match=r"InternalError.*; 19 of 30 packages were sent"
    ) as caught:
        broker.enqueue_many([str(number) for number in range(30)])

    assert sorted({*range(30)} - {*caught.value.sent}) == [11, *range(20, 30)]


def test_what_the_answer_has_no_word_of_is_not_sent_again(broker, tampered, sqs_server):
    broker.enqueue("before")

    def half(client, asked):
        client.send_message_batch(**asked)
        return {"message": '{"Successful": [{"Id"'}

    tampered.instead["send_message_batch"] = [half]

    with pytest.raises(BrokerUnavailable, match="1 of 1"):
        broker.enqueue("a")

    assert sqs_server.calls["SendMessageBatch"] == 2
    assert packages(broker.dequeue(10)) == ["a", "before"]


@pytest.mark.parametrize("times", [1, 2])
def test_acknowledgement_that_failed_in_part_is_said_again(broker, tampered, times):
    broker.enqueue_many(["a", "b", "c"])
    held = receipts(broker.dequeue(10))
    fails = failing("delete_message_batch", "1", "InternalError")
    tampered.instead["delete_message_batch"] = [fails] * times

    if times == 2:
        with pytest.raises(BrokerUnavailable, match=r"1 of 3 .*delete_message_batch"):
            broker.acknowledge_many(held)
        assert broker.lock_size() == 1
    broker.acknowledge_many(held)

    assert (broker.queue_size(), broker.lock_size()) == (0, 0)


@pytest.mark.parametrize(
    "code", ["ReceiptHandleIsInvalid", "AWS.SimpleQueueService.MessageNotInflight"]
)
def test_lost_lease_of_one_spoils_no_other(broker, tampered, djq_clock, code):
    broker.enqueue_many(["a", "b"])
    held = receipts(broker.dequeue(10))
    operation = "change_message_visibility_batch"
    tampered.instead[operation] = [failing(operation, "0", code, sender=True)]
    djq_clock.advance(seconds=RETRY_SECONDS - 1)

    broker.extend_many(held)

    djq_clock.advance(seconds=2)
    assert packages(broker.dequeue(10)) == ["a"]


def test_a_hundred_are_told_in_tens_and_each_once(broker, sqs_server):
    broker.enqueue_many([str(number) for number in range(25)])
    held = [receipt for _ in range(3) for receipt in receipts(broker.dequeue(10))]

    broker.extend_many(held)
    broker.acknowledge_many([*held, *held])

    assert broker.lock_size() == 0
    assert {
        name: sqs_server.calls[name] for name in sqs_server.calls if name.endswith("Batch")
    } == {
        "SendMessageBatch": 3,
        "ChangeMessageVisibilityBatch": 3,
        "DeleteMessageBatch": 3,
    }


# Errors.


@pytest.mark.parametrize("code", ["ThrottlingException", "RequestThrottled", "OverLimit"])
def test_server_that_is_asked_too_often_is_unavailable(broker, tampered, code):
    tampered.instead["receive_message"] = [raising(code)]

    with pytest.raises(BrokerUnavailable, match=f"queue 'q': Some: {code}: words"):
        broker.dequeue()

    assert broker.dequeue() == []


def test_second_purge_within_a_minute_is_unavailable_with_the_server_s_words(broker):
    broker.enqueue("a")
    broker.purge_queue()

    with pytest.raises(BrokerUnavailable, match="PurgeQueueInProgress"):
        broker.purge_queue()


def told_of_everything(error):
    return "".join(traceback.format_exception(error))


def test_wrong_credentials_are_unavailable_and_shown_nowhere():
    account = account_at("http://127.0.0.1:1")
    account.session["aws_secret_access_key"] = "hunter2"

    def answer(request, **_):
        message = "It does not match.\n\nThe Canonical String: x-amz-security-token:tokentoken"
        body = {"__type": "com.amazon#SignatureDoesNotMatch", "message": message}
        return AWSResponse(request.url, 403, {}, _Raw(json.dumps(body).encode()))

    def connect(service):
        client = account(service)
        client.meta.events.register("before-send.sqs", answer)
        return client

    broker = SqsBroker("q", connect=connect, retry_seconds=RETRY_SECONDS)

    with pytest.raises(BrokerUnavailable, match="SignatureDoesNotMatch: It does not") as caught:
        broker.enqueue("a")

    told = told_of_everything(caught.value) + repr(account) + repr(broker)
    assert not [secret for secret in SECRETS if secret in told]
    assert broker.ping() is False


class _Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


def test_server_that_is_away_is_unavailable_for_every_verb():
    connect = account_at("http://somebody:hunter2@127.0.0.1:1")
    broker = SqsBroker("q", connect=connect, retry_seconds=RETRY_SECONDS)
    verbs = [
        lambda: broker.enqueue("x"),
        lambda: broker.enqueue_later(["x"], 5),
        broker.dequeue,
        lambda: broker.acknowledge("r"),
        lambda: broker.extend("r"),
        lambda: broker.release("r"),
        lambda: broker.fail("r"),
        broker.purge_queue,
        broker.delete_queue,
        broker.queue_size,
        broker.lock_size,
    ]

    for verb in verbs:
        with pytest.raises(
            BrokerUnavailable, match=r"queue 'q': EndpointConnection.*1:1"
        ) as caught:
            verb()
        assert "hunter2" not in told_of_everything(caught.value)

    assert broker.ping() is False
    assert broker.info() == "Amazon SQS, eu-west-1"


@contextmanager
def hanging_up():
    """A server that hears what is asked and hangs up; gives its address, and what it has heard."""
    heard = []

    def accept(listening):
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            with near:
                heard.append(near.recv(65_536))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, args=(listening,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_call_whose_answer_was_lost_is_not_said_again():
    with hanging_up() as (url, heard):
        broker = SqsBroker("q", connect=account_at(url), retry_seconds=RETRY_SECONDS)
        broker._url = f"{url}/1/q"
        broker._limits = {broker._url: {}}

        with pytest.raises(BrokerUnavailable, match="ConnectionClosedError"):
            broker.enqueue("a")

    assert len(heard) == 1


def test_queue_that_somebody_deleted_is_made_again(broker, sqs_server):
    broker.enqueue("a")
    make_fake("q", server=sqs_server, retry_seconds=RETRY_SECONDS).delete_queue()

    broker.enqueue("b")

    assert packages(broker.dequeue(10)) == ["b"]


def test_only_who_sends_or_receives_makes_a_queue(broker, sqs_server):
    asked = [broker.queue_size(), broker.lock_size(), broker.ping()]
    broker.purge_queue()
    broker.delete_queue()
    before = sqs_server.calls["CreateQueue"]

    broker.dequeue()

    assert (asked, before, sqs_server.calls["CreateQueue"]) == ([0, 0, True], 0, 1)


def test_queue_that_is_there_is_not_made(broker, sqs_server):
    broker.enqueue("a")

    make_fake("q", server=sqs_server, retry_seconds=RETRY_SECONDS).enqueue("b")

    assert sqs_server.calls["CreateQueue"] == 1


def test_queue_keeps_messages_as_long_as_sqs_can(broker, sqs_server):
    broker.enqueue("a")

    url = sqs_server("sqs").get_queue_url(QueueName="q")["QueueUrl"]
    told = sqs_server("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])

    assert told["Attributes"]["MessageRetentionPeriod"] == str(14 * 24 * 3_600)


def test_sizes_are_fresh(broker, sqs_server):
    other = make_fake("q", server=sqs_server, retry_seconds=RETRY_SECONDS)
    sizes = [broker.queue_size()]

    for number in range(2):
        other.enqueue(str(number))
        sizes.append(broker.queue_size())

    assert sizes == [0, 1, 2]


# Sizes and forms.


def test_size_is_reckoned_in_bytes(broker):
    fits, large = "ä" * (MESSAGE_BYTES // 2), "ä" * (MESSAGE_BYTES // 2 + 1)

    broker.enqueue(fits)
    with pytest.raises(TaskRefused, match=r"262,146 bytes .*262,144; .*'s3_bucket'"):
        broker.enqueue_many(["a", large])

    assert packages(broker.dequeue(10)) == [fits]


def test_batch_is_no_larger_than_a_message_may_be(broker, sqs_server):
    large, small = "x" * 100_000, "y"

    broker.enqueue_many([large, large, large, small])

    assert sqs_server.calls["SendMessageBatch"] == 2
    assert broker.queue_size() == 4


def test_another_limit_is_kept(tampered):
    options = {"retry_seconds": RETRY_SECONDS, "wait_seconds": 0}
    broker = SqsBroker("q", connect=tampered, message_bytes=2_000, **options)

    with pytest.raises(TaskRefused, match="2,000"):
        broker.enqueue("x" * 2_001)

    assert broker.max_payload == 2_000


def test_limit_of_the_queue_s_own_refuses_before_anything_is_sent(broker, sqs_server):
    sqs_server("sqs").create_queue(QueueName="q", Attributes={"MaximumMessageSize": "1024"})
    small = [str(number) for number in range(15)]

    with pytest.raises(TaskRefused, match=r"1,025 bytes .* SQS takes 1,024"):
        broker.enqueue_many([*small, "x" * 1_025])
    sent = broker.queue_size()
    broker.enqueue_many(small)
    broker.enqueue_many(small)

    assert (sent, broker.queue_size()) == (0, 30)
    assert sqs_server.calls["GetQueueAttributes"] == 3


def test_queue_whose_limit_may_not_be_read_is_sent_to(broker, tampered):
    tampered.instead["get_queue_attributes"] = [raising("AccessDenied", status=403)]

    broker.enqueue("a")

    assert packages(broker.dequeue()) == ["a"]


@pytest.mark.parametrize("character", ["\0", "\x0b", "\ud800", "\uffff"])
def test_character_that_sqs_does_not_take_is_refused_before_anything_is_sent(broker, character):
    with pytest.raises(TaskRefused, match="with the character"):
        broker.enqueue_many(["a", f"b{character}"])

    assert broker.dequeue(10) == []


def test_server_s_own_limit_is_a_refusal(broker, tampered):
    tampered.instead["send_message_batch"] = [
        raising("AWS.SimpleQueueService.BatchRequestTooLong", "at most 1,024 bytes")
    ]

    with pytest.raises(TaskRefused, match="BatchRequestTooLong: at most 1,024 bytes"):
        broker.enqueue("a")


def test_lease_is_in_whole_seconds_and_never_too_short(tampered, djq_clock):
    broker = SqsBroker("q", connect=tampered, retry_seconds=1.5, wait_seconds=0)
    broker.enqueue("a")
    broker.dequeue()

    djq_clock.advance(seconds=1.9)

    assert broker.dequeue() == []


def test_what_was_given_back_is_not_remembered_for_ever(broker):
    broker._given_back = dict.fromkeys(f"r{number}" for number in range(GIVEN_BACK_MAX))

    broker.release_many(["a", "b"])

    assert list(broker._given_back)[:: GIVEN_BACK_MAX - 1] == ["r2", "b"]


# Queues with an order.


@pytest.fixture
def fifo(sqs_server):
    return lambda **options: make_fake(
        "q", server=sqs_server, retry_seconds=RETRY_SECONDS, fifo=True, **options
    )


def test_equal_packages_are_two_and_workers_need_not_wait_for_each_other(fifo):
    broker = fifo()
    broker.enqueue_many(["x", "x"])

    taken = [*broker.dequeue(), *broker.dequeue()]

    assert packages(taken) == ["x", "x"]
    assert broker.queue_name == "q.fifo"


def test_one_group_keeps_the_order_and_waits(fifo):
    broker = fifo(group="all")
    broker.enqueue_many([f"{number:02}" for number in range(12)])

    first = broker.dequeue(10)
    meanwhile = broker.dequeue(10)
    broker.acknowledge_many(receipts(first))

    assert [package for _, package in first] == [f"{number:02}" for number in range(10)]
    assert meanwhile == []
    assert packages(broker.dequeue(10)) == ["10", "11"]


# Servers, and processes.


@pytest.fixture(params=[pytest.param(each, marks=pytest.mark.servers) for each in SERVERS])
def account(request):
    return account_at(request.getfixturevalue(request.param))


def test_package_wakes_who_waits(account):
    name = uuid4().hex
    waits = SqsBroker(name, connect=account, retry_seconds=RETRY_SECONDS, wait_seconds=5)
    sender = SqsBroker(name, connect=account, retry_seconds=RETRY_SECONDS)
    assert waits.blocks
    sender.queue_size()
    sender.enqueue("before")
    waits.dequeue()
    with ThreadPoolExecutor() as threads:
        coming = threads.submit(waits.dequeue)

        sender.enqueue("x")

        assert packages(coming.result(4)) == ["x"]


def test_delay_and_lease_end_by_the_server_s_clock(account):
    broker = SqsBroker(uuid4().hex, connect=account, retry_seconds=1, wait_seconds=5)
    broker.enqueue_later(["x"], 1)

    sizes = broker.queue_size(), broker.lock_size()
    (first,) = broker.dequeue()
    (second,) = broker.dequeue()

    assert sizes == (0, 0)
    assert (first.attempt, second.attempt) == (1, 2)


def test_broker_goes_into_another_process(account):
    broker = SqsBroker(uuid4().hex, connect=account, retry_seconds=RETRY_SECONDS, wait_seconds=0)
    broker.enqueue("here")
    copied = pickle.dumps(broker)
    child = multiprocessing.get_context("fork").Process(target=_send_there, args=(broker, copied))

    child.start()
    child.join(20)

    assert child.exitcode == 0
    assert packages(broker.dequeue(10)) == ["copied", "here", "inherited"]


def _send_there(broker, copied):
    broker.close()
    broker.enqueue("inherited")
    pickle.loads(copied).enqueue("copied")
