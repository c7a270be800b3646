"""What Q_CLUSTER may say, and what is said when it is wrong."""

from __future__ import annotations

import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.config import BROKER_KEYS, NOT_YET, RULES, Config, Problem, parse

DEFAULTS = Config(workers=4, time_zone="Europe/Berlin")

NO_COUNT = [0, -1, 1.5, True, "8", [], {}]
NO_SECONDS = [0, -1, -0.5, True, "60", float("nan"), float("inf"), 10**400, []]
NO_SWITCH = [0, 1, None, "yes", "", []]
NO_TEXT = ["", "  ", 5, b"text", ["a"]]
NO_OPTIONS = ["text", 5, ["a"], {5: "five"}, True]

ACCEPTED: dict[str, list[object]] = {
    "name": ["myproject", "x" * 100, "Überprüfung 1"],
    "workers": [1, 1_000, None],
    "recycle": [1, 500, None],
    "timeout": [60, 0.5, None],
    "retry": [60, 0.1],
    "compress": [True, False],
    "save_limit": [250, 0, -1],
    "sync": [True, False],
    "queue_limit": [1, 500, None],
    "label": ["Django Q"],
    "catch_up": [True, False],
    "redis": [None, {}, {"host": "localhost", "receipts": True}, "redis://localhost"],
    "django_redis": [None, "default"],
    "disque_nodes": [None, ("127.0.0.1:7711", "127.0.0.1:7712")],
    "disque_auth": [None, "secret"],
    "disque_fastack": [True, False],
    "iron_mq": [None, {}, {"token": "t", "project_id": "p"}],
    "sqs": [None, {}, {"aws_region": "us-east-1"}],
    "orm": ["default", None],
    "orm_notify": [True, False],
    "mongo": [
        None,
        {},
        {"host": "127.0.0.1", "port": 27017},
        "mongodb://localhost/queues",
        "mongodb+srv://example.com",
    ],
    "mongo_db": ["queues", None],
    "broker_class": ["myapp.broker.CustomBroker", None],
    "bulk": [1, 100, None],
    "poll": [0.2, 1],
    "cache": ["default"],
    "cached": [True, False, 60, 0.5],
    "scheduler": [True, False],
    "rollbar": [{}, {"access_token": "t", "environment": "Django-Q"}],
    "cpu_affinity": [0, 1],
    "log_level": ["DEBUG", "CRITICAL"],
    "ack_failures": [True, False],
    "max_attempts": [1, 10_000],
    "guard_cycle": [0.5, 1],
    "stop_timeout": [30, 0.5, None],
    "time_zone": ["Europe/Berlin", None],
    "max_rss": [1, 512, None],
    "error_reporter": [
        {},
        "myapp.errors.report",
        {"sentry": {"dsn": "d"}, "rollbar": {"access_token": "t"}, "myapp.errors.Reporter": {}},
        {"sentry": {}, "rollbar": {}},
    ],
    "on_commit": [True, False],
    "encrypt": [False],
    "max_payload": [1_024, 10_000_000],
}
REFUSED: dict[str, list[object]] = {
    "name": [*NO_TEXT, None, "x" * 101, "a\nb", "a\0b"],
    "workers": [*NO_COUNT, 1_001],
    "recycle": NO_COUNT,
    "timeout": NO_SECONDS,
    "retry": [*NO_SECONDS, None],
    "compress": NO_SWITCH,
    "save_limit": [None, True, 2.5, "250", 2**31],
    "sync": NO_SWITCH,
    "queue_limit": NO_COUNT,
    "label": [*NO_TEXT, None],
    "catch_up": NO_SWITCH,
    "redis": [5, True, "", ["a"], {5: "five"}],
    "django_redis": NO_TEXT,
    "disque_nodes": ["127.0.0.1:7711", [], [""], [7711], 5],
    "disque_auth": ["", 5, ["a"]],
    "disque_fastack": NO_SWITCH,
    "iron_mq": NO_OPTIONS,
    "sqs": NO_OPTIONS,
    "orm": NO_TEXT,
    "orm_notify": NO_SWITCH,
    "mongo": [*NO_OPTIONS, "http://localhost", ""],
    "mongo_db": NO_TEXT,
    "broker_class": [5, "", "CustomBroker", ".broker", "my app.Broker", "a..b", list],
    "bulk": NO_COUNT,
    "poll": [*NO_SECONDS, None],
    "cache": [*NO_TEXT, None],
    "cached": [0, -1, None, "yes", float("nan")],
    "scheduler": NO_SWITCH,
    "rollbar": [*NO_OPTIONS, None, {"environment": "x"}, {"access_token": None}],
    "cpu_affinity": [-1, True, 1.0, None, "1"],
    "log_level": ["LOUD", "", 10, None],
    "ack_failures": NO_SWITCH,
    "max_attempts": [*NO_COUNT, None, 10_001],
    "guard_cycle": [*NO_SECONDS, None],
    "stop_timeout": NO_SECONDS,
    "time_zone": NO_TEXT,
    "max_rss": NO_COUNT,
    "error_reporter": [
        5,
        None,
        "Reporter",
        {5: "five"},
        {5: {}},
        {"sentri": {}},
        {"sentry": "https://key@host/1"},
        {"sentry": {5: "five"}},
        {"rollbar": {"environment": "x"}},
    ],
    "on_commit": NO_SWITCH,
    "encrypt": NO_SWITCH,
    "max_payload": [1_023, None, True, "1MB", 2**31],
}
LATER: dict[str, list[object]] = {
    "encrypt": [True],
}


