"""Holds `async_tasks`: many calls at once, in order, or none of them."""

from __future__ import annotations

import copy

import pytest
from django.db import transaction

from djq.core.call import load_call
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.models import OrmQ, Task
from djq.ports import Broker
from djq.tasks import async_tasks, queue_size, result, result_group
from djq.tasks.road import BULK
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker

pytestmark = pytest.mark.django_db


@pytest.fixture
def broker():
    return CountingBroker()


def test_hundreds_of_calls_are_one_call_of_the_broker(broker):
    ids = async_tasks([("math.floor", (number,)) for number in range(400)], broker=broker)

    assert broker.calls == [400]
    assert [message.id for message in broker.sent()] == ids
    assert len(set(ids)) == 400


def test_one_call_is_enqueued_as_any_other(broker):
    (task_id,) = async_tasks([("math.floor", (1.5,))], broker=broker)

    assert broker.calls == [1]
    assert [message.id for message in broker.sent()] == [task_id]


@pytest.mark.parametrize("sync", [False, True])
def test_no_calls_are_nothing_to_send(broker, sync):
    assert async_tasks([], broker=broker, sync=sync) == []
    assert broker.calls == []


def test_more_than_a_bulk_goes_in_several_calls_in_order(broker):
    ids = async_tasks([("math.floor", (number,)) for number in range(BULK + 3)], broker=broker)

    assert broker.calls == [BULK, 3]
    assert [message.id for message in broker.sent()] == ids


def test_calls_keep_their_order_in_lists_although_they_were_asked_for_at_one_moment(broker):
    async_tasks([("math.floor", (number,)) for number in range(5)], broker=broker)
    messages = broker.sent()

    assert len({message.enqueued_at for message in messages}) == 1
    assert [load_call(message.body)[1][0] for message in messages] == [0, 1, 2, 3, 4]
    assert [message.place for message in messages] == sorted(message.place for message in messages)


def test_a_call_may_be_written_in_every_documented_form(broker):
    calls = [
        "math.floor",
        samples.give,
        ("math.floor",),
        ["math.floor", (1.5,)],
        ("math.floor", [1.5]),
        ("builtins.dict", (), {"key": 1}),
    ]
    async_tasks(iter(calls), broker=broker)

    assert broker.sent_calls() == [
        ("math.floor", (), {}),
        (samples.give, (), {}),
        ("math.floor", (), {}),
        ("math.floor", (1.5,), {}),
        ("math.floor", (1.5,), {}),
        ("builtins.dict", (), {"key": 1}),
    ]


def test_options_are_for_all_and_those_of_a_call_win(broker):
    calls = [
        ("math.floor", (1,)),
        ("math.floor", (2,), {"group": "own", "timeout": 5, "key": "the function's"}),
        ("math.floor", (3,), {"q_options": {"save": False}, "group": "the function's"}),
    ]
    async_tasks(calls, broker=broker, group="all", timeout=9, hook=samples.note)
    messages = broker.sent()

    assert [message.group for message in messages] == ["all", "own", "all"]
    assert [message.timeout for message in messages] == [9, 5, 9]
    assert [message.save for message in messages] == [None, None, False]
    assert {message.hook for message in messages} == {"tests.django.task_samples.note"}
    assert [load_call(message.body)[2] for message in messages] == [
        {},
        {"key": "the function's"},
        {"group": "the function's"},
    ]


def test_options_may_come_in_q_options(broker):
    async_tasks(["math.floor"], q_options={"broker": broker, "group": "all"})

    assert [message.group for message in broker.sent()] == ["all"]


def test_the_caller_s_objects_are_not_changed(broker):
    calls = [("math.floor", [1], {"group": "a", "q_options": None}), ["math.floor", (2,)]]
    options = {"group": "all", "q_options": {"save": True}}
    before = copy.deepcopy((calls, options))
    async_tasks(calls, q_options={**options["q_options"], "broker": broker})

    assert (calls, options) == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("math.floor", 1.5), r"call 1: .*is no call"),
        (("math.floor", (1,), [1]), r"call 1: .*is no call"),
        (("math.floor", (), {}, 4), r"call 1: .*is no call"),
        ((), r"call 1: .*is no call"),
        (7, r"call 1: 7 is no call"),
        (lambda: 1, r"call 1: .*cannot be queued"),
        (("no path",), r"call 1: .*no dotted path"),
        (("math.floor", (lambda: 1,)), r"call 1: argument 1 "),
        (("math.floor", (), {"timeout": 0}), r"call 1: the option timeout"),
        (("math.floor", (), {"q_options": {"grup": 1}}), r"call 1: 'grup' in q_options"),
        (("math.floor", (), {"sync": True}), r"call 1: the option sync is for all"),
        (("math.floor", (), {"broker": CountingBroker()}), r"call 1: the option broker"),
        (("math.floor", (), {"on_commit": True}), r"call 1: the option on_commit"),
        (("math.floor", ("x" * 3_000,)), r"call 1: the task has .*max_payload"),
    ],
)
@pytest.mark.parametrize("sync", [False, True])
def test_a_call_that_cannot_be_queued_is_named_and_nothing_is_sent(settings, call, words, sync):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", "max_payload": 2_000}

    with pytest.raises(TaskRefused, match=words):
        async_tasks(["builtins.list", call, "builtins.dict"], sync=sync)

    assert queue_size() == 0
    assert not Task.objects.exists()


