"""How the settings are read, signed with, and checked within Django."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading

import pytest
from django.apps import AppConfig
from django.core.checks import run_checks
from django.db.utils import ConnectionHandler
from django.test import override_settings

from djq import checks, conf
from djq.brokers import get_broker
from djq.core.config import Config
from djq.exceptions import BadPackage, ConfigError
from djq.ports import Broker

PATH = "tests.django.test_settings_checks"
RIGHT = {"name": "right", "orm": "default"}
WAL = "PRAGMA journal_mode=WAL;"
GOOD_OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": WAL}


class WholeBroker(Broker):
    def enqueue(self, task):
        return None

    def dequeue(self, limit=1):
        return []


class EmptyBroker(Broker):
    pass


class ForgetfulBroker(WholeBroker):
    receipts = True


def config_of(**settings: object) -> Config:
    return Config(workers=1, time_zone="UTC", **settings)


def ids(messages) -> list[str]:
    return sorted(message.id for message in messages)


def sqlite(name: object, **options: object) -> ConnectionHandler:
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(name), "OPTIONS": options}
    return ConnectionHandler({"default": database})


# Reading.


def test_reading_the_package_reads_no_settings():
    code = (
        "import djq.conf, djq.core.config\n"
        "from django.conf import settings\n"
        "raise SystemExit(settings.configured)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_config_is_read_once():
    with override_settings(Q_CLUSTER=RIGHT):
        assert conf.get_config() is conf.get_config()


def test_config_follows_override_settings():
    with override_settings(Q_CLUSTER={**RIGHT, "name": "outer"}):
        with override_settings(Q_CLUSTER={**RIGHT, "name": "inner"}):
            assert conf.get_config().name == "inner"

        assert conf.get_config().name == "outer"


def test_time_zone_follows_override_settings():
    with override_settings(Q_CLUSTER=RIGHT, TIME_ZONE="Asia/Tokyo"):
        assert conf.get_config().time_zone == "Asia/Tokyo"
        with override_settings(TIME_ZONE="Europe/Berlin"):
            assert conf.get_config().time_zone == "Europe/Berlin"


@override_settings(Q_CLUSTER=RIGHT, TIME_ZONE=None)
def test_without_a_time_zone_schedules_keep_utc():
    assert conf.get_config().time_zone == "UTC"


def test_missing_settings_give_the_defaults(settings):
    # Django tells of a setting that changes, and not of one that goes.
    settings.Q_CLUSTER = {"name": "gone"}
    del settings.Q_CLUSTER

    assert conf.get_config().name == "default"
    assert conf.problems() == ()


@override_settings(Q_CLUSTER={"workers": 0, "tiemout": 5, "orm": "default"})
def test_config_error_lists_every_error():
    with pytest.raises(
        ConfigError, match=r"(?s)Q_CLUSTER\['workers'\] is 0.*Did you mean 'timeout'"
    ):
        conf.get_config()

    assert conf.find_config() is None


@override_settings(Q_CLUSTER={**RIGHT, "timeout": 60, "retry": 60})
def test_warning_does_not_stop_a_process():
    assert conf.get_config().retry == 60
    assert [problem.code for problem in conf.problems()] == ["W001"]


@pytest.mark.parametrize("zone", ["Europe/Berlim", "../etc/passwd", "Europe", "a\0b"])
def test_unknown_time_zone_is_an_error(zone):
    with override_settings(Q_CLUSTER={**RIGHT, "time_zone": zone}):
        assert conf.find_config() is None
        assert [problem.code for problem in conf.problems()] == ["E005"]


# Signing.


@pytest.mark.parametrize("text", ["", "a", "a:b:c", "ü" * 500])
def test_signed_text_comes_back(text):
    signer = conf.make_signer("task", "cluster")

    assert signer.unsign(signer.sign(text)) == text


@pytest.mark.parametrize("text", ["", "a", "a:", ":", "a:ü", "a\udc80:b", "\udc80"])
def test_unsigned_text_is_refused(text):
    with pytest.raises(BadPackage, match="SECRET_KEY"):
        conf.make_signer("task", "cluster").unsign(text)


def test_changed_text_is_refused():
    signer = conf.make_signer("task", "cluster")

    with pytest.raises(BadPackage):
        signer.unsign("x" + signer.sign("text"))


@pytest.mark.parametrize(("purpose", "name"), [("task", "other"), ("result", "cluster")])
def test_signature_is_good_for_one_purpose_and_cluster_only(purpose, name):
    signed = conf.make_signer("task", "cluster").sign("text")

    with pytest.raises(BadPackage):
        conf.make_signer(purpose, name).unsign(signed)


def test_signer_follows_the_secret_key():
    signer = conf.make_signer("task", "cluster")
    with override_settings(SECRET_KEY="old"):
        signed = signer.sign("text")

    with override_settings(SECRET_KEY="new"), pytest.raises(BadPackage):
        signer.unsign(signed)


def test_rotated_key_loses_nothing():
    signer = conf.make_signer("task", "cluster")
    with override_settings(SECRET_KEY="old"):
        signed = signer.sign("text")
    with override_settings(SECRET_KEY="new"):
        signer.sign("anything")

    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"]):
        assert signer.unsign(signed) == "text"
        assert signer.sign("text") != signed


def test_signer_serves_many_threads():
    signer = conf.make_signer("task", "cluster")
    answers = []

    def work():
        answers.extend(signer.unsign(signer.sign(str(number))) for number in range(200))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == sorted(map(str, [*range(200)] * 4))


# The app.


@override_settings(Q_CLUSTER={**RIGHT, "label": "Night shift"})
def test_admin_label_is_the_configured_one():
    app = AppConfig.create("djq")

    app.ready()

    assert app.verbose_name == "Night shift"
    assert (app.name, app.label) == ("djq", "djq")


@override_settings(Q_CLUSTER={"label": 5})
def test_wrong_settings_do_not_end_the_start():
    app = AppConfig.create("djq")

    app.ready()

    assert app.verbose_name == "Django Q"


# The checks.


@override_settings(Q_CLUSTER={**RIGHT, "sync": True})
def test_right_settings_pass_the_checks():
    assert run_checks(tags=[checks.TAG]) == []


@override_settings(
    Q_CLUSTER={
        "wokers": 2,
        "poll": 0,
        "encrypt": True,
        "mongo": {},
        "timeout": 90,
        "orm": "default",
    }
)
def test_checks_tell_every_problem_with_its_id():
    messages = run_checks(tags=[checks.TAG])

    assert ids(messages) == ["djq.E002", "djq.E003", "djq.E004", "djq.W001", "djq.W002"]
    assert all(message.is_serious() == (".E" in message.id) for message in messages)
    assert all(message.hint for message in messages)


@override_settings(Q_CLUSTER={"orm": "defualt", "cache": "no_such_cache"})
def test_checks_tell_unknown_aliases():
    assert ids(run_checks(tags=[checks.TAG])) == ["djq.E006", "djq.E007"]


def test_unknown_database_names_the_known_and_the_nearest():
    config = config_of(orm="defualt")

    (message,) = checks.alias_problems(config, databases=["queues", "default"], caches=["default"])

    assert "there are: default, queues" in message.msg
    assert message.hint == "Did you mean 'default'?"


def test_unknown_cache_names_the_known():
    config = config_of(cache="zzz")

    (message,) = checks.alias_problems(config, databases=[], caches=["default"])

    assert message.id == "djq.E007"
    assert "there are: default" in message.msg


def caches_of(backend, **options):
    return {"default": {"BACKEND": f"django.core.cache.backends.{backend}", **options}}


@pytest.mark.parametrize("backend", ["locmem.LocMemCache", "dummy.DummyCache"])
def test_results_in_a_cache_that_processes_do_not_share_are_an_error(settings, backend):
    settings.CACHES = caches_of(backend)
    settings.Q_CLUSTER = RIGHT | {"cached": 60}

    (message,) = checks.check_result_cache()

    assert message.id == "djq.E011"
    assert backend.partition(".")[2] in message.msg


def test_results_in_a_cache_that_keeps_nothing_are_an_error_in_sync_mode_too(settings):
    settings.CACHES = caches_of("dummy.DummyCache")
    settings.Q_CLUSTER = RIGHT | {"cached": True, "sync": True}

    (message,) = checks.check_result_cache()

    assert message.id == "djq.E011"
    assert "DummyCache, which keeps nothing" in message.msg


@pytest.mark.parametrize("cluster", [RIGHT, RIGHT | {"cached": True, "sync": True}, {"orm": 5}])
def test_cache_of_one_process_does_where_nothing_else_reads_it(settings, cluster):
    settings.CACHES = caches_of("locmem.LocMemCache")
    settings.Q_CLUSTER = cluster

    assert checks.check_result_cache() == []


@pytest.mark.parametrize("backend", ["filebased.FileBasedCache", "db.DatabaseCache"])
@pytest.mark.parametrize(("options", "wanted"), [({}, ["djq.W007"]), ({"MAX_ENTRIES": 5_000}, [])])
def test_cache_that_drops_results_early_is_a_warning(settings, tmp_path, backend, options, wanted):
    location = str(tmp_path)
    settings.CACHES = caches_of(backend, LOCATION=location, OPTIONS=options)
    settings.Q_CLUSTER = RIGHT | {"cached": True}

    assert ids(checks.check_result_cache()) == wanted


@override_settings(Q_CLUSTER=RIGHT)
def test_checks_look_at_the_databases():
    assert ids(checks.check_databases()) == ["djq.W005"]


@pytest.mark.parametrize("name", [":memory:", "file:queue?mode=memory&cache=shared"])
def test_queue_in_memory_is_a_warning(name):
    (message,) = checks.database_problems(config_of(orm="default"), sqlite(name))

    assert message.id == "djq.W005"


@pytest.mark.parametrize("settings", [{"orm": "default", "sync": True}, {"broker_class": "a.B"}])
def test_results_in_memory_are_no_matter_without_a_queue_there(settings):
    assert list(checks.database_problems(config_of(**settings), sqlite(":memory:"))) == []


def test_right_sqlite_options_pass():
    databases = sqlite("/nowhere/db.sqlite3", **GOOD_OPTIONS)

    assert list(checks.database_problems(config_of(orm="default"), databases)) == []


@pytest.mark.parametrize(
    "command",
    [
        "pragma journal_mode = wal",
        "PRAGMA foo=1; PRAGMA JOURNAL_MODE='WAL'",
        "PRAGMA journal_mode(wal)",
    ],
)
def test_wal_is_known_in_every_spelling(command):
    options = {**GOOD_OPTIONS, "transaction_mode": "immediate", "init_command": command}

    databases = sqlite("/nowhere/db.sqlite3", **options)

    assert list(checks.database_problems(config_of(orm="default"), databases)) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"transaction_mode": None}, "transaction_mode"),
        ({"transaction_mode": "EXCLUSIVE"}, "transaction_mode"),
        ({"init_command": None}, "journal_mode=WAL"),
        ({"init_command": "PRAGMA journal_mode=DELETE"}, "journal_mode=WAL"),
        ({"init_command": "PRAGMA journal_mode=WALRUS"}, "journal_mode=WAL"),
        ({"timeout": 19}, "timeout"),
        ({"timeout": "20"}, "timeout"),
    ],
)
def test_each_missing_sqlite_option_is_named(changed, named):
    options = {**GOOD_OPTIONS, **changed}

    (message,) = checks.database_problems(
        config_of(orm="default"), sqlite("/nowhere/db.sqlite3", **options)
    )

    assert message.id == "djq.W004"
    assert message.msg.split(": ")[-1].count(",") == 0
    assert named in message.msg.split(": ")[-1]


def test_sqlite_without_options_lacks_all_three():
    (message,) = checks.database_problems(config_of(), sqlite("/nowhere/db.sqlite3"))

    assert "'default'" in message.msg
    for option in ("transaction_mode", "init_command", "timeout"):
        assert option in message.msg


def test_results_in_sqlite_are_looked_at_beside_the_queue():
    file = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/db.sqlite3"}
    databases = ConnectionHandler({"default": file, "queue": file, "other": file})

    messages = list(checks.database_problems(config_of(orm="queue"), databases))

    assert ["'queue'" in messages[0].msg, "'default'" in messages[1].msg] == [True, True]
    assert len(messages) == 2


def test_missing_or_other_database_gets_no_sqlite_advice():
    databases = ConnectionHandler({})

    assert list(checks.database_problems(config_of(orm="queue"), databases)) == []


@pytest.mark.django_db
def test_advised_sqlite_options_work_and_satisfy_the_check(tmp_path):
    (message,) = checks.database_problems(config_of(), sqlite(tmp_path / "db.sqlite3"))
    advised = ast.literal_eval("{" + message.hint.split(": ", 1)[1] + "}")["OPTIONS"]

    databases = sqlite(tmp_path / "db.sqlite3", **advised)

    with databases["default"].cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone() == ("wal",)
    databases["default"].close()
    assert list(checks.database_problems(config_of(), databases)) == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("no_such_package.Broker", "djq.E008"),
        ("tests.broken_module.Broker", "djq.E008"),
        (f"{PATH}.NoSuchBroker", "djq.E008"),
        (f"{PATH}.RIGHT", "djq.E009"),
        ("builtins.dict", "djq.E009"),
        (f"{PATH}.EmptyBroker", "djq.E010"),
        (f"{PATH}.ForgetfulBroker", "djq.E010"),
    ],
)
def test_class_that_is_no_broker_is_an_error(path, code):
    with override_settings(Q_CLUSTER={"broker_class": path}):
        (message,) = checks.check_broker_class()

    assert message.id == code
    assert repr(path) in message.msg


@pytest.mark.parametrize("path", ["no_such_package.Broker", "tests.broken_module.Broker"])
def test_class_that_cannot_be_imported_is_a_config_error_where_it_is_asked_for(path):
    with (
        override_settings(Q_CLUSTER={"broker_class": path}),
        pytest.raises(ConfigError, match=r"'broker_class'.* cannot be imported: \w+Error: "),
    ):
        get_broker("another")


def test_error_of_a_broker_names_what_it_lacks():
    (empty,) = checks.broker_class_problems("a.Empty", EmptyBroker)
    (forgetful,) = checks.broker_class_problems("a.Forgetful", ForgetfulBroker)

    assert "lacks enqueue and dequeue" in empty.msg
    assert "lacks acknowledge" in forgetful.msg


@pytest.mark.parametrize("cluster", [RIGHT, {"broker_class": f"{PATH}.WholeBroker"}, {"orm": 5}])
def test_whole_broker_or_none_passes(cluster):
    with override_settings(Q_CLUSTER=cluster):
        assert checks.check_broker_class() == []


def test_platform_without_fork_is_a_warning():
    (message,) = checks.platform_problems(can_fork=False)

    assert message.id == "djq.W006"
    assert not message.is_serious()


def test_platform_with_fork_passes():
    assert list(checks.platform_problems(can_fork=True)) == []
