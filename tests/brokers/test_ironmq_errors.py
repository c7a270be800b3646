"""What goes wrong with the broker at IronMQ: nothing is sent twice, and no error of its library comes out."""

from __future__ import annotations

import json
import socket
from datetime import timedelta

import pytest
from requests import ReadTimeout
from urllib3.exceptions import LocationParseError

from djq.brokers.ironmq import IronMqBroker
from djq.brokers.ironmq_client import read_server
from djq.components.sealing import send_packages
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq_testing.clock import ManualClock
from djq_testing.fakes.ironmq import IronMqService, make_fake
from tests.brokers.ironmq_parts import (
    AWAY,
    HERE,
    SOON_SECONDS,
    VERBS,
    Answering,
    hearing,
)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def service(clock):
    return IronMqService(clock)


@pytest.fixture
def broker(service):
    return make_fake("q", service=service, retry_seconds=60)


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


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "error", [ReadTimeout("slow"), LocationParseError("odd"), ConnectionResetError("gone")]
)
def test_no_error_of_a_library_beneath_comes_out(verb, error):
    adapter = Answering(200, "{}")
    adapter.raises = error

    with pytest.raises(BrokerUnavailable, match=f"queue 'q': {type(error).__name__}"):
        VERBS[verb](hearing(adapter))


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


def test_batch_that_is_refused_in_part_is_taken_back_by_one_request(broker, service):
    answer = service.answer
    service.answer = lambda *request: (
        (413, {"msg": "Message is too large"}) if len(request[2]) > 65_536 else answer(*request)
    )

    with pytest.raises(TaskRefused):
        broker.enqueue_many(["a", "b", "x" * 70_000])

    assert service.asked[-2:] == ["POST messages", "DELETE messages"]


def test_batch_that_is_refused_in_part_is_refused_even_where_it_cannot_be_taken_back(
    broker, service
):
    answer, told = service.answer, []

    def answering(*request):
        if told or len(request[2]) > 65_536:
            told.append(request[0])
            return (413 if len(told) == 1 else 503), {"msg": "Message is too large"}
        return answer(*request)

    service.answer = answering

    with pytest.raises(TaskRefused, match="413") as caught:
        broker.enqueue_many([*map(str, range(150)), "x" * 70_000])

    assert told == ["POST", "DELETE"]
    # Of the first hundred nobody knows whether they were taken back.
    assert list(caught.value.sent) == list(range(100, 150))


@pytest.mark.parametrize("verb", ["enqueue_many", "enqueue_later"])
@pytest.mark.parametrize("calls", [0, 2])
def test_service_that_goes_in_the_midst_of_a_batch_is_told_with_what_was_sent(
    broker, service, verb, calls
):
    broker.enqueue("before")
    answer, asked = service.answer, []

    def answering(*request):
        asked.append(request[0])
        return answer(*request) if len(asked) <= calls else (503, {"msg": "Busy"})

    service.answer = answering
    delay = (5,) if verb == "enqueue_later" else ()

    with pytest.raises(BrokerUnavailable, match="503: Busy") as caught:
        getattr(broker, verb)([str(number) for number in range(250)], *delay)

    assert asked == ["POST"] * (calls + 1)
    assert list(caught.value.sent) == list(range(100 * calls))
    assert ("200 of 250 packages were sent" in str(caught.value)) is bool(calls)


def test_rest_of_a_batch_is_sent_once_the_service_is_back(broker, service):
    answer, answers = service.answer, [True, False, True]
    broker.enqueue("before")
    service.answer = lambda *request: answer(*request) if answers.pop(0) else (503, {"msg": "Busy"})
    tasks = [str(number) for number in range(150)]

    with pytest.raises(BrokerUnavailable) as caught:
        send_packages(broker, tasks)
    send_packages(broker, [task for at, task in enumerate(tasks) if at not in caught.value.sent])

    service.answer = answer
    assert broker.queue_size() == 151


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
