"""From settings to a client of redis-py, and which broker is made of them."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import redis
from django.core.checks import run_checks

from djq import assembly, checks
from djq.brokers.redis import RedisBroker
from djq.brokers.redis_cache import find_cache
from djq.brokers.redis_client import read_server
from djq.brokers.redis_leases import LeasingRedisBroker
from djq.conf import get_config
from djq.exceptions import BrokerUnavailable, ConfigError
from djq.wiring import wired
from djq_testing.clock import ManualClock
from tests.caches import REDIS_CACHES, REDIS_URL

MANUALS_DEFAULTS = {
    "host": "localhost",
    "port": 6379,
    "db": 0,
    "password": None,
    "socket_timeout": None,
    "charset": "utf-8",
    "errors": "strict",
    "unix_socket_path": None,
}


def arguments(setting):
    """What connections are made of."""
    return read_server(setting)().connection_pool.connection_kwargs


def test_settings_of_the_manual_are_taken():
    made = arguments(MANUALS_DEFAULTS)

    assert (made["host"], made["port"], made["db"]) == ("localhost", 6379, 0)
    assert (made["encoding"], made["encoding_errors"]) == ("utf-8", "strict")
    assert made["socket_timeout"] is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:7000/3", {"host": "h", "port": 7000, "db": 3}),
        (
            "redis://u:p%2Fw@h?socket_timeout=2",
            {"username": "u", "password": "p/w", "socket_timeout": 2.0},
        ),
        ("unix:///tmp/x.sock?db=2", {"path": "/tmp/x.sock", "db": 2}),
        ("rediss://h", {"host": "h", "ssl_cert_reqs": "required"}),
    ],
)
@pytest.mark.parametrize("form", ["text", "in a dict"])
def test_url_is_taken(url, expected, form):
    made = arguments(url if form == "text" else {"url": url, "receipts": True})

    assert {key: made[key] for key in expected} == expected


def test_tls_is_checked_against_certificates():
    pool = read_server("rediss://h")().connection_pool

    assert pool.connection_class is redis.SSLConnection


def test_dict_goes_before_its_url():
    assert arguments({"url": "redis://h:7000/3", "db": 5})["db"] == 5


@pytest.mark.parametrize(
    "setting", [{}, {"retry_on_timeout": True}, {"retry": None}, "redis://h?retry_on_timeout=1"]
)
def test_client_never_repeats_a_command(setting):
    connection = read_server(setting)().connection_pool.make_connection()

    assert connection.retry._retries == 0


def test_silent_server_is_given_up_unless_the_settings_say_otherwise():
    made = arguments({})

    assert (made["socket_timeout"], made["socket_connect_timeout"]) == (5.0, 5.0)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("http://:hunter2@h", "no URL of Redis"),
        ("redis://:hunter2/x@h", "percent-encoded"),
        ("redis://h?db=hunter2", "no URL of Redis"),
        ("hunter2", "no URL of Redis"),
        ({"url": 5}, "no URL of Redis"),
        ({"hots": "hunter2"}, "unexpected keyword argument 'hots'"),
        ({"sentinels": [("h", 1)], "password": "hunter2"}, "'service_name' together"),
        ({"service_name": "s"}, "'sentinels' and"),
        ({"sentinels": ["hunter2"], "service_name": "s"}, "list of .host, port."),
        ({"sentinels": 5, "service_name": "s"}, "list of .host, port."),
        ({"sentinel_kwargs": "hunter2"}, "'sentinel_kwargs'. has to be a dict"),
        ({"sentinel_kwargs": {"hots": "hunter2"}}, "'sentinel_kwargs'. has an .* 'hots'"),
        ({"cluster": True, "sentinels": [("h", 1)], "service_name": "s"}, "remove one"),
    ],
)
def test_wrong_option_is_told_and_no_password(setting, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_server(setting)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_server_can_be_pickled_and_does_not_show_its_password():
    server = read_server({"password": "hunter2"})

    assert pickle.loads(pickle.dumps(server)) == server
    assert "hunter2" not in repr(server)


def test_sentinels_name_the_server():
    client = read_server(
        {"sentinels": [("127.0.0.1", 1), ["127.0.0.1", "2"]], "service_name": "main", "db": 3}
    )()

    pool = client.connection_pool
    assert (pool.service_name, pool.is_master, pool.connection_kwargs["db"]) == ("main", True, 3)
    assert len(pool.sentinel_manager.sentinels) == 2
    assert pool.make_connection().retry._retries == 0


def test_sentinels_are_asked_once_and_have_options_of_their_own():
    client = read_server(
        {
            "sentinels": [("127.0.0.1", 1)],
            "service_name": "main",
            "password": "server's",
            "ssl": True,
            "sentinel_kwargs": {"password": "sentinel's", "socket_timeout": 2},
        }
    )()

    (sentinel,) = client.connection_pool.sentinel_manager.sentinels
    made = sentinel.connection_pool.connection_kwargs
    assert made["retry"].get_retries() == 0
    assert (made["password"], made["socket_timeout"]) == ("sentinel's", 2)
    assert made["socket_connect_timeout"] == 5.0
    assert sentinel.connection_pool.connection_class is redis.SSLConnection


def test_sentinels_that_are_away_are_told_in_few_words():
    setting = {
        "sentinels": [("127.0.0.1", 1)],
        "service_name": "main",
        "sentinel_kwargs": {"username": "hunter2", "password": "hunter2"},
    }
    broker = RedisBroker("q", connect=read_server(setting))

    with pytest.raises(
        BrokerUnavailable, match=r"No master found for 'main' : .*Connection"
    ) as caught:
        broker.enqueue("x")

    assert "<redis" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


# Which broker is made.


def made(settings, **q_cluster):
    settings.Q_CLUSTER = {"name": "q", **q_cluster}
    return assembly.make_broker(get_config())


@pytest.mark.parametrize(
    ("q_cluster", "kind"),
    [
        ({}, RedisBroker),
        ({"redis": {}}, RedisBroker),
        ({"redis": REDIS_URL}, RedisBroker),
        ({"redis": {"receipts": False}}, RedisBroker),
        ({"redis": {"receipts": True}}, LeasingRedisBroker),
        ({"redis": {"url": REDIS_URL, "receipts": True}}, LeasingRedisBroker),
    ],
)
def test_settings_choose_the_broker(settings, q_cluster, kind):
    broker = made(settings, **q_cluster)

    assert type(broker) is kind
    assert (broker.list_key, broker.blocks) == ("q", True)


def test_leases_last_as_long_as_the_settings_say(settings, redis_name):
    settings.Q_CLUSTER = {
        "name": redis_name,
        "retry": 0.2,
        "redis": {"url": REDIS_URL, "receipts": True},
    }
    broker = assembly.make_broker(get_config())
    broker.enqueue("x")

    attempts = [broker.dequeue()[0].attempt for _ in range(2)]

    assert attempts == [1, 2]


def test_clock_that_stands_in_is_the_leases_own_and_nobody_waits(settings):
    clock = ManualClock()
    with wired(clock=clock):
        broker = made(settings, redis={"receipts": True})

    assert not broker.blocks
    assert broker._clock is clock


def test_django_redis_lends_its_connections(settings, redis_name):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "queue": {"BACKEND": REDIS_CACHES["django-redis"], "LOCATION": REDIS_URL},
    }
    broker = made(settings, name=redis_name, django_redis="queue")
    broker.enqueue("x")
    cache = find_cache("queue")()
    size = cache.llen(f"djq:{redis_name}:q")
    taken = broker.dequeue()
    broker.close()
    cache.connection_pool.disconnect()

    assert size == 1
    assert [package for _, package in taken] == [b"x"]


@pytest.mark.parametrize("alias", ["default", "none"])
def test_cache_that_is_none_of_django_redis_is_told(settings, alias):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    with pytest.raises(ConfigError, match=f"'{alias}'.*no cache of django-redis"):
        made(settings, django_redis=alias)


@pytest.mark.parametrize(
    "q_cluster", [{"redis": {"hots": 1}}, {"redis": "x"}, {"django_redis": "default"}]
)
def test_checks_tell_of_wrong_options(settings, q_cluster):
    settings.Q_CLUSTER = q_cluster

    assert [message.id for message in run_checks(tags=[checks.TAG])] == ["djq.E012"]


@pytest.mark.parametrize(
    "q_cluster", [{}, {"redis": {"receipts": True}}, {"redis": {"cluster": True}}]
)
def test_checks_connect_to_nothing(settings, q_cluster):
    options = {"host": "127.0.0.1", "port": 1, **q_cluster.get("redis", {})}
    settings.Q_CLUSTER = {"redis": options}

    assert run_checks(tags=[checks.TAG]) == []


@pytest.mark.parametrize(
    ("package", "q_cluster", "install"),
    [
        ("redis", {}, "djq[redis]"),
        ("django_redis", {"django_redis": "default"}, "django-redis"),
    ],
)
def test_missing_library_is_told_with_the_extra(package, q_cluster, install):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from django.conf import settings\n"
        f"settings.configure(Q_CLUSTER={q_cluster!r}, INSTALLED_APPS=['djq'])\n"
        "import django; django.setup()\n"
        "from django.core.checks import run_checks\n"
        "(message,) = run_checks(tags=['djq'])\n"
        "print(message.id, message.msg)"
    )

    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert told.stdout.startswith(
        f"djq.E012 The broker that Q_CLUSTER chooses needs the package {package},"
    )
    assert f"pip install '{install}'" in told.stdout
