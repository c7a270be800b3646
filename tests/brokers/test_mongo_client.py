"""From settings to a client of pymongo, and the broker that is made of them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.core.checks import run_checks

from djq import assembly, checks
from djq.brokers.mongo import MongoBroker
from djq.brokers.mongo_client import read_server
from djq.conf import get_config
from djq.exceptions import ConfigError
from djq.runtime.clock import SystemClock
from djq.wiring import wired
from djq_testing.clock import ManualClock

NOWHERE = {"host": "127.0.0.1", "port": 1, "connect": False}
URI = "mongodb://u:p%2Fw@127.0.0.1:1/queues"


@contextmanager
def client_of(setting):
    """A client that has not connected."""
    given = {"host": setting} if isinstance(setting, str) else setting
    client = read_server({"connect": False, **given})().client
    yield client
    client.close()


def database_of(setting, mongo_db=None):
    given = {"host": setting} if isinstance(setting, str) else setting
    database = read_server({"connect": False, **given}, mongo_db)()
    database.client.close()
    return database.name


@pytest.mark.parametrize(
    ("setting", "mongo_db", "name"),
    [
        ({"host": "127.0.0.1", "port": 1}, None, "django-q"),
        ({}, None, "django-q"),
        ({}, "ours", "ours"),
        (URI, None, "queues"),
        ({"host": URI}, "ours", "ours"),
        ("mongodb://127.0.0.1:1", None, "django-q"),
    ],
)
def test_database_is_the_setting_s_or_the_uri_s_or_that_of_the_manual(setting, mongo_db, name):
    assert database_of(setting, mongo_db) == name


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"retryWrites": True, "retryReads": True},
        {"retrywrites": True},
        "mongodb://127.0.0.1:1/?retryWrites=true&retryReads=true",
    ],
)
def test_client_never_repeats_a_command(setting):
    with client_of(setting) as client:
        assert (client.options.retry_writes, client.options.retry_reads) == (False, False)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, (5, 5, 5)),
        ({"socketTimeoutMS": 300, "serverselectiontimeoutms": 700}, (0.7, 5, 0.3)),
        ("mongodb://127.0.0.1:1/?connecttimeoutms=400&socketTimeoutMS=300", (5, 0.4, 0.3)),
    ],
)
def test_silent_server_is_given_up_unless_the_settings_say_otherwise(setting, expected):
    with client_of(setting) as client:
        options = client.options
        pool = options.pool_options
        made = (options.server_selection_timeout, pool.connect_timeout, pool.socket_timeout)

    assert made == expected


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"hots": "hunter2"}, "Unknown option:? hots"),
        ({"hots": "", "username": ""}, "Unknown option:? hots"),
        ({"hots": "o"}, "Unknown option:? hots"),
        ({"username": "", "maxPoolSize": "hunter2"}, "maxPoolSize must be an integer"),
        ({"port": "hunter2"}, "port must be an instance of int"),
        ({"password": 5}, "password, value must be an instance of str"),
        ({"authMechanism": "hunter2"}, "authMechanism must be in"),
        ({"readPreference": "hunter2"}, "nearest|does not take"),
        ({"uuidRepresentation": "hunter2"}, "does not take: ValueError"),
        ({"host": "http://u:hunter2@h"}, "percent-encoded"),
        ("mongodb://u:hun/ter2@h", "percent-encoded"),
        ("mongodb://u:hunter2@h:99999", "percent-encoded"),
        ({"host": "mongodb://h", "authMechanism": "hunter2"}, "percent-encoded"),
        ("mongodb://u:hunter2@h/?w=0", "w=0"),
        ({"w": 0, "password": "hunter2", "username": "u"}, "w=0"),
        ({"host": "mongodb+srv://u:hunter2@h", "hots": 1}, "hots|percent-encoded"),
    ],
)
def test_wrong_option_is_told_and_no_password(setting, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_server(setting)

    assert "hunter2" not in str(caught.value)
    assert "ter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["a b", "a.b", "a/b", "$a"])
def test_wrong_name_of_a_database_is_told(name):
    with pytest.raises(ConfigError, match=r"'mongo_db'\] = '.*cannot be the name"):
        read_server({}, name)


def test_name_that_only_a_name_server_knows_is_not_looked_up():
    server = read_server("mongodb+srv://u:p@no.such.host.invalid/queues?retryWrites=true")

    assert server.options["host"].startswith("mongodb+srv://")


def test_server_can_be_pickled_and_does_not_show_its_password():
    server = read_server({**NOWHERE, "username": "u", "password": "hunter2"}, "ours")

    assert pickle.loads(pickle.dumps(server)) == server
    assert "hunter2" not in repr(server)


# One client for all.


def connected(setting):
    return read_server({"connect": False, **setting})()


def test_all_threads_with_the_same_options_share_a_client():
    together = threading.Barrier(4, timeout=10)

    def connect(_number):
        together.wait()
        return connected(NOWHERE)

    with ThreadPoolExecutor(4) as threads:
        databases = list(threads.map(connect, range(4)))
    other = connected({**NOWHERE, "port": 2})

    clients = [database.client for database in databases]
    assert all(client is clients[0] for client in clients)
    assert other.client is not clients[0]
    for client in (*clients, other.client):
        client.close()


def test_two_databases_share_a_client():
    ours, theirs = (read_server(NOWHERE, name)() for name in ("ours", "theirs"))

    assert ours.client is theirs.client
    assert (ours.name, theirs.name) == ("ours", "theirs")
    ours.client.close()
    theirs.client.close()


def test_client_ends_with_the_last_who_closes_it_and_is_made_anew_then(settings):
    first, second = made(settings, mongo=NOWHERE), made(settings, mongo=NOWHERE)
    client = first._connected().client
    second._connected()

    first.close()
    first.close()
    still = first._connected().client is client
    first.close()
    second.close()
    anew = first._connected().client
    first.close()

    assert still
    assert anew is not client


# The broker that is made.


def made(settings, **q_cluster):
    settings.Q_CLUSTER = {"name": "q", **q_cluster}
    return assembly.make_broker(get_config())


@pytest.mark.parametrize("setting", [{}, NOWHERE, URI])
def test_settings_choose_the_broker(settings, setting):
    broker = made(settings, mongo=setting, retry=7)

    assert type(broker) is MongoBroker
    assert (broker.list_key, broker.blocks, broker._lease) == ("q", False, 7_000_000)


def test_server_s_time_is_counted_on_by_the_host_s_clock(settings):
    broker = made(settings, mongo=NOWHERE)

    assert broker._clock is None
    assert isinstance(broker._server_time._host, SystemClock)


def test_clock_that_stands_in_is_the_leases_own(settings):
    clock = ManualClock()
    with wired(clock=clock):
        broker = made(settings, mongo=NOWHERE)

    assert broker._clock is clock


@pytest.mark.parametrize(
    "q_cluster",
    [
        {"mongo": {"hots": 1}},
        {"mongo": "mongodb://h:99999"},
        {"mongo": {}, "mongo_db": "a b"},
    ],
)
def test_checks_tell_of_wrong_options(settings, q_cluster):
    settings.Q_CLUSTER = q_cluster

    assert [message.id for message in run_checks(tags=[checks.TAG])] == ["djq.E012"]


@pytest.mark.parametrize("setting", [{"host": "127.0.0.1", "port": 1}, URI])
def test_checks_connect_to_nothing(settings, setting):
    settings.Q_CLUSTER = {"mongo": setting}

    assert run_checks(tags=[checks.TAG]) == []


def test_missing_library_is_told_with_the_extra():
    code = (
        "import sys; sys.modules['pymongo'] = sys.modules['bson'] = None\n"
        "from django.conf import settings\n"
        "settings.configure(Q_CLUSTER={'mongo': {}}, INSTALLED_APPS=['djq'])\n"
        "import django; django.setup()\n"
        "from django.core.checks import run_checks\n"
        "(message,) = run_checks(tags=['djq'])\n"
        "print(message.id, message.msg)"
    )

    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert told.stdout.startswith("djq.E012 The broker that Q_CLUSTER chooses needs the package")
    assert "pip install 'djq[mongo]'" in told.stdout
