"""`oldest_waiting`: how long the oldest task that waits has waited, as every broker can tell it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from djq.assembly import make_codec
from djq.brokers import Broker
from djq.brokers.orm import OrmBroker
from djq.core.received import Waiting
from djq.exceptions import BrokerUnavailable
from djq.monitor import OldestWaiting, oldest_waiting, oldest_waiting_seconds
from djq.tasks import async_task
from djq.wiring import wired
from djq_testing.clock import ManualClock

SECRET = "a secret argument"


class Shown(Broker):
    """Shows what it is told to show."""

    def __init__(self, *shown, list_key="tests"):
        super().__init__(list_key)
        self.shown = shown

    def enqueue(self, task):
        self.shown += (Waiting(task),)

    def peek(self):
        return self.shown


@pytest.mark.djq_broker("redis", "redis-receipts", "disque", "ironmq", "mongo", "orm", "memory")
@pytest.mark.django_db
def test_each_broker_tells_of_the_oldest_task_how_long_it_has_waited(djq_broker, djq_clock):
    nothing = oldest_waiting()
    task_id = async_task("math.sqrt", 4, task_name="first")
    djq_clock.advance(40)
    async_task("math.sqrt", 9, task_name="second")
    djq_clock.advance(2)

    oldest = oldest_waiting()
    djq_broker.dequeue()
    next_one = oldest_waiting(djq_broker)

    assert nothing == OldestWaiting(seconds=0.0)
    assert oldest == OldestWaiting(seconds=42.0, id=task_id, name="first", func="math.sqrt")
    assert (next_one.name, next_one.seconds) == ("second", 2.0)


@pytest.mark.djq_broker("sqs")
def test_a_broker_that_cannot_tell_is_told_from_an_empty_queue(djq_broker):
    async_task("math.sqrt", 4)

    assert oldest_waiting(djq_broker) == OldestWaiting(seconds=None)
    assert oldest_waiting_seconds(djq_broker) is None


def test_the_oldest_of_several_lines_counts():
    broker = Shown()
    clock = ManualClock()
    with wired(clock=clock):
        async_task("math.sqrt", 4, task_name="long ago", broker=broker)
        broker.shown = (Waiting("p:foreign", 5.0), *broker.shown)
        clock.advance(7)

        assert oldest_waiting(broker).name == "long ago"
        assert oldest_waiting_seconds(broker) == 7.0


def test_of_what_cannot_be_opened_only_the_age_is_told_that_the_broker_knows():
    foreign = make_codec(queue="another").seal(b"x")

    assert oldest_waiting(Shown(Waiting(foreign, 8.0))) == OldestWaiting(seconds=8.0)
    assert oldest_waiting(Shown(Waiting(b"\xff"))) == OldestWaiting(seconds=None)


def test_a_sender_whose_clock_is_ahead_makes_no_negative_age():
    broker, clock = Shown(), ManualClock()
    with wired(clock=clock):
        async_task("math.sqrt", 4, broker=broker)
    with wired(clock=ManualClock(clock.now() - timedelta(hours=1))):
        assert oldest_waiting_seconds(broker) == 0.0


def test_another_queue_s_tasks_are_opened_with_its_own_key():
    broker = Shown(list_key="reports")

    async_task("math.sqrt", 4, task_name="theirs", broker=broker)

    assert oldest_waiting(broker).name == "theirs"


@pytest.mark.django_db
def test_nothing_of_the_arguments_is_told_and_the_look_is_one_query(djq_clock):
    broker = OrmBroker("tests", alias="default", clock=djq_clock, retry_seconds=60)
    async_task("math.sqrt", SECRET, broker=broker)

    with CaptureQueriesContext(connection) as queries:
        oldest = oldest_waiting(broker)

    assert oldest.func == "math.sqrt"
    assert SECRET not in repr(oldest)
    assert len(queries) == 1


def test_a_broker_that_is_away_says_so():
    class Away(Shown):
        def peek(self):
            raise BrokerUnavailable("no answer")

    with pytest.raises(BrokerUnavailable):
        oldest_waiting(Away())
