"""Holds `async_iter`: any iterable, in its order, in bulk, without a second copy of it all."""

from __future__ import annotations

import copy
import tracemalloc
import zlib
from collections import deque

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from djq.core.call import load_call
from djq.core.joined import ElementFailed
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.models import OrmQ, Task
from djq.tasks import async_iter, count_group, fetch, queue_size, result, result_group
from djq.tasks.road import BULK
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker, ForgetfulBroker

pytestmark = pytest.mark.django_db


@pytest.fixture
def broker():
    return CountingBroker()


def arguments(broker):
    return [args for _, args, _ in broker.sent_calls()]


# What an iterable is.


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ([1, 2], [(1,), (2,)]),
        ((1, 2), [(1,), (2,)]),
        (range(3), [(0,), (1,), (2,)]),
        ((n for n in (2, 1)), [(2,), (1,)]),
        (iter([2, 1]), [(2,), (1,)]),
        ({7}, [(7,)]),
        ({"a": 1, "b": 2}, [("a",), ("b",)]),
        ("abc", [("a",), ("b",), ("c",)]),
        (b"ab", [(97,), (98,)]),
        (deque([1]), [(1,)]),
        ([(1, 2), (3,), ()], [(1, 2), (3,), ()]),
        ([[1, 2], {"x": 1}, None], [([1, 2],), ({"x": 1},), (None,)]),
    ],
)
def test_each_element_is_a_call_and_a_tuple_is_its_arguments(broker, elements, expected):
    async_iter("builtins.list", elements, broker=broker)

    assert arguments(broker) == expected


def test_a_queryset_is_an_iterable_too(broker):
    User.objects.bulk_create([User(username=name) for name in "cab"])
    async_iter("builtins.str", User.objects.order_by("username"), broker=broker)

    assert [args[0].username for args in arguments(broker)] == ["a", "b", "c"]


def test_what_is_no_iterable_is_python_s_own_error(broker):
    with pytest.raises(TypeError, match="not iterable"):
        async_iter("builtins.list", 7, broker=broker)


def test_elements_carry_their_places_and_their_number(broker):
    iter_id = async_iter("builtins.list", "abc", broker=broker, cached=False)
    messages = broker.sent()

    assert [message.place for message in messages] == [0, 1, 2]
    assert {(message.total, message.iter) for message in messages} == {(3, iter_id)}
    assert len({message.id for message in messages} | {iter_id}) == 4


# In bulk.


@pytest.mark.parametrize("make", [list, iter])
def test_hundreds_of_elements_are_one_round_trip(broker, make):
    async_iter("builtins.list", make(range(400)), broker=broker)

    assert broker.calls == [400]


def test_tens_of_thousands_of_elements_are_never_there_twice():
    broker = ForgetfulBroker()
    elements = [(number, f"{number:0200}") for number in range(20_000)]
    tracemalloc.start()
    try:
        async_iter("builtins.list", elements, broker=broker)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sum(broker.calls) == len(elements)
    assert len(broker.calls) == len(elements) // BULK
    # Their pickles alone would be more than 4 MB; half of this is one bulk.
    assert peak < 1_500_000


# Options.


def test_options_are_those_of_the_elements_and_of_the_whole(broker):
    async_iter(
        "builtins.dict",
        [()],
        broker=broker,
        group="g",
        timeout=3,
        max_attempts=2,
        save=False,
        task_name="mine",
        key="the function's",
    )
    (message,) = broker.sent()

    assert (message.group, message.timeout, message.max_attempts) == ("g", 3, 2)
    assert (message.save, message.name) == (False, "mine")
    assert load_call(message.body)[2] == {"key": "the function's"}


def test_q_options_leave_the_function_its_own_keywords(broker):
    async_iter("builtins.dict", [()], group="its own", key=1, q_options={"broker": broker})
    (message,) = broker.sent()

    assert message.group is None
    assert load_call(message.body)[2] == {"group": "its own", "key": 1}


def test_a_hook_is_ignored(broker):
    async_iter("builtins.list", ["a"], broker=broker, hook=samples.note)
    async_iter("builtins.list", ["a"], q_options={"broker": broker, "hook": samples.note})

    assert [message.hook for message in broker.sent()] == [None, None]


def test_the_caller_s_objects_are_not_changed(broker):
    elements, keywords = [[1], {"a": 2}, (3,)], {"key": [4]}
    q_options = {"group": "g", "hook": "a.b", "task_name": "mine"}
    before = copy.deepcopy((elements, keywords, q_options))
    async_iter("builtins.list", elements, **keywords, q_options={**q_options, "broker": broker})
    given = {**q_options, "broker": broker}
    async_iter("builtins.list", elements, q_options=given)

    assert (elements, keywords, q_options) == before
    assert given == {**q_options, "broker": broker}


# Refusing.


