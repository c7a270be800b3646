"""What may be shown of the settings: everything harmless, and never a credential."""

from __future__ import annotations

import json

import pytest

from djq.core.config import parse
from djq.core.disclosure import disclosed, without_logins
from djq.core.rules import RULES

SECRET = "c4n4ry"


def shown(key, value):
    """What is shown of one setting."""
    config, problems = parse({key: value}, cpu_count=4, time_zone="UTC")
    assert config is not None, problems
    return disclosed(config)[key]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "shop"),
        ("workers", 8),
        ("timeout", None),
        ("cached", 2.5),
        ("orm", "default"),
        ("broker_class", "shop.brokers.Own"),
        ("redis", None),
        ("mongo", None),
        ("disque_nodes", None),
        ("disque_auth", None),
        ("rollbar", {}),
        ("error_reporter", {}),
        ("error_reporter", "shop.errors.report"),
        ("redis", {"host": "10.0.0.5", "port": 6380, "db": 2, "receipts": True}),
        ("redis", {"socket_timeout": None, "ssl": True, "ssl_ca_certs": "/etc/redis/ca.pem"}),
        ("redis", "redis://localhost:6379/0"),
        ("redis", "unix:///run/redis.sock?db=0"),
        ("redis", "redis+sentinel://[::1]:26379,ten.example.com/main/0?socket_timeout=3"),
        ("mongo", {"host": ["a:27017", "b"], "replicaSet": "main"}),
        ("mongo", "mongodb://a:27017,b/queues?replicaSet=main&w=majority"),
        ("sqs", {"aws_region": "eu-central-1", "fifo": True, "verify": False}),
        ("iron_mq", {"host": "mq.example.com", "http_timeout": 5}),
    ],
)
def test_what_is_harmless_is_shown_as_it_is(key, value):
    assert shown(key, value) == value


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        (
            "redis",
            {"host": "h", "username": SECRET, "password": SECRET, "db": 1},
            {"host": "h", "username": "***", "password": "***", "db": 1},
        ),
        (
            "redis",
            {"url": f"redis://me:{SECRET}@h:1/0", "ssl_password": SECRET},
            {"url": "redis://***@h:1/0", "ssl_password": "***"},
        ),
        (
            "redis",
            {"sentinels": [("h", 1)], "sentinel_kwargs": {"password": SECRET, "db": 1}},
            {"sentinels": [["h", 1]], "sentinel_kwargs": {"password": "***", "db": 1}},
        ),
        ("redis", {"host": object(), "retry": object()}, {"host": "***", "retry": "***"}),
        ("redis", f"rediss://:{SECRET}@h,i:2/main/0#{SECRET}", "rediss://***@h,i:2/main/0#***"),
        ("redis", f"redis://h/0?password={SECRET}&db=1&{SECRET}", "redis://h/0?password=***&db=1&***"),
        ("redis", f"redis://h?url=redis://x:{SECRET}@i", "redis://***@i"),
        ("redis", f"unix://:{SECRET}@/run/redis.sock", "unix://***@/run/redis.sock"),
        # Passwords that should have been percent-encoded.
        ("redis", f"redis://me:{SECRET}/{SECRET}@h/0", "redis://***@h/0"),
        ("redis", f"redis://me:{SECRET}?{SECRET}@h/0", "redis://***@h/0"),
        ("redis", f"redis://me:{SECRET}#{SECRET}@h/0", "redis://***@h/0"),
        ("redis", f"redis://me:{SECRET}@{SECRET}@h/0", "redis://***@h/0"),
        ("redis", f"redis://me:a@{SECRET}/{SECRET}@h/0", "redis://***@h/0"),
        ("redis", f"redis://me:{SECRET}", "redis://***"),
        ("redis", SECRET, "***"),
        (
            "mongo",
            {"host": f"mongodb://me:{SECRET}@a/q", "authMechanismProperties": {"TOKEN": SECRET}},
            {"host": "mongodb://***@a/q", "authMechanismProperties": "***"},
        ),
        ("mongo", {"host": [f"me:{SECRET}@a", "b"]}, {"host": ["***@a", "b"]}),
        (
            "mongo",
            f"mongodb+srv://me:{SECRET}@a/q?tlsCertificateKeyFilePassword={SECRET}&appName=x",
            "mongodb+srv://***@a/q?tlsCertificateKeyFilePassword=***&appName=x",
        ),
        ("disque_nodes", ["h:7711", f"{SECRET}@i:7711", f"i:7711:{SECRET}"], ["h:7711", "***@i:7711", "***"]),
        ("disque_auth", SECRET, "***"),
        (
            "sqs",
            {"aws_region": "eu", "aws_access_key_id": SECRET, "aws_secret_access_key": SECRET},
            {"aws_region": "eu", "aws_access_key_id": "***", "aws_secret_access_key": "***"},
        ),
        ("iron_mq", {"token": SECRET, "project_id": SECRET}, {"token": "***", "project_id": "***"}),
        (
            "iron_mq",
            {"keystone": {"username": SECRET, "password": SECRET}},
            {"keystone": "***"},
        ),
        (
            "rollbar",
            {"access_token": SECRET, "environment": "test", "locals": {"enabled": True, "x": SECRET}},
            {"access_token": "***", "environment": "test", "locals": {"enabled": True, "x": "***"}},
        ),
        (
            "error_reporter",
            {
                "sentry": {"dsn": f"https://{SECRET}@errors.example.com/1", "http_proxy": SECRET},
                "shop.errors.Slack": {"url": f"https://hooks.example.com/{SECRET}", "a": {"b": [SECRET]}},
            },
            {
                "sentry": {"dsn": "https://***@errors.example.com/1", "http_proxy": "***"},
                "shop.errors.Slack": {"url": "***", "a": "***"},
            },
        ),
        ("label", f"https://me:{SECRET}@shop.example.com/", "https://***@shop.example.com/"),
    ],
)  # fmt: skip
def test_what_may_be_a_credential_is_hidden_wherever_it_stands(key, value, what):
    assert shown(key, value) == what
    assert SECRET not in json.dumps(what)


def test_an_option_that_nobody_has_heard_of_is_hidden():
    assert shown("redis", {"hunter2": 1, "x": None}) == {"hunter2": "***", "x": "***"}


def test_every_setting_is_there_and_the_whole_is_fit_for_json():
    config, _ = parse({}, cpu_count=4, time_zone="Europe/Berlin")

    settings = disclosed(config)

    assert list(settings) == sorted(RULES)
    assert json.loads(json.dumps(settings)) == settings
    assert (settings["workers"], settings["time_zone"]) == (4, "Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("no route to the queue", "no route to the queue"),
        ("cannot reach redis://h:1/0: refused", "cannot reach redis://h:1/0: refused"),
        (f"GET 'https://me:{SECRET}@h/x?y' failed", "GET 'https://***@h/x?y' failed"),
        (f"a://{SECRET}/@{SECRET}@h, b://:{SECRET}@i", "a://***@h, b://***@i"),
    ],
)
def test_a_drivers_words_are_shown_without_logins(text, what):
    assert without_logins(text) == what
