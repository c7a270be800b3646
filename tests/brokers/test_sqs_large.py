"""Packages that are too large for SQS: by S3 and back, and what happens where S3 does not answer."""

from __future__ import annotations

import pickle
import threading
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from djq.brokers.sqs import MESSAGE_BYTES, SqsBroker
from djq.brokers.sqs_large import LargePackages
from djq.brokers.sqs_later import REMEMBERED_MAX
from djq.core.events import PackageLeft
from djq.exceptions import BrokerUnavailable
from djq.signals import LoggingObserver
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


@pytest.fixture
def bucket():
    return Bucket()


@pytest.fixture
def roomy(tampered, bucket):
    return with_bucket(tampered, bucket, at_once=1)


LARGE = "ä" * MESSAGE_BYTES


def test_large_package_goes_by_s3_and_leaves_nothing_there(roomy, bucket):
    roomy.enqueue_many(["small", LARGE])
    ((name, key),) = bucket.objects

    taken = roomy.dequeue(10)
    kept = len(bucket.objects)
    roomy.acknowledge_many(receipts(taken))

    assert (name, key.rpartition("/")[0]) == ("b", "djq/q")
    assert packages(taken) == ["small", LARGE]
    assert (kept, bucket.objects) == (1, {})
    assert (roomy.queue_size(), roomy.lock_size()) == (0, 0)
    assert roomy.max_payload is None


def test_small_packages_cost_nothing_in_s3(roomy, bucket):
    roomy.enqueue("a")
    roomy.acknowledge_many(receipts(roomy.dequeue()))

    assert bucket.calls == {}


@pytest.mark.parametrize("verb", ["release", "extend"])
def test_large_package_that_is_not_done_stays(roomy, bucket, djq_clock, verb):
    roomy.enqueue(LARGE)
    ((receipt, _),) = roomy.dequeue()

    getattr(roomy, verb)(receipt)

    djq_clock.advance(seconds=RETRY_SECONDS)
    assert packages(roomy.dequeue()) == [LARGE]


def test_package_that_looks_like_a_pointer_is_none(roomy, bucket):
    roomy.enqueue(LARGE)
    ((_, key),) = bucket.objects
    package = f"djq-s3:{key.rpartition('/')[2]}"
    roomy.enqueue(package)

    assert packages(roomy.dequeue(10)) == [package, LARGE]


def test_pointer_whose_object_is_gone_is_given_as_it_is_and_can_be_failed(roomy, bucket):
    roomy.enqueue(LARGE)
    bucket.objects.clear()

    ((receipt, package),) = roomy.dequeue()
    roomy.fail(receipt)

    assert package.startswith("djq-s3:")
    assert roomy.lock_size() == 0


def test_pointer_that_leads_elsewhere_is_not_followed(roomy, bucket):
    bucket.objects["b", "djq/q/../../secret"] = b"secret"
    roomy.enqueue("djq-s3:../../secret")

    ((receipt, package),) = roomy.dequeue()
    roomy.acknowledge(receipt)

    assert package == "djq-s3:../../secret"
    assert len(bucket.objects) == 1


def test_s3_that_is_away_holds_up_nothing_else_and_loses_nothing(roomy, bucket, djq_clock):
    roomy.enqueue_many(["small", LARGE])
    bucket.away = True

    with pytest.raises(BrokerUnavailable, match="ConnectTimeoutError"):
        roomy.enqueue(LARGE)
    first = roomy.dequeue(10)
    djq_clock.advance(seconds=RETRY_SECONDS)
    roomy.acknowledge_many(receipts(first))
    with pytest.raises(BrokerUnavailable, match="ConnectTimeoutError"):
        roomy.dequeue(10)
    bucket.away = False
    djq_clock.advance(seconds=RETRY_SECONDS)

    assert packages(first) == ["small"]
    assert packages(roomy.dequeue(10)) == [LARGE]