def each(table: dict[str, list[object]]) -> list[object]:
    return [pytest.param(key, value) for key, values in table.items() for value in values]


def read(**raw: object) -> tuple[Config | None, tuple[Problem, ...]]:
    return parse(raw, cpu_count=4, time_zone="Europe/Berlin")


def codes(problems: tuple[Problem, ...]) -> set[str]:
    return {problem.code for problem in problems}


def test_every_key_has_a_rule_a_field_and_its_examples():
    fields = {field.name for field in attrs.fields(Config)}

    assert fields == set(RULES) == set(ACCEPTED) == set(REFUSED)
    assert set(LATER) == set(NOT_YET)


@pytest.mark.parametrize(("key", "value"), each(ACCEPTED))
def test_allowed_value_is_taken_as_it_is(key, value):
    base = {"orm": "default"} if key == "sync" else {"sync": True}
    settings = {**base, "retry": 100, key: value}

    config, problems = read(**settings)

    assert problems == ()
    if value is None and key in {"workers", "time_zone"}:
        value = {"workers": 4, "time_zone": "Europe/Berlin"}[key]
    assert getattr(config, key) == value


@pytest.mark.parametrize(("key", "value"), each(REFUSED))
def test_wrong_value_is_an_error_that_names_key_and_remedy(key, value):
    config, (problem,) = read(**{"sync": True, key: value})

    assert config is None
    assert (problem.key, problem.code, problem.warning) == (key, "E003", False)
    assert f"Q_CLUSTER['{key}']" in problem.message
    assert RULES[key].allowed in problem.message
    assert "the default is" in problem.hint


@pytest.mark.parametrize(("key", "value"), each(LATER))
def test_key_of_a_later_feature_is_an_error_with_the_way_out(key, value):
    config, (problem,) = read(**{"sync": True, key: value})

    assert config is None
    assert (problem.key, problem.code, problem.hint) == (key, "E004", NOT_YET[key])
    assert "not there yet" in problem.message


