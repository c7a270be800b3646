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


@pytest.mark.parametrize("setting", [{"decode_responses": True}, "redis://h?decode_responses=true"])
def test_answers_stay_bytes(setting):
    assert not arguments(setting).get("decode_responses")


def test_silent_server_is_given_up_unless_the_settings_say_otherwise():
    made = arguments({})

    assert (made["socket_timeout"], made["socket_connect_timeout"]) == (5.0, 5.0)


SENTINELS = {"sentinels": [("h", 1)], "service_name": "s"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("http://:hunter2@h", "no URL of Redis"),
        ("redis://:hunter2/x@h", "percent-encoded"),
        ("redis://:hunter2#x@h", "percent-encoded"),
        ("redis://h?db=hunter2", "no URL of Redis"),
        ("redis://h/hunter2", "0 is the number of the database"),
        ("redis://h/1/2", "0 is the number of the database"),
        ("redis://h/0#hunter2", "no URL of Redis"),
        ("hunter2", "no URL of Redis"),
        ({"url": 5}, "no URL of Redis"),
        ("sentinel://:hunter2@h:1/s", r"Write .*redis\+sentinel://host:26379"),
        ("redis+sentinel://:hunter2@h:x/s", "no URL of Redis"),
        ("redis+sentinel://h:1/s/hunter2", "no URL of Redis"),
        ("redis+sentinel://:hunter2@h:1", "'service_name' .* is ''; allowed is the name"),
        ("redis+sentinel://:hunter2@h,,i/s", "'sentinels' .*; allowed is a list of .host, port."),
        ("unix+cluster:///hunter2", "no URL of Redis"),
        ("redis+cluster://h/3", "the database 3 in a Redis Cluster.* leave it out"),
        ("redis://redis..example", "'host' .* is 'redis..example'"),
        ("redis://h?ssl=true", "'ssl' .* is 'true'; allowed is True or False"),
        (
            {"hots": "hunter2"},
            "argument 'hots'. There are those of redis-py's Redis, url, receipts,",
        ),
        ({"protocol": 7}, "protocol must be"),
        ({"sentinels": [("h", 1)], "password": "hunter2"}, "'service_name' together"),
        ({"service_name": "s"}, "'sentinels' and"),
        ({"sentinels": ["hunter2"], "service_name": "s"}, "list of .host, port."),
        ({"sentinels": [(5, 1)], "service_name": "s"}, "list of .host, port."),
        ({"sentinels": 5, "service_name": "s"}, "'sentinels' .* is 5; .* list of .host, port."),
        ({**SENTINELS, "sentinel_kwargs": "hunter2"}, "'sentinel_kwargs' .* allowed is a dict"),
        ({**SENTINELS, "sentinel_kwargs": {"hots": 1}}, "'sentinel_kwargs'. has an .* 'hots'"),
        (
            {**SENTINELS, "sentinel_kwargs": {"socket_timeout": "5"}},
            "'socket_timeout' of Q_CLUSTER.*'sentinel_kwargs'. is '5'",
        ),
        ({"sentinel_kwargs": {"password": "hunter2"}}, "and no 'sentinels'; remove it"),
        ({"cluster": True, **SENTINELS}, "remove one"),
        ({"cluster": True, "db": 3}, "the database 3 in a Redis Cluster"),
        ({"cluster": True, "unix_socket_path": "/x"}, "'unix_socket_path'.*remove one"),
        ({**SENTINELS, "unix_socket_path": "/x"}, "'unix_socket_path'.*remove one"),
        ({"startup_nodes": [("h", 1)]}, "set 'cluster' to True"),
        ({"cluster": True, "startup_nodes": []}, "list of .host, port."),
    ],
)
def test_wrong_option_is_told_and_no_password(setting, words):
    with pytest.raises(ConfigError, match=words) as caught:
        read_server(setting)

    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("option", "wrong", "allowed"),
    [
        (
            "port",
            ["x", 0, 65_536, True, 6379.0, "0", "9" * 5_000, []],
            "whole number from 1 to 65535",
        ),
        ("db", ["x", -1, True, "-1", 1.5], "whole number, at least 0"),
        (
            "host",
            [5, "redis..example", "", "a b", "redis://h", "h\n"],
            "name or the address of a host",
        ),
        ("socket_timeout", ["5", 0, -1, True, float("nan")], "seconds above 0"),
        ("socket_connect_timeout", ["5", 0], "seconds above 0"),
        ("health_check_interval", ["5", -1, False, None], "number of seconds, 0 for never"),
        ("socket_keepalive", ["yes", 1], "True, False or None"),
        ("ssl", ["yes", 1, None], "True or False"),
        ("cluster", ["yes", 1, None], "True or False"),
        ("receipts", ["yes", 1, None], "True or False"),
        ("unix_socket_path", [5, ""], "a path as text"),
        ("username", [5.5, True], "text"),
        ("service_name", [5, " "], "the name that the Sentinels know"),
        ("charset", ["nonsense", 5], "an encoding, as 'utf-8'"),
        ("errors", ["nonsense", 5], "an error handler, as 'strict'"),
    ],
)
def test_value_of_an_option_is_told_with_what_is_allowed(option, wrong, allowed):
    for value in wrong:
        with pytest.raises(
            ConfigError, match=f"'{option}' of Q_CLUSTER.'redis'. .*{allowed}"
        ) as it:
            read_server({option: value})

        assert repr(value)[:80] in str(it.value) or "type" in str(it.value)