def test_acknowledgement_that_s3_did_not_hear_can_be_said_again(roomy, bucket):
    roomy.enqueue(LARGE)
    held = receipts(roomy.dequeue())
    bucket.away = True
    with pytest.raises(BrokerUnavailable):
        roomy.acknowledge_many(held)
    bucket.away = False

    roomy.acknowledge_many(held)

    assert (bucket.objects, roomy.lock_size()) == ({}, 0)


@pytest.mark.servers
def test_large_package_goes_by_s3_over_http(sqs_on_roto):
    account = account_at(sqs_on_roto)
    account("s3").create_bucket(
        Bucket="djq-large", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    name = uuid4().hex
    large = LargePackages(bucket="djq-large", queue=name, connect=account)
    options = {"retry_seconds": RETRY_SECONDS, "wait_seconds": 0, "large": large}
    broker = pickle.loads(pickle.dumps(SqsBroker(name, connect=account, **options)))
    broker.enqueue(LARGE)
    broker.enqueue(LARGE)

    (first,) = broker.dequeue()
    broker.acknowledge(first[0])
    left = account("s3").list_objects_v2(Bucket="djq-large", Prefix=f"djq/{name}/")["Contents"]
    account("s3").delete_object(Bucket="djq-large", Key=left[0]["Key"])
    ((_, gone),) = broker.dequeue()
    broker.close()

    assert first[1] == LARGE
    assert len(left) == 1
    assert gone.startswith("djq-s3:")


# S3 that is away, or has something else.


def test_object_that_is_no_text_is_given_as_its_pointer_and_can_be_failed(roomy, bucket):
    roomy.enqueue_many(["small", LARGE])
    bucket.objects = dict.fromkeys(bucket.objects, b"\xff\xfe")

    taken = {package[:7]: receipt for receipt, package in roomy.dequeue(10)}
    roomy.fail(taken["djq-s3:"])

    assert sorted(taken) == ["djq-s3:", "small"]
    assert (roomy.lock_size(), bucket.objects) == (1, {})


def test_after_one_silence_of_s3_nothing_more_is_fetched(roomy, bucket):
    roomy.enqueue_many([LARGE, LARGE, "small", LARGE, LARGE])
    bucket.gives = 1

    first = packages(roomy.dequeue(10))

    assert first == ["small", LARGE]
    assert bucket.calls["GetObject"] == 2


def test_packages_are_fetched_at_once(tampered):
    """Each of them waits until the others are being fetched."""
    together = threading.Barrier(3, timeout=10)

    class Slow(Bucket):
        def get_object(self, **asked):
            if self.calls["GetObject"]:
                together.wait()
            return super().get_object(**asked)

    broker = with_bucket(tampered, Slow(), at_once=3)
    broker.enqueue_many([LARGE] * 4)

    assert packages(broker.dequeue(10)) == [LARGE] * 4


def test_delivery_that_could_not_be_fetched_is_no_attempt(roomy, bucket, djq_clock):
    roomy.enqueue_many([LARGE, LARGE])
    bucket.away = True
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            roomy.dequeue(10)
        djq_clock.advance(seconds=RETRY_SECONDS)
    bucket.away = False

    attempts = []
    for _ in range(2):
        attempts.append([each.attempt for each in roomy.dequeue(10)])
        djq_clock.advance(seconds=RETRY_SECONDS)

    assert attempts == [[1, 1], [2, 2]]


def test_what_could_not_be_fetched_is_not_remembered_for_ever(roomy, bucket):
    roomy._attempts._taken_off = {f"m{number}": 1 for number in range(REMEMBERED_MAX)}
    roomy.enqueue(LARGE)
    bucket.away = True

    with pytest.raises(BrokerUnavailable):
        roomy.dequeue()

    assert len(roomy._attempts._taken_off) == REMEMBERED_MAX
    assert next(iter(roomy._attempts._taken_off)) == "m1"


# Objects that are needed, and those that are not.


def test_late_word_leaves_the_object_that_another_delivery_needs(roomy, bucket, djq_clock):
    roomy.enqueue(LARGE)
    ((late, _),) = roomy.dequeue()
    djq_clock.advance(seconds=RETRY_SECONDS)
    ((held, _),) = roomy.dequeue()

    roomy.acknowledge(late)
    roomy.release(held)

    assert packages(roomy.dequeue()) == [LARGE]


def test_acknowledgement_that_failed_in_part_leaves_no_object(roomy, tampered, bucket):
    roomy.enqueue_many([LARGE, LARGE])
    held = receipts(roomy.dequeue(10))
    fails = failing("delete_message_batch", "1", "InternalError")
    tampered.instead["delete_message_batch"] = [fails, fails]

    with pytest.raises(BrokerUnavailable, match="1 of 2"):
        roomy.acknowledge_many(held)
    kept = len(bucket.objects)
    roomy.acknowledge_many(held)

    assert (kept, bucket.objects) == (2, {})


def test_object_that_s3_did_not_delete_is_told_of_once_and_tried_again(roomy, bucket):
    roomy.enqueue_many([LARGE, LARGE])
    first, second = receipts(roomy.dequeue(10))
    bucket.forbids = 1

    with pytest.raises(BrokerUnavailable, match="DeleteObjects: AccessDenied"):
        roomy.acknowledge(first)
    kept = len(bucket.objects)
    roomy.acknowledge(second)

    assert (kept, bucket.objects) == (2, {})


def test_s3_that_never_deletes_holds_up_nothing(roomy, bucket):
    roomy.enqueue_many([LARGE, LARGE, "small", "small"])
    held = receipts(roomy.dequeue(10))
    bucket.forbids = 10
    with pytest.raises(BrokerUnavailable):
        roomy.acknowledge(held[0])

    for receipt in held[1:]:
        roomy.acknowledge(receipt)
    deletes = bucket.calls["DeleteObjects"]

    assert deletes == 3
    assert roomy.lock_size() == 0


def unanswered(_client, _asked):
    raise ConnectTimeoutError(endpoint_url="https://sqs")


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ([raising("ThrottlingException")], 0),
        ([failing("send_message_batch", "1", "InternalError")] * 2, 1),
        ([unanswered], 2),
        ([raising("InternalFailure", status=500)], 2),
    ],
)
def test_object_of_what_was_surely_not_sent_is_deleted(roomy, tampered, bucket, answers, left):
    tampered.instead["send_message_batch"] = list(answers)

    with pytest.raises(BrokerUnavailable):
        roomy.enqueue_many([LARGE, LARGE])

    assert len(bucket.objects) == left


