"""`djq_broker("sqs")`: djq's own adapter and boto3's own client on an SQS in memory, on the test's clock."""

from __future__ import annotations

import sys
from datetime import timedelta

import pytest

from djq.brokers import get_broker
from djq.brokers.sqs import SqsBroker
from djq.core.config import Config
from djq.exceptions import ConfigError, TaskRefused
from djq.tasks import async_task, async_tasks, result
from djq_testing.brokers import brokers_like
from djq_testing.clock import ManualClock
from djq_testing.fakes.sqs import SqsServer, make_fake

RETRY_SECONDS = 60
TASKS = 200


def fake(clock, key="q", **options):
    server = SqsServer(clock, shuffle=None)
    return make_fake(key, server=server, **{"retry_seconds": RETRY_SECONDS, **options})


def packages(taken):
    return [package for _, package in taken]


@pytest.mark.djq_broker("sqs")
def test_leases_are_the_real_ones_and_go_by_the_test_s_clock(djq_broker, djq_cluster, djq_clock):
    async_task("math.sqrt", 4, task_name="root")
    ((_, _),) = djq_broker.dequeue()
    began = djq_clock.now()

    djq_cluster.run_until_idle()

    assert isinstance(djq_broker, SqsBroker)
    assert result("root") == 2
    assert djq_clock.now() - began >= timedelta(seconds=RETRY_SECONDS)
    assert (djq_broker.queue_size(), djq_broker.lock_size()) == (0, 0)


@pytest.mark.djq_broker("sqs")
def test_cluster_runs_what_is_held_back_for_hours_once_and_when_it_is_due(djq_broker, djq_cluster):
    async_task("math.sqrt", 4, task_name="root", max_attempts=1)
    ((receipt, package),) = djq_broker.dequeue()
    djq_broker.acknowledge(receipt)
    djq_broker.enqueue_later([package], 30 * 3_600)

    djq_cluster.advance(hours=30, seconds=-1)
    early = list(djq_cluster.runs)
    djq_cluster.advance(seconds=3)

    assert early == []
    assert [run.success for run in djq_cluster.runs] == [True]
    assert result("root") == 2
    assert djq_broker.server.calls["ChangeMessageVisibilityBatch"] == 3


@pytest.mark.djq_broker("sqs")
def test_queues_of_one_test_are_on_one_server(djq_broker):
    other = get_broker("other")
    async_task("math.sqrt", 4, broker=other)

    assert (djq_broker.queue_size(), other.queue_size()) == (0, 1)
    assert other.server is djq_broker.server


@pytest.mark.djq_broker("sqs")
def test_a_task_of_three_leases_runs_once(djq_broker, djq_cluster):
    id = async_task("math.sqrt", 4)
    djq_cluster.takes("math.sqrt", 3 * RETRY_SECONDS)

    djq_cluster.run_until_idle()

    assert [run.task_id for run in djq_cluster.runs] == [id]
    assert djq_broker.server.calls["ChangeMessageVisibilityBatch"] >= 2


@pytest.mark.djq_broker("sqs")
def test_a_cluster_sends_takes_and_acknowledges_many_in_a_round_trip(djq_broker, djq_cluster):
    async_tasks([("math.sqrt", (number,)) for number in range(TASKS)])

    djq_cluster.run_until_idle()

    calls = djq_broker.server.calls
    print(f"SQS, a cluster: {calls.total() / TASKS:.3f} round trips a task: {calls}")  # noqa: T201 - shown by -s
    assert calls["SendMessageBatch"] == TASKS / 10
    assert calls["ReceiveMessage"] <= TASKS / 5
    assert calls["DeleteMessageBatch"] <= TASKS / 3
    assert calls["ChangeMessageVisibilityBatch"] == 0


def test_a_drain_in_tens_costs_a_fifth_of_a_round_trip_a_task(djq_clock):
    broker = fake(djq_clock)
    broker.enqueue_many([str(number) for number in range(TASKS)])
    sent = broker.server.calls.total()

    while taken := broker.dequeue(32):
        broker.acknowledge_many([receipt for receipt, _ in taken])

    drained = broker.server.calls.total() - sent
    print(f"SQS, a drain in tens: {drained / TASKS:.3f} round trips a task")  # noqa: T201 - shown by -s
    assert drained == TASKS / 5 + 1


def test_the_first_of_a_queue_says_when_it_comes(djq_clock):
    broker = fake(djq_clock)
    began = djq_clock.now()
    moments = [broker.next_available()]

    broker.enqueue_later(["later"], 90)
    moments.append(broker.next_available())
    broker.enqueue("now")
    moments.append(broker.next_available())
    ((receipt, _),) = broker.dequeue()
    moments.append(broker.next_available())
    broker.release(receipt)

    assert moments == [
        None,
        began + timedelta(seconds=90),
        began,
        began + timedelta(seconds=RETRY_SECONDS),
    ]
    assert broker.next_available() <= began