@pytest.mark.parametrize("raw", [None, "orm", 5, [], [("orm", "default")]])
def test_settings_that_are_no_dict_are_an_error(raw):
    config, (problem,) = parse(raw, cpu_count=4, time_zone="UTC")

    assert config is None
    assert problem.code == "E001"


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("worker", "workers"), ("TIMEOUT", "timeout"), ("save-limit", "save_limit")],
)
def test_unknown_key_names_the_nearest_known_one(key, nearest):
    config, (problem,) = read(**{"sync": True, key: 1})

    assert config is None
    assert (problem.key, problem.code) == (key, "E002")
    assert repr(key) in problem.message
    assert problem.hint == f"Did you mean '{nearest}'?"


@pytest.mark.parametrize("key", ["zzz", 5, None, ("a",)])
def test_unknown_key_that_is_near_to_none_lists_all(key):
    config, (problem,) = parse({"sync": True, key: 1}, cpu_count=1, time_zone="UTC")

    assert config is None
    assert problem.code == "E002"
    assert ", ".join(sorted(RULES)) in problem.hint


def test_all_problems_are_told_at_once():
    values = {"mongo": {}, "sqs": "secret", "orm": "default", "encrypt": True}

    config, problems = read(worker=2, timeout="60", poll=-1, **values)

    assert config is None
    assert {(problem.key, problem.code) for problem in problems} == {
        ("worker", "E002"),
        ("timeout", "E003"),
        ("poll", "E003"),
        ("sqs", "E003"),
        ("encrypt", "E004"),
        ("orm", "W002"),
    }


def test_message_shows_the_wrong_value():
    _, (problem,) = read(sync=True, timeout="sixty")

    assert "'sixty'" in problem.message


def test_long_value_is_cut_in_the_message():
    _, (problem,) = read(sync=True, timeout="9" * 100_000)

    assert len(problem.message) < 300


def test_number_too_long_to_write_is_named_by_its_size():
    number = 10**5_000

    _, problems = parse({"sync": True, "timeout": number, number: 1}, cpu_count=1, time_zone="UTC")

    assert len(problems) == 2
    assert all("a number of 16610 bits" in problem.message for problem in problems)


SECRET_KEYS = sorted(key for key, rule in RULES.items() if rule.secret)


def test_every_key_that_holds_a_credential_is_secret():
    credentials = {"redis", "disque_nodes", "disque_auth", "iron_mq", "sqs", "mongo", "rollbar"}

    assert set(SECRET_KEYS) == credentials | {"error_reporter"}


@pytest.mark.parametrize("value", [["hunter2", ""], {5: "hunter2"}, b"hunter2"])
@pytest.mark.parametrize("key", SECRET_KEYS)
def test_wrong_credential_is_not_shown(key, value):
    _, (problem,) = read(**{"sync": True, key: value})

    assert "hunter2" not in problem.message + problem.hint
    assert type(value).__name__ in problem.message


@pytest.mark.parametrize("key", ["disque_nodes", "iron_mq", "sqs", "mongo", "rollbar"])
def test_credential_given_as_text_is_not_shown(key):
    _, (problem,) = read(**{"sync": True, key: "hunter2"})

    assert "hunter2" not in problem.message + problem.hint


@pytest.mark.parametrize("value", ["redis://:hunter2@host", {"password": "hunter2"}])
def test_password_under_a_wrong_key_is_not_shown(value):
    _, problems = read(sync=True, timeout=value, rediss=value)

    assert len(problems) == 2
    assert all("hunter2" not in problem.message + problem.hint for problem in problems)


def test_credentials_stay_out_of_the_repr_of_a_config():
    options = {"password": "hunter2"}

    config = attrs.evolve(
        DEFAULTS,
        redis=options,
        disque_nodes=("hunter2@host:1",),
        disque_auth="hunter2",
        iron_mq=options,
        sqs=options,
        mongo=options,
        rollbar=options,
        error_reporter=options,
    )

    assert "hunter2" not in repr(config)


@pytest.mark.parametrize("retry", [59, 60])
def test_retry_that_is_not_above_timeout_is_a_warning(retry):
    config, (problem,) = read(orm="default", timeout=60, retry=retry)

    assert config is not None
    assert (problem.key, problem.code, problem.warning) == ("retry", "W001", True)


