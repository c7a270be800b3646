"""Holds the documented functions: what is sent, what is refused before, and how results are found."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection, connections, transaction

from djq.assembly import make_codec
from djq.brokers import get_broker
from djq.conf import get_config
from djq.core.call import load_call
from djq.core.frame import unpack
from djq.core.names import name_of
from djq.exceptions import BadPackage, ConfigError, TaskRefused
from djq.models import OrmQ, Task
from djq.tasks import async_task, fetch, queue_size, result
from djq_testing.clock import ManualClock
from djq_testing.memory import MemoryBroker
from tests.django import task_samples as samples

pytestmark = pytest.mark.django_db

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def broker():
    return MemoryBroker(clock=ManualClock())


def sent(broker):
    """The messages in the queue, opened."""
    codec = make_codec(get_config(), broker.list_key)
    return [unpack(codec.open(package)) for _, package in broker.dequeue(100)]


def keep(value, task_id=ID, name="a-name", day=1, **fields):
    moment = datetime(2026, 1, day, tzinfo=UTC)
    Task.objects.create(
        id=task_id, name=name, func="f.g", started=moment, stopped=moment, result=value, **fields
    )


# Sending.


def test_a_task_is_sent_with_its_call(broker):
    task_id = async_task("math.copysign", 2, -2, key="value", broker=broker)

    (message,) = sent(broker)
    assert message.id == task_id
    assert message.func == "math.copysign"
    assert load_call(message.body) == ("math.copysign", (2, -2), {"key": "value"})


def test_a_keyword_called_func_is_the_function_s_own(broker):
    async_task("builtins.dict", func="its own", broker=broker)

    (message,) = sent(broker)
    assert load_call(message.body) == ("builtins.dict", (), {"func": "its own"})


def test_a_task_is_signed_for_the_queue_that_it_is_sent_to():
    broker = MemoryBroker("reports", clock=ManualClock())
    async_task("math.floor", 1.5, broker=broker)

    ((_, package),) = broker.dequeue()
    assert make_codec(get_config(), "reports").open(package)
    with pytest.raises(BadPackage):
        make_codec(get_config()).open(package)


def test_an_id_is_32_hex_digits_and_never_the_same(broker):
    ids = [async_task("math.floor", 1.5, broker=broker) for _ in range(20)]

    assert len(set(ids)) == 20
    assert all(len(task_id) == 32 and int(task_id, 16) >= 0 for task_id in ids)


def test_a_function_is_sent_by_reference(broker):
    async_task(samples.give, 1, broker=broker)

    (message,) = sent(broker)
    assert message.func == "tests.django.task_samples.give"
    assert load_call(message.body)[0] is samples.give


def test_a_name_is_made_of_the_id_unless_it_is_given(broker):
    task_id = async_task("math.floor", 1.5, broker=broker)
    async_task("math.floor", 1.5, broker=broker, task_name="mine")

    assert [message.name for message in sent(broker)] == [name_of(task_id), "mine"]


def test_every_option_travels_in_the_header(broker):
    options = {"group": "math", "save": False, "timeout": 30, "max_attempts": 5}

    async_task("math.floor", 1.5, broker=broker, hook=samples.note, **options)

    (message,) = sent(broker)
    assert message.hook == "tests.django.task_samples.note"
    assert (message.group, message.save, message.timeout) == ("math", False, 30)
    assert message.max_attempts == 5


def test_with_q_options_the_function_gets_every_other_keyword(broker):
    q_options = {"group": "mine", "broker": broker}

    async_task(samples.keywords, group=7, timeout="soon", q_options=q_options)

    (message,) = sent(broker)
    assert message.group == "mine"
    assert load_call(message.body)[2] == {"group": 7, "timeout": "soon"}
    assert q_options == {"group": "mine", "broker": broker}


def test_the_time_of_the_call_is_kept(broker):
    before = datetime.now(UTC)
    async_task("math.floor", 1.5, broker=broker)
    after = datetime.now(UTC)

    (message,) = sent(broker)
    assert before <= message.enqueued_at <= after


def test_a_task_goes_to_the_broker_of_the_settings_with_one_query(django_assert_num_queries):
    async_task("math.floor", 1.5)

    with django_assert_num_queries(1):
        async_task("math.floor", 1.5)

    assert OrmQ.objects.count() == 2
    assert queue_size() == 2


def test_the_broker_of_the_settings_is_used_again():
    assert get_broker() is get_broker()


def test_with_a_broker_that_cannot_be_made_the_caller_hears_which_option_is_wrong(settings):
    settings.Q_CLUSTER = {"redis": {"hots": "localhost"}}

    with pytest.raises(ConfigError, match="'hots'"):
        async_task("math.floor", 1.5)


# Refusing.


@pytest.mark.parametrize(
    ("func", "args", "options"),
    [
        (lambda: 1, (), {}),
        ("no_path", (), {}),
        (None, (), {}),
        ("math.floor", (lambda: 1,), {}),
        ("math.floor", (1.5,), {"timeout": 0}),
        ("math.floor", (1.5,), {"q_options": {"grup": "math"}}),
        ("math.floor", (1.5,), {"hook": lambda task: task}),
        ("math.floor", (1.5,), {"broker": "default"}),
        ("math.floor", (1.5,), {"cached": "yes"}),
    ],
)
@pytest.mark.parametrize("sync", [False, True])
def test_what_cannot_be_queued_is_refused_and_nothing_is_sent(func, args, options, sync):
    q_options = options.get("q_options", options) | {"sync": sync}

    with pytest.raises(TaskRefused):
        async_task(func, *args, q_options=q_options)

    assert queue_size() == 0
    assert not Task.objects.exists()


def test_an_explicit_false_for_cached_is_taken(broker):
    assert async_task("math.floor", 1.5, cached=False, broker=broker)


@pytest.mark.parametrize("sync", [False, True])
def test_a_task_over_max_payload_is_refused(settings, sync):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", "max_payload": 2_000}
    assert async_task(samples.give, "a" * 500, sync=sync)

    with pytest.raises(TaskRefused, match=r"2,000.*`max_payload`"):
        async_task(samples.give, "a" * 3_000, sync=sync)


class NarrowBroker(MemoryBroker):
    max_payload = 1_000


def test_a_task_over_the_brokers_own_limit_is_refused():
    broker = NarrowBroker(clock=ManualClock())
    async_task(samples.give, "a", broker=broker)

    with pytest.raises(TaskRefused, match=r"1,000.*NarrowBroker"):
        async_task(samples.give, "a" * 2_000, broker=broker)

    assert broker.queue_size() == 1


# on_commit.


def test_on_commit_waits_for_the_commit(broker, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        async_task("math.floor", 1.5, broker=broker, on_commit=True)
        assert broker.queue_size() == 0

    assert broker.queue_size() == 1


def test_the_setting_waits_for_the_commit_unless_the_call_says_no(settings, broker):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", "on_commit": True}

    async_task("math.floor", 1.5, broker=broker)
    assert broker.queue_size() == 0

    async_task("math.floor", 1.5, broker=broker, on_commit=False)
    assert broker.queue_size() == 1


@pytest.mark.django_db(transaction=True)
def test_on_commit_sends_nothing_when_the_transaction_is_rolled_back(broker):
    with transaction.atomic():
        async_task("math.floor", 1.5, broker=broker, on_commit=True)
        transaction.set_rollback(True)

    assert broker.queue_size() == 0


@pytest.mark.django_db(transaction=True)
def test_on_commit_outside_a_transaction_sends_at_once(broker):
    async_task("math.floor", 1.5, broker=broker, on_commit=True)

    assert broker.queue_size() == 1


@pytest.mark.django_db(transaction=True)
def test_without_on_commit_a_task_in_the_same_database_comes_and_goes_with_the_transaction():
    with transaction.atomic():
        async_task("math.floor", 1.5)
        transaction.set_rollback(True)

    assert queue_size() == 0


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
@pytest.mark.skipif("postgres" not in connections, reason="PostgreSQL does not answer")
def test_on_commit_waits_for_the_brokers_database_as_well(broker):
    broker.database = "postgres"

    with transaction.atomic(using="postgres"):
        with transaction.atomic():
            async_task("math.floor", 1.5, broker=broker, on_commit=True)
        assert broker.queue_size() == 0

    assert broker.queue_size() == 1


@pytest.mark.django_db(transaction=True, databases=["default", "postgres"])
@pytest.mark.skipif("postgres" not in connections, reason="PostgreSQL does not answer")
def test_on_commit_waits_for_the_default_database_where_the_broker_has_another(broker):
    broker.database = "postgres"

    with transaction.atomic():
        async_task("math.floor", 1.5, broker=broker, on_commit=True)
        assert broker.queue_size() == 0

    assert broker.queue_size() == 1


# Results.


@pytest.mark.parametrize("key", [ID, uuid.UUID(ID), "a-name"])
def test_a_result_is_found_by_id_and_by_name(key):
    keep("the result")

    assert result(key) == "the result"
    assert fetch(key).id == ID


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
@pytest.mark.parametrize("wait", [0, 60_000, -1])
def test_a_result_that_is_false_is_given_at_once(value, wait):
    keep(value)

    assert result(ID, wait) == value
    assert fetch(ID, wait).result == value


def test_the_result_of_a_failure_is_its_line():
    keep("ValueError: no", success=False)

    assert result(ID) == "ValueError: no"


def test_the_newest_of_a_name_counts():
    keep("old", task_id="1" * 32, day=1)
    keep("new", task_id="2" * 32, day=3)
    keep("between", task_id="3" * 32, day=2)

    assert result("a-name") == "new"


@pytest.mark.parametrize("key", [ID, uuid.UUID(ID), "a-name"])
@pytest.mark.parametrize("wait", [0, 3])
def test_what_is_not_there_is_none(key, wait):
    assert result(key, wait) is None
    assert fetch(key, wait) is None


@pytest.mark.parametrize("key", [ID, "a-name"])
def test_a_look_is_one_query(key, django_assert_num_queries):
    keep("the result")

    with django_assert_num_queries(1):
        result(key)


def test_a_wait_goes_on_until_the_outcome_is_there():
    looks = []

    def outcome_before_the_third_look(execute, sql, *rest):
        if sql.startswith("SELECT"):
            looks.append(sql)
            if len(looks) == 3:
                keep("late")
        return execute(sql, *rest)

    with connection.execute_wrapper(outcome_before_the_third_look):
        assert result(ID, wait=-1) == "late"

    assert len(looks) == 3


def test_queue_size_asks_the_broker_that_it_is_given(broker):
    assert queue_size(broker) == 0

    async_task("math.floor", 1.5, broker=broker)

    assert queue_size(broker) == 1
    assert queue_size() == 0


def test_the_functions_can_be_imported_before_django_is_set_up():
    code = "from djq.tasks import async_task, fetch, queue_size, result"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
