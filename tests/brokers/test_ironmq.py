"""What the broker at IronMQ does beyond the contract: its settings, errors, waiting, and what it costs."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from django.core.checks import run_checks
from requests import Response
from requests.adapters import BaseAdapter

from djq import assembly, checks
from djq.brokers.ironmq import IronMqBroker
from djq.brokers.ironmq_client import read_server
from djq.conf import get_config
from djq.exceptions import BrokerUnavailable, ConfigError, TaskRefused
from djq.runtime.clock import SystemClock
from djq.wiring import wired
from djq_testing.clock import ManualClock
from djq_testing.fakes.ironmq import IronMqService, connector, make_fake
from djq_testing.fakes.ironmq_server import serve

HERE = {"token": "hunter2", "project_id": "p"}
AWAY = {**HERE, "host": "127.0.0.1", "port": 1, "protocol": "http"}
LONG_SECONDS = 8
"""A wait that no test waits for."""
SOON_SECONDS = 2.0


def packages(taken):
    return [package for _, package in taken]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def service(clock):
    return IronMqService(clock)


@pytest.fixture
def broker(service):
    return make_fake("q", service=service, retry_seconds=60)


@contextmanager
def over_http(service, **options):
    """A broker that goes to this service through a socket."""
    with serve(service) as server:
        connect = read_server({**server.options, "http_timeout": SOON_SECONDS})
        broker = IronMqBroker("q", connect=connect, retry_seconds=60, **options)
        yield broker, server
        broker.close()


class Answering(BaseAdapter):
    """Says one thing to every request, and what it was asked."""

    def __init__(self, status, text, kind="application/json"):
        super().__init__()
        self.asked = []
        self.location = None
        self._status, self._text, self._kind = status, text, kind

    def send(self, request, **options):
        self.asked.append((request.method, request.url, options["timeout"]))
        response = Response()
        response.status_code, response._content = self._status, self._text.encode()
        response.reason, response.url, response.request = "Of its own", request.url, request
        if self.location:
            response.headers["Location"] = self.location
        if self._kind:
            response.headers["Content-Type"] = self._kind
        return response

    def close(self):
        pass


def hearing(adapter):
    """A broker whose service is this adapter."""

    def connect():
        client = read_server({**HERE, "protocol": "http", "host": "ironmq.invalid"})()
        client.client.session.mount("http://", adapter)
        return client

    return IronMqBroker("q", connect=connect, retry_seconds=60)


VERBS = {
    "enqueue": lambda broker: broker.enqueue("x"),
    "enqueue_later": lambda broker: broker.enqueue_later(["x"], 5),
    "dequeue": lambda broker: broker.dequeue(),
    "acknowledge": lambda broker: broker.acknowledge("1:a"),
    "acknowledge_many": lambda broker: broker.acknowledge_many(["1:a", "2:b"]),
    "extend": lambda broker: broker.extend("1:a"),
    "extend_many": lambda broker: broker.extend_many(["1:a", "2:b"]),
    "release": lambda broker: broker.release("1:a"),
    "fail": lambda broker: broker.fail("1:a"),
    "delete": lambda broker: broker.delete("1"),
    "purge_queue": lambda broker: broker.purge_queue(),
    "delete_queue": lambda broker: broker.delete_queue(),
    "queue_size": lambda broker: broker.queue_size(),
}
"""Everything that can be asked of a broker."""


# Errors.


def test_service_that_is_away_is_unavailable():
    broker = IronMqBroker("q", connect=read_server(AWAY), retry_seconds=60)

    for verb in VERBS.values():
        with pytest.raises(
            BrokerUnavailable, match=r"queue 'q': ConnectionError.*127\.0\.0\.1"
        ) as caught:
            verb(broker)
        assert "hunter2" not in str(caught.value)
    assert broker.ping() is False


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
def test_every_error_is_unavailable_with_the_service_s_words_and_asked_for_once(status):
    adapter = Answering(status, '{"msg": "Not now"}')

    with pytest.raises(BrokerUnavailable, match=f"'q': {status}: Not now") as caught:
        hearing(adapter).dequeue()

    assert len(adapter.asked) == 1, "the client repeats nothing"
    assert ("'token' and 'project_id'" in str(caught.value)) is (status in {401, 403})


@pytest.mark.parametrize("status", [503, 504])
def test_message_is_never_sent_twice_to_a_busy_service(status):
    adapter = Answering(status, "{}")
    broker = hearing(adapter)
    broker._told_to_keep = True

    with pytest.raises(BrokerUnavailable, match=f"{status}: Of its own"):
        broker.enqueue("x")

    assert [(method, url) for method, url, _ in adapter.asked] == [
        ("POST", "http://ironmq.invalid:443/3/projects/p/queues/q/messages")
    ]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (200, "<html>", "text/html"),
        (200, "[]", "application/json"),
        (200, '{"messages": [{}], "ids": [], "queue": {}}', "application/json"),
        (200, "{}", None),
        (302, "", "text/html"),
        (404, "<html>", "text/html"),
    ],
)
def test_answer_that_is_none_of_the_service_s_is_unavailable_or_no_matter(verb, status, text, kind):
    broker = hearing(Answering(status, text, kind))
    heedless = status == 200 and verb in {"purge_queue", "delete_queue"}

    if heedless and kind:
        VERBS[verb](broker)
    else:
        with pytest.raises(BrokerUnavailable):
            VERBS[verb](broker)


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirection_is_not_followed(status):
    adapter = Answering(status, "{}")
    adapter.location = "http://ironmq.invalid/elsewhere"

    with pytest.raises(BrokerUnavailable, match=f"{status}"):
        hearing(adapter).queue_size()

    assert len(adapter.asked) == 1


@pytest.mark.parametrize("status", [400, 413])
def test_what_the_service_never_takes_is_refused(status):
    broker = hearing(Answering(status, '{"msg": "Too much"}'))
    broker._told_to_keep = True

    with pytest.raises(TaskRefused, match=f"{status}: Too much"):
        broker.enqueue("x")


def test_larger_message_than_a_request_holds_is_refused_before_it_is_sent(broker, service):
    for large in ("x" * 262_001, "ä" * 50_000):
        with pytest.raises(TaskRefused, match="IronMQ takes 262,000"):
            broker.enqueue_many(["small", large])

    assert service.asked == []
    broker.enqueue("x" * 262_000)
    assert len(broker.dequeue()[0][1]) == 262_000


@pytest.mark.parametrize("taken", [0, 1])
def test_batch_that_is_refused_in_part_is_taken_back_but_for_what_somebody_has(
    broker, service, taken
):
    tasks = [f"t{number}" for number in range(150)]
    answer = service.answer

    def answering(*request):
        if len(request[2]) > 65_536:
            return 413, {"msg": "Message is too large"}
        told = answer(*request)
        if taken and told[0] == 201 and service.lent("q") < taken:
            make_fake("q", service=service, retry_seconds=60).dequeue(taken)
        return told

    service.answer = answering

    with pytest.raises(TaskRefused, match="too large"):
        broker.enqueue_many([*tasks, "x" * 70_000, "y"])

    assert (broker.queue_size(), broker.lock_size()) == (0, taken)


def test_delay_of_more_than_a_week_is_refused_before_it_is_sent(broker, service):
    with pytest.raises(TaskRefused, match="604,801 were asked for"):
        broker.enqueue_later(["x"], 604_800.5)

    assert service.asked == []
    broker.enqueue_later(["x"], 604_800)
    assert service.next_available("q") == service.clock.now() + timedelta(days=7)


def test_settings_that_are_in_a_file_that_is_gone_are_unavailable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iron.json").write_text(json.dumps(HERE))
    broker = IronMqBroker("q", connect=read_server({}), retry_seconds=60)
    (tmp_path / "iron.json").unlink()

    with pytest.raises(BrokerUnavailable, match=r"iron\.json"):
        broker.queue_size()


def test_silent_service_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = read_server({**AWAY, "port": silent.getsockname()[1]})()
        client.client.timeouts = (SOON_SECONDS, 0.05)
        broker = IronMqBroker("q", connect=lambda: client, retry_seconds=60)

        with pytest.raises(BrokerUnavailable, match="ReadTimeout"):
            broker.dequeue()
        broker.close()


@pytest.mark.parametrize(("setting", "seconds"), [({}, 5.0), ({"http_timeout": 2}, 2)])
def test_service_is_given_a_second_more_to_answer_than_to_connect(setting, seconds):
    assert read_server({**HERE, **setting})().client.timeouts == (seconds, seconds + 1)


def test_every_request_has_an_end():
    adapter = Answering(200, "{}")
    broker = hearing(adapter)

    for verb in VERBS.values():
        with suppress(BrokerUnavailable):
            verb(broker)

    assert {timeout for *_, timeout in adapter.asked} == {(5.0, 6.0)}


def test_line_of_netrc_does_not_take_the_place_of_the_token(tmp_path, service, monkeypatch):
    (tmp_path / "netrc").write_text("machine ironmq.invalid login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    assert make_fake("q", service=service, retry_seconds=60).queue_size() == 0


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

    changed = broker.extend_many(held)

    assert list(changed) == held[:2]
    broker.acknowledge_many(changed.values())
    broker.acknowledge(held[2])
    assert broker.service.queues["q"].messages == {}


def test_lease_that_cannot_be_extended_keeps_none_of_the_others_from_it(broker, service):
    broker.enqueue_many(["a", "b", "c"])
    held = [receipt for receipt, _ in broker.dequeue(3)]
    answer, trouble = service.answer, f"/{held[0].partition(':')[0]}/touch"

    def answering(*request):
        return (500, {"msg": "Internal"}) if trouble in request[1] else answer(*request)

    service.answer = answering

    assert list(broker.extend_many(held)) == held[1:]
    with pytest.raises(BrokerUnavailable, match="500: Internal"):
        broker.extend_many(held[:1])


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
    broker.dequeue()

    assert broker.next_available() == clock.now() + timedelta(seconds=seconds)


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
    assert service.asked == ["POST messages", "POST reservations"]


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


def test_large_packages_are_sent_in_requests_that_every_plan_takes(broker, service):
    broker.enqueue_many(["x" * 30_000] * 5)

    assert service.asked.count("POST messages") == 3
    assert broker.queue_size() == 5


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


def test_broker_can_be_pickled_and_does_not_show_its_token():
    with over_http(IronMqService(SystemClock()), wait_seconds=0) as (broker, _):
        broker.enqueue("x")
        another = pickle.loads(pickle.dumps(broker))

        assert packages(another.dequeue()) == ["x"]
        another.close()
    assert "hunter2" not in repr(read_server(HERE))


# Settings.


def test_what_the_settings_do_not_say_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("IRON_MQ_HOST", "mq.example.com")

    assert read_server(HERE)().client.host == "mq.example.com"
    assert read_server({**HERE, "host": "ours"})().client.host == "ours"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({}, "lacks 'project_id'"),
        ({"token": "hunter2"}, "lacks 'project_id'"),
        ({"project_id": "p"}, "or both 'token' and 'keystone'"),
        ({"project_id": "p", "keystone": {"password": "hunter2"}}, "tenant, username and password"),
        ({**HERE, "keystone": "hunter2"}, "'keystone'. has to be a dict"),
        ({**HERE, "hots": "hunter2"}, "not known: 'hots'. There are host, project_id, "),
        ({**HERE, "host": 5}, "'host'. has to be text"),
        ({**HERE, "host": "https://hunter2@host"}, "name of a host alone"),
        ({**HERE, "cloud": "https://somebody:hunter2@host"}, "without a user"),
        ({**HERE, "protocol": "ftp"}, "'https' or 'http'"),
        ({**HERE, "port": 0}, "1 to 65535"),
        ({**HERE, "port": "http"}, "1 to 65535"),
        ({**HERE, "api_version": 2}, "has to be 3"),
        ({**HERE, "project_id": "../q"}, "the id alone"),
        ({"project_id": "p", "token": "hunter2\n"}, "it is not shown"),
        ({"project_id": "p", "token": "hunter2 ü"}, "it is not shown"),
        ({**HERE, "http_timeout": 0}, "'http_timeout'. has to be a number"),
        ({**HERE, "http_timeout": "5"}, "'http_timeout'. has to be a number"),
        ({**HERE, "message_expiration": 2_592_001}, "2,592,000 seconds at most"),
    ],
)
def test_wrong_option_is_told_and_no_token(setting, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_server(setting)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("retry", [29.9, 5, 86_401])
def test_retry_that_is_no_lease_of_the_service_is_told(settings, retry):
    settings.Q_CLUSTER = {"iron_mq": HERE, "retry": retry, "timeout": 1}

    (message,) = run_checks(tags=[checks.TAG])

    assert message.id == "djq.E012"
    assert "lends a message for 30 to 86,400 seconds" in message.msg


def test_server_of_another_make_may_lend_for_less(settings):
    settings.Q_CLUSTER = {"iron_mq": {**HERE, "lease_seconds_min": 1}, "retry": 1.5, "timeout": 1}

    assert run_checks(tags=[checks.TAG]) == []
    assert assembly.make_broker(get_config())._lease == 2


@pytest.mark.parametrize(("clock", "waits"), [(None, True), (ManualClock(), False)])
def test_settings_choose_the_broker_and_connect_to_nothing(settings, clock, waits):
    settings.Q_CLUSTER = {"name": "reports", "iron_mq": AWAY}
    with wired(clock=clock):
        broker = assembly.make_broker(get_config())

    assert type(broker) is IronMqBroker
    assert (broker.list_key, broker.blocks) == ("reports", waits)
    assert broker.info() == "IronMQ v3 at 127.0.0.1"


class Keystone(BaseAdapter):
    """Gives out tokens, one after another."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def send(self, request, **_options):
        self.asked.append(json.loads(request.body)["auth"])
        response = Response()
        response.status_code = 200
        token = {"id": f"token {len(self.asked)}"}
        response._content = json.dumps({"access": {"token": token}}).encode()
        return response

    def close(self):
        pass