def test_value_that_may_be_a_password_is_not_told():
    for setting in ({"password": ["hunter2"]}, {"host": "nobody:hunter2@h"}):
        with pytest.raises(ConfigError, match="its value is not shown") as caught:
            read_server(setting)

        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"port": "6379", "db": "2", "password": 1234},
        {"host": None, "port": None, "db": None, "unix_socket_path": "/x"},
        {
            "host": "::1",
            "socket_keepalive": None,
            "socket_timeout": 0.5,
            "health_check_interval": 0,
        },
        {"host": "my_redis", "sentinels": None, "service_name": None, "url": None},
    ],
)
def test_what_redis_py_takes_is_taken(setting):
    read_server(setting)().close()


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


@pytest.mark.parametrize(
    ("url", "sentinels", "tls"),
    [
        (
            "redis+sentinel://u:p%2Fw@a:1,[::1]:2/ma%69n/3?socket_timeout=2",
            [("a", 1), ("::1", 2)],
            False,
        ),
        ("rediss+sentinel://u:p%2Fw@a/main/3?socket_timeout=2", [("a", 26_379)], True),
    ],
)
def test_sentinels_may_stand_in_a_url(url, sentinels, tls):
    server = read_server({"url": url, "sentinel_kwargs": {"password": "sentinel's"}})

    pool = server().connection_pool
    made = pool.connection_kwargs
    assert list(server.sentinels) == sentinels
    assert (pool.service_name, made["db"], made["socket_timeout"]) == ("main", 3, 2.0)
    assert (made["username"], made["password"]) == ("u", "p/w")
    assert issubclass(pool.connection_class, redis.SSLConnection) == tls


@pytest.mark.parametrize(
    ("setting", "nodes"),
    [
        ("redis+cluster://:p%2Fw@a:1,b/0?socket_timeout=2", [("a", 1), ("b", 6379)]),
        ("rediss+cluster://:p%2Fw@a?socket_timeout=2", [("a", 6379)]),
        ({"url": "redis://:p%2Fw@a:1/0?socket_timeout=2", "cluster": True}, [("a", 1)]),
        (
            {
                "cluster": True,
                "startup_nodes": [("a", 1), ["b", "2"]],
                "db": 0,
                "password": "p/w",
                "socket_timeout": 2,
            },
            [("a", 1), ("b", 2)],
        ),
        ({"cluster": True, "password": "p/w", "socket_timeout": 2}, [("localhost", 6379)]),
        (
            {"url": "redis+cluster://:p%2Fw@a?socket_timeout=2", "host": "b", "port": 1},
            [("a", 6379), ("b", 1)],
        ),
    ],
)
def test_hosts_of_a_redis_cluster_are_read(setting, nodes):
    server = read_server(setting)

    assert list(server.startup_nodes) == nodes
    assert (server.options["password"], server.options["socket_timeout"]) == ("p/w", 2)
    assert {"host", "port", "db"}.isdisjoint(server.options)
    assert server.options.get("ssl", False) is str(setting).startswith("rediss")


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
    assert made["retry"]._retries == 0
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


@pytest.mark.parametrize("receipts", [False, True])
@pytest.mark.parametrize("name", ["a{b}c", "{", "}"])
def test_queue_with_braces_is_refused_in_a_redis_cluster(settings, name, receipts):
    one = made(settings, name=name, redis={"receipts": receipts})

    with pytest.raises(ConfigError, match=r"has braces in its name.*choose a name without"):
        made(settings, name=name, redis={"cluster": True, "receipts": receipts})

    assert one.list_key == name


@pytest.mark.parametrize(
    "q_cluster",
    [
        {"redis": {"receipts": "yes"}},
        {"redis": {"hots": 1}},
        {"redis": "x"},
        {"django_redis": "default"},
    ],
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