@pytest.mark.parametrize("make", [list, tuple, iter])
@pytest.mark.parametrize("sync", [False, True])
def test_an_element_that_does_not_pickle_is_named_and_nothing_is_sent(make, sync):
    with pytest.raises(TaskRefused, match=r"^element 2: argument 1 is .*cannot be pickled"):
        async_iter(samples.give, make([1, 2, lambda: 3]), sync=sync)

    assert queue_size() == 0
    assert not Task.objects.exists()


@pytest.mark.parametrize("elements", [["a"], []])
@pytest.mark.parametrize("func", [lambda: 1, "no path", None])
@pytest.mark.parametrize("sync", [False, True])
def test_a_function_that_cannot_be_queued_is_refused_without_elements_too(func, elements, sync):
    with pytest.raises(TaskRefused):
        async_iter(func, elements, sync=sync)

    assert queue_size() == 0
    assert not Task.objects.exists()


def noise(size):
    """Bytes that no compression makes smaller."""
    return b"".join(zlib.crc32(b"%d" % n).to_bytes(4) for n in range(size // 4))


@pytest.mark.parametrize("make", [list, iter])
@pytest.mark.parametrize("compress", [False, True])
def test_an_element_that_is_too_large_is_named_and_nothing_is_sent(
    settings, broker, make, compress
):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", "compress": compress}
    broker.max_payload = 3_000
    # The longer one is the smaller one when it is deflated.
    elements = ["a"] * BULK + ["b" * 2_900 if compress else "b", noise(2_800)]

    with pytest.raises(TaskRefused, match=rf"^element {BULK + 1}: the task has .*3,000"):
        async_iter(samples.give, make(elements), broker=broker)

    assert broker.calls == []


def test_an_element_just_over_the_limit_is_refused_before_anything_is_sent(broker):
    elements = ["a"] * BULK + ["a" * 20]
    async_iter(samples.give, elements, broker=broker, task_name="mine")
    broker.max_payload = len(broker._rows[-1].package) - 1
    broker.calls.clear()

    with pytest.raises(TaskRefused, match=f"^element {BULK}: "):
        async_iter(samples.give, elements, broker=broker, task_name="mine")

    assert broker.calls == []


def test_a_broker_that_goes_away_is_no_refusal(broker):
    broker.away_after = 1

    with pytest.raises(BrokerUnavailable):
        async_iter(samples.give, range(BULK + 1), broker=broker)


class BreaksAtTheSecond(CountingBroker):
    database = "default"

    def enqueue_many(self, tasks):
        rows = [OrmQ(key="tests", payload=task, available_at="2026-01-01T00:00Z") for task in tasks]
        OrmQ.objects.bulk_create(rows)
        return super().enqueue_many(tasks)


@pytest.mark.parametrize("make", [list, iter])
def test_a_queue_in_a_database_has_all_elements_or_none(make):
    broker = BreaksAtTheSecond()
    broker.away_after = 1

    with pytest.raises(BrokerUnavailable):
        async_iter(samples.give, make(range(BULK + 1)), broker=broker)

    assert OrmQ.objects.count() == 0


# on_commit.


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("elements", [range(3), []])
def test_on_commit_sends_at_the_commit_and_nothing_after_a_rollback(broker, elements):
    with transaction.atomic():
        gone = async_iter(samples.give, elements, broker=broker, on_commit=True)
        transaction.set_rollback(True)
    between = list(broker.calls)
    with transaction.atomic():
        there = async_iter(samples.give, elements, broker=broker, on_commit=True)
        inside = fetch(there)

    assert (between, inside, fetch(gone)) == ([], None, None)
    assert broker.calls == ([3] if elements else [])
    assert (fetch(there) is None) is bool(elements)


# Results.


def test_the_whole_is_one_task_with_the_results_in_order():
    iter_id = async_iter(samples.give, (n for n in (3, 1, 2)), sync=True, group="g")
    task = fetch(iter_id)

    assert task.result == result(iter_id) == [3, 1, 2]
    assert (task.success, task.args, task.func) == (
        True,
        ((3,), (1,), (2,)),
        "tests.django.task_samples.give",
    )
    assert Task.objects.count() == 1
    assert result_group("g") == [[3, 1, 2]]


def test_one_failed_element_makes_a_failure_that_has_every_outcome():
    iter_id = async_iter("math.sqrt", [4, -1, 9], sync=True)
    task = fetch(iter_id)

    assert not task.success
    assert task.result[::2] == [2.0, 3.0]
    assert isinstance(task.result[1], ElementFailed)
    assert task.result[1].startswith("ValueError: ")
    assert task.traceback.startswith("Element 1:\nTraceback")


@pytest.mark.parametrize("sync", [False, True])
@pytest.mark.parametrize("elements", [[], (), iter(()), "", {}])
def test_no_elements_have_their_result_at_once(broker, elements, sync):
    iter_id = async_iter(samples.give, elements, broker=broker, sync=sync, group="g", task_name="n")
    task = fetch(iter_id)

    assert (task.result, task.success, task.name, task.args) == ([], True, "n", ())
    assert count_group("g") == 1
    assert broker.calls == []