def test_keystone_lends_tokens_and_is_asked_again_when_one_has_run_out(service):
    service.token = "token 1"
    names = {"tenant": "t", "username": "u", "password": "hunter2"}
    connect, keystone = connector(service), Keystone()

    def with_keystone():
        options = {"project_id": "project", "host": "ironmq.invalid", "protocol": "http"}
        client = read_server({**options, "keystone": {"server": "http://keys/v2.0", **names}})()
        client.client.session.mount(
            "http://ironmq.invalid", connect().client.session.adapters["http://"]
        )
        client.client.session.mount("http://keys", keystone)
        return client

    broker = IronMqBroker("q", connect=with_keystone, retry_seconds=60, wait_seconds=0)
    broker.enqueue("a")
    broker.enqueue("b")
    service.token = "token 2"
    broker.enqueue("c")

    assert packages(broker.dequeue(5)) == ["a", "b", "c"]
    credentials = {"username": "u", "password": "hunter2"}
    assert keystone.asked == [{"tenantName": "t", "passwordCredentials": credentials}] * 2


def test_missing_library_is_told_with_the_extra():
    code = (
        "import sys; sys.modules['iron_core'] = None\n"
        "from django.conf import settings\n"
        "settings.configure(Q_CLUSTER={'iron_mq': {}}, INSTALLED_APPS=['djq'])\n"
        "import django; django.setup()\n"
        "from django.core.checks import run_checks\n"
        "(message,) = run_checks(tags=['djq'])\n"
        "print(message.id, message.msg)"
    )

    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert told.stdout.startswith(
        "djq.E012 The broker that Q_CLUSTER chooses needs the package iron_core,"
    )
    assert "pip install 'djq[ironmq]'" in told.stdout