def test_retry_above_timeout_is_right():
    assert read(orm="default", timeout=60, retry=60.5)[1] == ()


def test_wrong_retry_is_not_compared_with_timeout():
    assert codes(read(orm="default", timeout=90, retry="120")[1]) == {"E003"}


def test_first_of_several_brokers_wins_with_a_warning():
    config, (problem,) = read(orm="default", broker_class="myapp.Broker")

    assert config is not None
    assert config.broker_name == "broker_class"
    assert (problem.code, problem.warning) == ("W002", True)
    assert "'broker_class' wins" in problem.message


@pytest.mark.parametrize("place", range(len(BROKER_KEYS)))
def test_brokers_win_in_the_documented_order(place):
    settings = dict.fromkeys(BROKER_KEYS[place:], "some.thing")

    assert attrs.evolve(DEFAULTS, **settings).broker_name == BROKER_KEYS[place]


def test_redis_is_the_default_broker():
    config, problems = read()

    assert (config, problems) == (DEFAULTS, ())
    assert config.broker_name == "redis"


@pytest.mark.parametrize(
    ("redis", "keeps"),
    [
        ({"receipts": True}, True),
        ({"receipts": False}, False),
        ({}, False),
        ("redis://h", False),
        (None, False),
    ],
)
def test_redis_keeps_receipts_where_they_are_asked_for(redis, keeps):
    config, _ = read(redis=redis)

    assert config.keeps_redis_receipts is keeps


@pytest.mark.parametrize("settings", [{"sync": True}, {"orm": "default"}, {"broker_class": "a.B"}])
def test_sync_or_a_broker_is_enough(settings):
    assert read(**settings)[1] == ()


@pytest.mark.parametrize("key", [*BROKER_KEYS, "sync"])
def test_wrong_broker_is_not_told_as_no_broker(key):
    assert codes(read(**{key: 5})[1]) == {"E003"}


def test_log_level_is_taken_in_any_case():
    config, _ = read(log_level="debug")

    assert config is not None
    assert config.log_level == "DEBUG"


def test_config_keeps_its_own_copy_of_a_dict():
    options: dict[str, object] = {}
    config, _ = read(sync=True, rollbar=options)

    options["access_token"] = "later"

    assert config is not None
    assert config.rollbar == {}


@pytest.mark.parametrize(
    ("raw", "reporters"),
    [
        ({}, {}),
        ({"rollbar": {"access_token": "t"}}, {"rollbar": {"access_token": "t"}}),
        ({"error_reporter": "myapp.errors.report"}, {"myapp.errors.report": {}}),
        (
            {
                "error_reporter": {"sentry": {"dsn": "d"}, "rollbar": {"access_token": "s"}},
                "rollbar": {"access_token": "t", "environment": "e"},
            },
            {"sentry": {"dsn": "d"}, "rollbar": {"access_token": "t", "environment": "e"}},
        ),
    ],
)
def test_reporters_of_both_keys_are_one_table(raw, reporters):
    config, problems = read(orm="default", **raw)

    assert config is not None
    assert (config.reporters, problems) == (reporters, ())


def test_config_cannot_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        DEFAULTS.workers = 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**400, max_value=10**401)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["default", "a.b", "redis://:p@h", "x" * 101]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(sorted(RULES)) | st.text(max_size=12) | st.integers() | st.none()


@given(st.dictionaries(KEYS, JSON, max_size=8))
def test_any_mapping_gives_a_config_or_its_errors(raw):
    config, problems = parse(raw, cpu_count=4, time_zone="UTC")

    assert (config is None) == any(not problem.warning for problem in problems)
    for problem in problems:
        assert problem.message
        assert problem.hint
        assert re.fullmatch(r"[EW]\d{3}", problem.code)


@given(JSON)
def test_anything_at_all_is_answered(raw):
    config, problems = parse(raw, cpu_count=4, time_zone="UTC")

    assert config is not None or problems
