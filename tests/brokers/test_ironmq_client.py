"""From the setting `iron_mq` to a client: which options there are, and how the client uses the network."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from contextlib import suppress

import pytest
from django.core.checks import run_checks
from requests import Response
from requests.adapters import BaseAdapter

from djq import assembly, checks
from djq.brokers.ironmq import IronMqBroker
from djq.brokers.ironmq_client import read_server
from djq.conf import get_config
from djq.exceptions import BrokerUnavailable, ConfigError
from djq.runtime.clock import SystemClock
from djq.wiring import wired
from djq_testing.clock import ManualClock
from djq_testing.contract.delivered import packages
from djq_testing.fakes.ironmq import IronMqService, connector, make_fake
from tests.brokers.ironmq_parts import (
    AWAY,
    HERE,
    VERBS,
    Answering,
    hearing,
    over_http,
)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def service(clock):
    return IronMqService(clock)


KEYSTONE = {"server": "http://keys/v2.0", "tenant": "t", "username": "u", "password": "hunter2"}


def test_what_the_settings_do_not_say_is_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("IRON_MQ_HOST", "mq.example.com")

    assert read_server(HERE)().client.host == "mq.example.com"
    assert read_server({**HERE, "host": "ours"})().client.host == "ours"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({}, "lacks 'project_id'. .*iron.json, .*IRON_MQ_PROJECT_ID"),
        ({"token": "hunter2"}, "lacks 'project_id'. "),
        ({"project_id": "p"}, "lacks 'token', or 'keystone' in its place, a dict of 'server', "),
        ({"project_id": "p", "keystone": {"password": "hunter2"}}, "'keystone'. has to be a dict"),
        ({"project_id": "p", "keystone": {}}, "'server' .a URL., 'tenant', 'username' and 'pass"),
        ({**HERE, "keystone": "hunter2"}, "'keystone'. has to be a dict"),
        ({**HERE, "keystone": {**KEYSTONE, "server": "hunter2"}}, "'keystone'. has to be a dict"),
        ({**HERE, "keystone": {**KEYSTONE, "server": 5}}, "'keystone'. has to be a dict"),
        ({**HERE, "keystone": {**KEYSTONE, "username": ""}}, "'keystone'. has to be a dict"),
        ({**HERE, "timeout": 5}, "not known: 'timeout'. .* http_timeout"),
        ({**HERE, "hots": "hunter2"}, "not known: 'hots'. There are host, project_id, "),
        ({**HERE, "host": 5}, "'host'. has to be text"),
        ({**HERE, "host": "https://hunter2@host"}, "'host'. .* name of a host alone"),
        ({**HERE, "host": "http://host/path"}, "'host'. .* name of a host alone"),
        ({**HERE, "host": "host:70000"}, "'host'. .* 'port' is an option too"),
        ({**HERE, "host": "a b"}, "'host'. .* name of a host alone"),
        ({**HERE, "cloud": "https://somebody:hunter2@host"}, "'cloud'. .* without a user"),
        ({**HERE, "cloud": "host"}, "'cloud'. has to be a URL"),
        ({**HERE, "cloud": "ftp://host"}, "'cloud'. has to be a URL"),
        ({**HERE, "cloud": "https://host:70000"}, "'cloud'. has to be a URL"),
        ({**HERE, "cloud": "https://host:0"}, "'cloud'. has to be a URL"),
        ({**HERE, "cloud": "https://"}, "'cloud'. has to be a URL"),
        ({**HERE, "config_file": "hunter2.json"}, "'config_file'. has to be the path of a file"),
        ({**HERE, "path_prefix": "mq"}, "'path_prefix'. has to begin with a slash"),
        ({**HERE, "path_prefix": "/mq/"}, "'path_prefix'. .* not to end with one"),
        ({**HERE, "protocol": "ftp"}, "'https' or 'http'"),
        ({**HERE, "protocol": 5}, "'protocol'. has to be text"),
        *[
            ({**HERE, "port": port}, "'port'. has to be a number from 1 to 65535")
            for port in (0, -1, 65_536, 443.0, True, [], "http", "", "²", "9" * 5_000, 10**5_000)
        ],
        ({**HERE, "api_version": 2}, "has to be 3"),
        ({**HERE, "api_version": 3.0}, "has to be 3"),
        ({**HERE, "project_id": "../q"}, "the id alone"),
        ({"project_id": "p", "token": "hunter2\n"}, "it is not shown"),
        ({"project_id": "p", "token": "hunter2 ü"}, "it is not shown"),
        ({**HERE, "http_timeout": 0}, "'http_timeout'. has to be a number"),
        ({**HERE, "http_timeout": True}, "'http_timeout'. has to be a number"),
        ({**HERE, "lease_seconds_min": []}, "'lease_seconds_min'. has to be a number"),
        ({**HERE, "http_timeout": "5"}, "'http_timeout'. has to be a number"),
        ({**HERE, "message_expiration": 2_592_001}, "2,592,000 seconds at most"),
    ],
)
def test_wrong_option_is_told_and_no_token(setting, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_server(setting)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "setting",
    [
        {"port": "1"},
        {"port": 65_535},
        {"api_version": "3", "path_prefix": ""},
        {"path_prefix": "/mq", "protocol": None},
        {"cloud": "https://host:8080/mq"},
        {"cloud": "http://host/"},
    ],
)
def test_option_that_iron_mq_can_use_is_taken(setting):
    assert read_server({**HERE, **setting})().client.base_url.endswith("/3/projects/p/")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ('{"port": "hunter2"}', "'port'. has to be a number .*; it is from a file iron.json"),
        ('{"protocol": []}', "'protocol'. has to be 'https' or 'http'; it is from a file"),
        ('{"cloud": "hunter2"}', "'cloud'. has to be a URL"),
        ('{"cloud": "http://h:hunter2"}', r"beside Q_CLUSTER.* iron\.json here or"),
        (
            '{"keystone": {"password": "hunter2"}}',
            "lacks a part of 'keystone', a dict of 'server', ",
        ),
        ('{"keystone": "hunter2"}', r"beside Q_CLUSTER.* iron\.json here or"),
        ('["hunter2"]', r"beside Q_CLUSTER.* iron\.json here or"),
    ],
)
def test_what_is_wrong_in_a_file_is_looked_for_there(tmp_path, monkeypatch, file, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iron.json").write_text(file)

    with pytest.raises(ConfigError, match=words) as caught:
        read_server(HERE)

    assert "hunter2" not in str(caught.value)


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


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ({}, {"message_expiration": 2_592_000}),
        ({"message_expiration": 59.5}, {"message_expiration": 60}),
        ({"message_expiration": None}, {}),
    ],
)
def test_settings_say_how_long_messages_are_kept(settings, setting, options):
    settings.Q_CLUSTER = {"iron_mq": {**HERE, **setting}}

    assert assembly.make_broker(get_config())._queue_options == options


def test_version_of_the_api_is_djq_s_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("IRON_MQ_API_VERSION", "1")

    assert read_server(HERE)().client.base_url.endswith("/3/projects/p/")


@pytest.mark.parametrize(("clock", "waits"), [(None, True), (ManualClock(), False)])
def test_settings_choose_the_broker_and_connect_to_nothing(settings, clock, waits):
    settings.Q_CLUSTER = {"name": "reports", "iron_mq": AWAY}
    with wired(clock=clock):
        broker = assembly.make_broker(get_config())

    assert type(broker) is IronMqBroker
    assert (broker.list_key, broker.blocks) == ("reports", waits)
    assert broker.info() == "IronMQ v3 at 127.0.0.1"


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


# The client.


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


@pytest.mark.parametrize("status", [301, 302, 307])
def test_redirection_is_not_followed(status):
    adapter = Answering(status, "{}")
    adapter.location = "http://ironmq.invalid/elsewhere"

    with pytest.raises(BrokerUnavailable, match=f"{status}"):
        hearing(adapter).queue_size()

    assert len(adapter.asked) == 1


def test_line_of_netrc_does_not_take_the_place_of_the_token(tmp_path, service, monkeypatch):
    (tmp_path / "netrc").write_text("machine ironmq.invalid login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    assert make_fake("q", service=service, retry_seconds=60).queue_size() == 0


def test_connections_are_let_go_of():
    adapter = Answering(503, "{}")
    broker = hearing(adapter)
    assert broker.ping() is False

    broker.close()

    assert adapter.closed


class Keystone(BaseAdapter):
    """Gives out tokens, one after another."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.told = []
        self.location = None

    def send(self, request, **options):
        self.asked.append((request.method, request.url, options["timeout"]))
        self.told.append(json.loads(request.body)["auth"])
        response = Response()
        response.status_code, response.request, response.url = 200, request, request.url
        if self.location:
            response.status_code, response.headers["Location"] = 307, self.location
        token = {"id": f"token {len(self.asked)}"}
        response._content = json.dumps({"access": {"token": token}}).encode()
        return response

    def close(self):
        pass