def test_s3_that_refuses_in_the_midst_of_a_batch_keeps_nothing_of_it(roomy, bucket):
    bucket.takes, bucket.says = 2, ClientError({"Error": {"Code": "QuotaExceeded"}}, "PutObject")

    with pytest.raises(BrokerUnavailable, match="PutObject: QuotaExceeded"):
        roomy.enqueue_many([LARGE, "small", LARGE, LARGE])

    assert (bucket.objects, roomy.queue_size()) == ({}, 0)


def test_s3_that_goes_in_the_midst_of_a_batch_keeps_nothing_of_it_once_it_is_back(roomy, bucket):
    bucket.takes = 2
    with pytest.raises(BrokerUnavailable, match="ConnectTimeoutError"):
        roomy.enqueue_many([LARGE, LARGE, LARGE])
    roomy.enqueue("small")
    # Whoever sends is not to wait for it a second time.
    asked_while_away = bucket.calls["DeleteObjects"]
    bucket.takes = None

    roomy.enqueue(LARGE)

    assert asked_while_away == 0
    assert len(bucket.objects) == 1
    assert packages(roomy.dequeue(10)) == ["small", LARGE]


def test_object_that_was_stored_while_the_answer_was_lost_is_deleted_too(tampered):
    class Deaf(Bucket):
        def put_object(self, **asked):
            super().put_object(**asked)
            if len(self.objects) == 1:
                raise self.says

    bucket = Deaf()
    broker = with_bucket(tampered, bucket)
    with pytest.raises(BrokerUnavailable):
        broker.enqueue(LARGE)
    ((_, lost),) = bucket.objects

    broker.enqueue(LARGE)

    ((_, kept),) = bucket.objects
    assert kept != lost


