"""Holds which reporters the settings name: how they are found, made and told, and what is wrong with them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from djq import assembly, checks, reporting
from djq.cluster import Cluster
from djq.core.config import parse
from djq.exceptions import ConfigError
from djq.tasks import async_task
from djq.wiring import wired
from djq_testing.cluster import LocalCluster
from tests.components.parts import RememberingReporter
from tests.house.source import ROOT
from tests.reporters import samples

SAMPLES = "tests.reporters.samples"


@pytest.fixture
def given():
    samples.GIVEN.clear()
    return samples.GIVEN


def set_reporter(settings, reporter, **more):
    settings.Q_CLUSTER = {"name": "shop", "orm": "default", "error_reporter": reporter, **more}


# What is named.


@pytest.mark.django_db
def test_a_task_that_fails_here_and_now_is_told_to_each_of_them(settings, given):
    set_reporter(settings, {f"{SAMPLES}.report": {"level": 3}, f"{SAMPLES}.Reporter": {"key": "k"}})
    id = async_task("operator.truediv", 1, 0, group="letters", sync=True)
    reporting.close()

    assert [(who, options) for who, _, _, options in given] == [
        ("function", {"level": 3}),
        ("class", {"key": "k"}),
    ]
    _, error, about, _ = given[0]
    assert isinstance(error, ZeroDivisionError)
    assert about == {
        "task_id": id,
        "task_name": about["task_name"],
        "func": "operator.truediv",
        "group": "letters",
        "attempt": 1,
        "cluster": "shop",
    }


@pytest.mark.django_db
def test_one_dotted_path_is_enough_and_new_settings_have_new_reporters(settings, given):
    set_reporter(settings, f"{SAMPLES}.report")
    async_task("operator.truediv", 1, 0, sync=True)
    reporting.close()
    set_reporter(settings, f"{SAMPLES}.Reporter")
    async_task("operator.truediv", 1, 0, sync=True)
    reporting.close()
    set_reporter(settings, {})
    async_task("operator.truediv", 1, 0, sync=True)
    reporting.close()

    assert [who for who, *_ in given] == ["function", "class"]


def test_without_reporters_nobody_is_told(settings):
    set_reporter(settings, {})

    assert assembly.surroundings().reporter is None


@pytest.mark.parametrize("cluster", [5, {"name": ""}])
def test_settings_that_are_wrong_have_no_reporter(settings, cluster):
    settings.Q_CLUSTER = cluster

    assert assembly.surroundings().reporter is None


def blocks_of_the_docs():
    page = (ROOT / "docs" / "reporting.md").read_text("utf-8")
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def test_the_settings_of_the_docs_are_right():
    module = {}
    (code,) = [block for block in blocks_of_the_docs() if block.startswith("Q_CLUSTER")]
    exec(code, module)
    config, problems = parse(module["Q_CLUSTER"], cpu_count=1, time_zone="UTC")

    assert problems == ()
    assert set(config.reporters) == {"rollbar", "sentry", "shop.errors.Reporter"}


def test_the_reporters_of_the_docs_work():
    calls = []
    module = {
        "call_somebody": calls.append,
        "post": lambda channel, words: calls.append((channel, words)),
    }
    (code,) = [block for block in blocks_of_the_docs() if "class Reporter" in block]
    exec(code, module)
    about = {"func": "shop.pay", "group": "payments", "task_name": "two-by-two", "attempt": 2}
    module["report"](ValueError("no"), about)
    module["Reporter"](channel="#alarms").report(ValueError("no"), about)

    assert calls == ["shop.pay: no", ("#alarms", "ValueError in two-by-two, attempt 2")]


# In tests of users.


def test_the_test_of_the_docs_passes(djq_clock):
    module = {}
    (code,) = [block for block in blocks_of_the_docs() if "class Remembering" in block]
    exec(code, module)

    module["test_what_divides_by_nothing_is_reported"](djq_clock)


def test_where_anything_stands_in_for_others_the_settings_reporters_are_not_told(settings):
    set_reporter(settings, f"{SAMPLES}.report")
    with wired(sync=True):
        silent = assembly.surroundings().reporter
    own = RememberingReporter()
    with wired(reporter=own):
        told = assembly.surroundings().reporter

    assert (silent, told) == (None, own)


def test_a_cluster_in_process_tells_the_reporter_that_the_test_hands_in():
    own = RememberingReporter()
    with wired(reporter=own), LocalCluster(workers=1, max_attempts=2) as cluster:
        cluster.takes("operator.neg", 90)
        async_task("operator.neg", 1, task_name="dies")
        async_task("operator.neg", 1, task_name="is late", timeout=60)
        async_task("operator.truediv", 1, 0, task_name="fails")
        cluster.advance(10)
        cluster.kill("worker")
        cluster.run_until_idle()

    assert sorted((about["task_name"], type(error).__name__) for error, about in own.given) == [
        ("dies", "WorkerDied"),
        ("fails", "ZeroDivisionError"),
        ("is late", "TaskTimedOut"),
    ]


# What is wrong.


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_package.report", "cannot be imported"),
        ("tests.broken_module.report", "cannot be imported: RuntimeError: the settings of this"),
        (f"{SAMPLES}.no_such_thing", "cannot be imported"),
        (f"{SAMPLES}.Other", "is no reporter"),
        (f"{SAMPLES}.NUMBER", "is no reporter"),
    ],
)
def test_a_path_that_leads_to_no_reporter_is_a_failed_check_and_no_cluster_starts(
    settings, path, words
):
    set_reporter(settings, path)
    (message,) = checks.check_reporters()
    with pytest.raises(ConfigError, match=words):
        Cluster()

    assert message.id == "djq.E013"
    assert repr(path) in message.msg


@pytest.mark.parametrize("options", [{"environment": "test"}, {"dsn": None}])
def test_sentry_without_an_address_is_a_failed_check_and_no_cluster_starts(
    settings, monkeypatch, options
):
    monkeypatch.delenv("SENTRY_DSN", raising=False)
    set_reporter(settings, {"sentry": options})
    (message,) = checks.check_reporters()
    with pytest.raises(ConfigError, match="errors would go nowhere"):
        Cluster()

    assert message.id == "djq.E013"


@pytest.mark.django_db
def test_sentry_that_is_switched_off_by_an_empty_address_starts_and_the_log_says_so(
    settings, caplog
):
    set_reporter(settings, {"sentry": {"dsn": ""}})
    found = checks.check_reporters()
    for _ in range(2):
        async_task("operator.truediv", 1, 0, sync=True)
    reporting.close()

    lines = [line for line in caplog.messages if "reported" in line]
    assert found == []
    assert len(lines) == 1
    assert lines[0].startswith(
        "an error could not be reported to sentry: djq.exceptions.ConfigError"
    )


@pytest.mark.parametrize(
    "reporter",
    [
        {},
        {"sentry": {}, "rollbar": {}},
        {"sentry": {"dsn": "https://key@errors.example.com/1"}},
        f"{SAMPLES}.report",
    ],
)
def test_reporters_that_can_be_had_pass(settings, reporter):
    set_reporter(settings, reporter)

    assert checks.check_reporters() == []


@pytest.mark.parametrize(("name", "package"), [("rollbar", "rollbar"), ("sentry", "sentry_sdk")])
def test_a_library_that_is_missing_is_named_with_what_to_install(name, package):
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import django; from django.conf import settings\n"
        f"settings.configure(Q_CLUSTER={{'orm': 'default', 'error_reporter': {{{name!r}: {{}}}}}})\n"
        "django.setup(); from djq import checks; print(checks.check_reporters()[0].msg)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert said.stdout.strip() == (
        f"The error reporter '{name}' in Q_CLUSTER needs the package {package}, which is not "
        f"installed: pip install 'djq[{name}]'."
    )


def test_a_library_that_cannot_be_imported_is_said_to_be_so():
    program = (
        "import sys, types; sys.modules['sentry_sdk'] = types.ModuleType('sentry_sdk')\n"
        "sys.modules['sentry_sdk.transport'] = types.ModuleType('sentry_sdk.transport')\n"
        "import django; from django.conf import settings\n"
        "settings.configure(Q_CLUSTER={'orm': 'default', 'error_reporter': {'sentry': {}}})\n"
        "django.setup(); from djq import checks; print(checks.check_reporters()[0].msg)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert said.stdout.startswith("The error reporter 'sentry' in Q_CLUSTER needs a library that")
    assert said.stdout.strip().endswith("pip install --upgrade 'djq[sentry]'.")