def test_keywords_of_the_functions_are_refused_among_the_options(broker):
    with pytest.raises(TaskRefused, match=r"grup, key: no option of async_tasks"):
        async_tasks(["math.floor"], broker=broker, grup=1, key=2)

    assert broker.calls == []


def test_calls_run_here_in_order_when_they_are_told_to():
    ids = async_tasks([(samples.give, (n,), {"group": "g"}) for n in range(3)], sync=True)

    assert [result(task_id) for task_id in ids] == [0, 1, 2]
    assert result_group("g") == [0, 1, 2]


@pytest.mark.django_db(transaction=True)
def test_on_commit_sends_all_at_the_commit_and_none_after_a_rollback(broker):
    with transaction.atomic():
        async_tasks(["builtins.list"] * 3, broker=broker, on_commit=True)
        before = list(broker.calls)
    with transaction.atomic():
        async_tasks(["builtins.list"] * 5, broker=broker, on_commit=True)
        transaction.set_rollback(True)

    assert before == []
    assert broker.calls == [3]


class BreaksAtTheSecond(CountingBroker):
    """A queue in the database, of which the second call fails."""

    database = "default"

    def enqueue_many(self, tasks):
        rows = [OrmQ(key="tests", payload=task, available_at="2026-01-01T00:00Z") for task in tasks]
        OrmQ.objects.bulk_create(rows)
        return super().enqueue_many(tasks)


def test_another_queue_tells_how_many_it_has(broker):
    broker.away_after = 2

    words = "no answer; the first 1,000 tasks had been sent"
    with pytest.raises(BrokerUnavailable, match=words) as caught:
        async_tasks(["builtins.list"] * (2 * BULK + 1), broker=broker)

    assert len(broker.sent()) == 1_000
    assert list(caught.value.sent) == list(range(1_000))


def test_another_queue_that_refuses_one_of_the_second_bulk_tells_what_it_has(broker):
    take = broker.enqueue_many

    def refuse_the_third(tasks):
        if broker.calls:
            take(tasks[:2])
            raise TaskRefused("not this one", sent=[0, 1])
        return take(tasks)

    broker.enqueue_many = refuse_the_third

    with pytest.raises(TaskRefused, match="not this one; the first 500 tasks had") as caught:
        async_tasks(["builtins.list"] * (BULK + 4), broker=broker)

    assert len(broker.sent()) == BULK + 2
    assert list(caught.value.sent) == list(range(BULK + 2))


@pytest.mark.parametrize("tasks", [2, BULK + 1])
def test_another_queue_that_has_none_tells_of_none(broker, tasks):
    broker.away_after = 0

    with pytest.raises(BrokerUnavailable) as caught:
        async_tasks(["builtins.list"] * tasks, broker=broker)

    assert str(caught.value) == "no answer"


@pytest.mark.parametrize("sends_one_by_one", [False, True])
def test_a_queue_in_a_database_has_all_or_none(sends_one_by_one):
    broker = BreaksAtTheSecond()
    broker.away_after = 1
    if sends_one_by_one:
        broker.away_after = BULK + 2
        broker.enqueue_many = lambda tasks: Broker.enqueue_many(broker, tasks)
        broker.enqueue = lambda task: BreaksAtTheSecond.enqueue_many(broker, [task])[0]

    with pytest.raises(BrokerUnavailable) as caught:
        async_tasks(["builtins.list"] * (BULK + 5), broker=broker)

    assert "had been sent" not in str(caught.value)
    assert (OrmQ.objects.count(), list(caught.value.sent)) == (0, [])


def test_the_queue_of_the_settings_takes_thousands_in_order():
    ids = async_tasks([("math.floor", (n,)) for n in range(1_200)])

    assert queue_size() == len(ids) == 1_200