def test_what_nobody_wanted_for_two_weeks_is_gone_as_at_aws(djq_clock):
    broker = fake(djq_clock)
    broker.enqueue("old")
    djq_clock.advance(days=13)
    broker.enqueue("young")

    djq_clock.advance(days=1, seconds=1)

    assert packages(broker.dequeue(10)) == ["young"]


def test_a_lease_ends_after_twelve_hours_whatever_is_asked_as_at_aws(djq_clock):
    broker = fake(djq_clock, retry_seconds=3_600)
    broker.enqueue("a")
    ((receipt, _),) = broker.dequeue()
    for _ in range(11):
        djq_clock.advance(minutes=59)
        broker.extend(receipt)
    assert broker.dequeue() == []

    djq_clock.advance(minutes=59)
    broker.extend(receipt)
    djq_clock.advance(minutes=1)

    assert packages(broker.dequeue()) == ["a"]


def test_any_order_is_the_same_one_for_the_same_seed():
    def order(seed):
        clock = ManualClock()
        server = SqsServer(clock, shuffle=seed)
        broker = make_fake("q", server=server, retry_seconds=RETRY_SECONDS)
        broker.enqueue_many(list("abcdefgh"))
        return packages(broker.dequeue(8))

    assert order(1) == order(1) != order(2)


def test_a_group_of_a_queue_with_an_order_waits_for_what_is_out(djq_clock):
    broker = fake(djq_clock, fifo=True, group="all")
    broker.enqueue_many(["a", "b", "c"])

    first = broker.dequeue(2)
    meanwhile = broker.dequeue(2)
    broker.acknowledge_many([receipt for receipt, _ in first])

    assert (packages(first), meanwhile) == (["a", "b"], [])
    assert packages(broker.dequeue(2)) == ["c"]


def test_a_name_that_sqs_cannot_have_is_refused_here_too(djq_clock):
    make = brokers_like("sqs", djq_clock)

    with pytest.raises(ConfigError, match="no queue of the name 'my queue'"):
        make(Config(workers=1, time_zone="UTC"), "my queue")


def settings_of(**setting):
    return Config(workers=1, time_zone="UTC", sqs={"aws_region": "eu-west-1", **setting})


@pytest.mark.parametrize(
    ("key", "setting"), [("shop.fifo", {}), ("shop", {"fifo": True, "message_group": "all"})]
)
def test_queue_of_the_settings_keeps_an_order_here_too(djq_clock, key, setting):
    broker = brokers_like("sqs", djq_clock)(settings_of(**setting), key)
    broker.enqueue_many(["a", "b"])

    taken = sorted(packages(broker.dequeue(10)))

    assert (broker.queue_name, taken) == ("shop.fifo", ["a", "b"])


def test_sizes_of_the_settings_are_kept_here_too(djq_clock):
    make = brokers_like("sqs", djq_clock)
    small = make(settings_of(max_message_bytes=2_000), "small")
    large = make(settings_of(max_message_bytes=2_000, s3_bucket="large"), "large")

    large.enqueue("x" * 2_001)
    ((receipt, package),) = large.dequeue()
    large.acknowledge(receipt)

    with pytest.raises(TaskRefused, match="2,000"):
        small.enqueue("x" * 2_001)
    assert package == "x" * 2_001
    assert (large.server.s3.calls, large.server.s3.objects) == (
        {"PutObject": 1, "GetObject": 1, "DeleteObjects": 1},
        {},
    )


def test_wrong_key_of_the_settings_is_refused_here_too(djq_clock):
    with pytest.raises(ConfigError, match="'region', which is none of"):
        brokers_like("sqs", djq_clock)(settings_of(region="eu"), "shop")


@pytest.fixture
def _without_moto():
    known = {name: each for name, each in sys.modules.items() if name.split(".")[0] == "moto"}
    known["djq_testing.fakes.sqs"] = sys.modules["djq_testing.fakes.sqs"]
    for name in known:
        del sys.modules[name]
    sys.modules["moto"] = None
    yield
    sys.modules.update(known)


@pytest.mark.usefixtures("_without_moto")
def test_a_broker_whose_library_is_missing_names_the_extra():
    with pytest.raises(
        ModuleNotFoundError, match=r"moto.* is not .*pip install 'djq\[testing-sqs\]'"
    ):
        brokers_like("sqs", ManualClock())