def test_package_that_looks_like_a_receipt_costs_nobody_his_object(roomy, tampered, bucket):
    roomy.enqueue(LARGE)
    ((_, key),) = bucket.objects
    tampered.instead["send_message_batch"] = [raising("ThrottlingException")]

    with pytest.raises(BrokerUnavailable):
        roomy.enqueue(f"djq-s3:{key.rpartition('/')[2]}:x")

    assert len(bucket.objects) == 1


def test_acknowledgement_after_the_queue_was_deleted_makes_none(roomy, sqs_server, bucket):
    roomy.enqueue_many([LARGE, "small"])
    held = receipts(roomy.dequeue(10))
    roomy.delete_queue()
    made = sqs_server.calls["CreateQueue"]

    roomy.extend_many(held)
    roomy.acknowledge_many(held * 6)
    roomy.release_many(held)

    assert sqs_server.calls["CreateQueue"] == made
    assert bucket.objects == {}


# Clusters without a bucket.


def test_pointer_without_a_bucket_is_never_destroyed(roomy, sqs_server, bucket, djq_clock):
    roomy.enqueue_many([LARGE, "small"])
    poor = SqsBroker("q", connect=sqs_server, retry_seconds=RETRY_SECONDS, wait_seconds=0)

    taken = {package[:6]: receipt for receipt, package in poor.dequeue(10)}
    poor.fail(taken["djq-s3"])
    poor.acknowledge(taken["small"])
    out = poor.lock_size()
    djq_clock.advance(seconds=RETRY_SECONDS)

    assert out == 1
    assert packages(roomy.dequeue(10)) == [LARGE]


def test_pointer_without_a_bucket_says_what_to_do_about_it(roomy, sqs_server, caplog):
    roomy.enqueue_many([LARGE, "small"])
    poor = SqsBroker("q", connect=sqs_server, retry_seconds=RETRY_SECONDS, wait_seconds=0)

    left, small = sorted(poor.dequeue(10), key=lambda received: received[1])

    LoggingObserver().notify(PackageLeft(left.left_because))
    (line,) = caplog.messages
    assert line == (
        f"a package was left in the queue for another cluster: its content is in S3 ({left[1]}), and "
        "Q_CLUSTER['sqs'] names no 's3_bucket' here; name the bucket that the senders name, in the "
        "settings of every cluster of this queue"
    )
    assert small.left_because is None


def test_pointer_without_a_bucket_can_be_given_back(roomy, sqs_server):
    roomy.enqueue(LARGE)
    poor = SqsBroker("q", connect=sqs_server, retry_seconds=RETRY_SECONDS, wait_seconds=0)
    ((receipt, _),) = poor.dequeue()

    poor.release(receipt)

    assert packages(roomy.dequeue()) == [LARGE]


def test_limit_of_the_queue_s_own_sends_less_to_s3(roomy, sqs_server, bucket):
    sqs_server("sqs").create_queue(QueueName="q", Attributes={"MaximumMessageSize": "1024"})

    roomy.enqueue_many(["x" * 1_024, "x" * 1_025])

    assert len(bucket.objects) == 1


def test_round_trips_of_a_large_package_are_as_documented(roomy, bucket):
    roomy.enqueue_many([LARGE, LARGE, LARGE])

    roomy.acknowledge_many(receipts(roomy.dequeue(10)))

    assert bucket.calls == {"PutObject": 3, "GetObject": 3, "DeleteObjects": 1}