def with_keystone(service, keystone, **setting):
    """A broker at this service whose tokens are from this keystone."""

    def connect():
        options = {"project_id": "project", "host": "ironmq.invalid", "protocol": "http"}
        client = read_server({**options, "keystone": {**KEYSTONE, **setting}})()
        adapters = connector(service)().client.session.adapters
        client.client.session.mount("http://ironmq.invalid", adapters["http://"])
        client.client.session.mount("http://keys", keystone)
        return client

    return IronMqBroker("q", connect=connect, retry_seconds=60, wait_seconds=0)


def test_keystone_lends_tokens_and_is_asked_again_when_one_has_run_out(service):
    service.token = "token 1"
    keystone = Keystone()
    broker = with_keystone(service, keystone)
    broker.enqueue("a")
    broker.enqueue("b")
    service.token = "token 2"
    broker.enqueue("c")

    assert packages(broker.dequeue(5)) == ["a", "b", "c"]
    credentials = {"username": "u", "password": "hunter2"}
    assert keystone.told == [{"tenantName": "t", "passwordCredentials": credentials}] * 2


@pytest.mark.parametrize("server", ["http://keys/v2.0", "http://keys/v2.0/"])
def test_keystone_is_asked_once_and_not_for_ever_and_is_not_followed_elsewhere(service, server):
    keystone = Keystone()
    keystone.location = "http://keys/elsewhere"

    with pytest.raises(BrokerUnavailable, match="307"):
        with_keystone(service, keystone, server=server).queue_size()

    assert keystone.asked == [("POST", "http://keys/v2.0/tokens", (5.0, 6.0))]


def test_broker_can_be_pickled_and_does_not_show_its_token():
    with over_http(IronMqService(SystemClock()), wait_seconds=0) as (broker, _):
        broker.enqueue("x")
        another = pickle.loads(pickle.dumps(broker))

        assert packages(another.dequeue()) == ["x"]
        another.close()
    assert "hunter2" not in repr(read_server(HERE))
