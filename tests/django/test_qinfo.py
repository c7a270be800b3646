"""`manage.py qinfo`: what it shows, as text and as JSON, and its exit codes."""

from __future__ import annotations

import json
import socket
from io import StringIO
from pathlib import Path

import jsonschema
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import override_settings

from djq import __version__
from djq.brokers import Broker
from djq.core.totals import DURATION_BOUNDS
from djq.exceptions import BrokerUnavailable
from djq.management.commands import qinfo
from djq.models import Schedule, Task
from djq.terminal.plain import plain
from djq.wiring import wired
from djq_testing.clock import ManualClock
from djq_testing.memory import MemoryBroker
from tests.django.overview_parts import FULL, HOUR, NOON, Board, SilentBoard, cluster

pytestmark = pytest.mark.django_db

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "qinfo.schema.json").read_text("utf-8"))
HERE = socket.gethostname()
SECRET = "c4n4ry"


class Away(Broker):
    """A broker whose server is gone."""

    def queue_size(self):
        raise BrokerUnavailable("no route to the queue")


@pytest.fixture
def clock():
    return ManualClock(NOON)


@pytest.fixture(autouse=True)
def broker(clock):
    """The queue of the tests, at noon; there is no cluster."""
    broker = MemoryBroker("shop", clock=clock)
    with wired(clock=clock, broker=lambda *_: broker, board=Board()):
        yield broker


def run(*arguments):
    """Give the exit code, what was said, and what was complained about."""
    out, err = StringIO(), StringIO()
    try:
        call_command("qinfo", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return end.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def read(what, *arguments):
    """Give the exit code, and the JSON after it was held to the schema."""
    code, out, _ = run(*arguments, "--json")
    value = json.loads(out)
    validate(value, what)
    return code, value


def validate(value, what):
    part = {**SCHEMA, "$ref": f"#/$defs/{what}"}
    jsonschema.Draft202012Validator(part).validate(value)


def refuse(execute, sql, params, many, context):
    """Let the database answer no question about results."""
    if "djq_task" in sql:
        raise OperationalError("no route to the results")
    return execute(sql, params, many, context)


@pytest.fixture
def kept():
    """Three results of the last day, and two schedules."""
    for number, success in enumerate([True, True, False]):
        Task.objects.create(
            id=f"{number:032x}",
            name="t",
            func="shop.tasks.pay",
            started=NOON - HOUR,
            stopped=NOON - HOUR / 2,
            success=success,
        )
    for _ in range(2):
        Schedule.objects.create(func="math.sqrt", next_run=NOON)


def test_a_summary_is_the_documented_rows(broker, kept):
    broker.enqueue("package")

    with wired(board=Board(cluster(workers=(1, 2)), cluster(2, workers=(3,), reincarnations=4))):
        code, out, err = run()

    assert out == (
        "-- djq summary --\n"
        "Clusters\t2\tWorkers\t3\tRestarts\t4\n"
        "Queued\t1\tSuccesses\t2\tFailures\t1\n"
        "Schedules\t2\tTasks/day\t3.00\tAvg time\t1800.0000\n"
    )
    assert (code, err) == (0, "")


def test_services_that_are_away_leave_the_rest_and_a_line_each(kept):
    away = Away("shop")

    with (
        wired(board=SilentBoard(), broker=lambda *_: away),
        connection.execute_wrapper(refuse),
    ):
        code, out, _ = run()

    assert out == (
        "-- djq summary --\n"
        "Clusters\t-\tWorkers\t-\tRestarts\t-\n"
        "Queued\t-\tSuccesses\t-\tFailures\t-\n"
        "Schedules\t2\tTasks/day\t-\tAvg time\t-\n"
        "\n"
        "queue: BrokerUnavailable: no route to the queue\n"
        "clusters: BoardUnavailable: no route to the board\n"
        "day: OperationalError: no route to the results\n"
        "results: OperationalError: no route to the results\n"
    )
    assert code == 3


def test_json_of_a_summary_is_as_its_schema_says(kept):
    with wired(board=Board(*FULL.clusters)):
        code, value = read("summary")

    assert code == 0
    assert value["version"] == __version__
    assert value["summary"] == {
        "clusters": 1,
        "workers": 2,
        "restarts": 1,
        "queued": 0,
        "successes": 2,
        "failures": 1,
        "schedules": 2,
        "rate": {"tasks": 3, "unit": "day"},
        "average_seconds": 1_800.0,
    }
    assert value["clusters"] == plain(FULL)["clusters"]


def test_json_of_what_is_away_is_as_its_schema_says():
    away = Away("shop")

    with wired(board=SilentBoard(), broker=lambda *_: away), connection.execute_wrapper(refuse):
        code, value = read("summary")

    assert code == 3
    assert set(value["errors"]) == {"queue", "clusters", "day", "results"}
    assert value["queue"] is value["clusters"] is value["day"] is value["results"] is None
    assert value["summary"]["rate"] is None


def test_the_schema_has_every_field_of_a_cluster():
    told = plain(FULL)["clusters"][0]

    assert set(told) == set(SCHEMA["$defs"]["cluster"]["properties"])
    assert set(told) == set(SCHEMA["$defs"]["cluster"]["required"])


def test_the_schema_names_the_bounds_of_durations():
    words = SCHEMA["$defs"]["function"]["properties"]["durations"]["description"]
    *most, last = (f"{bound:,g}" for bound in DURATION_BOUNDS)

    assert f"at most {', '.join(most)} and {last} seconds" in words


def test_an_overview_with_all_its_parts_is_as_the_schema_says():
    validate(plain(FULL), "overview")


@pytest.mark.parametrize(
    "change",
    [
        {"at": "2026-11-29 12:00"},
        {"queue": {"name": "shop"}},
        {"clusters": [{"cluster_id": "1"}]},
        {"errors": {"cpu": "hot"}},
        {"extra": 1},
    ],
)
def test_the_schema_refuses_what_qinfo_does_not_say(change):
    _, value = read("summary")

    with pytest.raises(jsonschema.ValidationError):
        validate({**value, **change}, "summary")


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_ids_are_of_running_clusters_one_a_line():
    with wired(board=Board(cluster(11), cluster(12, status="Stopped"), cluster(13, host="vega"))):
        assert run("--ids") == (0, "11\n13\n", "")
        assert read("ids", "--ids") == (0, [11, 13])


def test_no_clusters_are_no_lines():
    assert run("--ids") == (0, "", "")


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_ids_that_cannot_be_read_are_an_error_and_not_none(form):
    with wired(board=SilentBoard()):
        code, out, err = run("--ids", *form)

    assert (code, out) == (3, "")
    assert err == "clusters: BoardUnavailable: no route to the board\n"


def test_clusters_elsewhere_can_be_left_out():
    with wired(board=Board(cluster(11, HERE, workers=(1,)), cluster(12, "vega", workers=(2, 3)))):
        assert run("--ids", "--here") == (0, "11\n", "")
        assert run("--here")[1].splitlines()[1] == "Clusters\t1\tWorkers\t1\tRestarts\t0"


def test_health_is_a_line_for_each_check_and_zero_when_all_is_well(broker):
    broker.enqueue("package")

    with wired(board=Board(cluster())):
        code, out, _ = run("--health")

    assert out == (
        "cluster: ok, taking tasks: orion 17000 Idle\n"
        "broker: ok, Memory answers\n"
        "store: ok, results are kept\n"
        "age: ok, the oldest task waits for 0.0 s\n"
    )
    assert code == 0


def test_health_names_every_reason_why_not():
    away = Away("shop")

    with wired(broker=lambda *_: away):
        code, out, _ = run("--health", "--max-waiting", "5")

    assert out == (
        "cluster: failed, there is none\n"
        "broker: failed, BrokerUnavailable: no route to the queue\n"
        "store: unknown, no cluster takes tasks, so none tells\n"
        "age: unknown, BrokerUnavailable: no route to the queue\n"
        "waiting: unknown, BrokerUnavailable: no route to the queue\n"
    )
    assert code == 1


def test_what_cannot_be_told_is_not_taken_for_a_failure():
    with wired(board=SilentBoard()):
        assert run("--health", "cluster") == (
            3,
            "cluster: unknown, BoardUnavailable: no route to the board\n",
            "",
        )


def test_a_long_queue_is_not_well_beyond_a_limit(broker):
    broker.enqueue("package")
    broker.enqueue("package")

    assert run("--health", "waiting", "--max-waiting", "2")[0] == 0
    code, out, _ = run("--health", "broker", "--max-waiting", "1")

    assert code == 1
    assert out == "broker: ok, Memory answers\nwaiting: failed, 2 tasks wait, more than 1\n"


def test_an_old_task_is_not_well_beyond_a_limit(broker, clock):
    broker.enqueue("package")
    clock.advance(40)

    assert run("--health", "age") == (0, "age: ok, the oldest task waits for 40.0 s\n", "")
    assert run("--health", "broker", "--max-age", "30") == (
        1,
        "broker: ok, Memory answers\nage: failed, a task waits for 40.0 s, more than 30 s\n",
        "",
    )


def test_a_probe_of_one_host_is_not_content_with_a_cluster_on_another():
    with wired(board=Board(cluster(12, "vega"))):
        assert run("--health", "cluster")[0] == 0
        assert run("--health", "cluster", "--here")[:2] == (1, "cluster: failed, there is none\n")


def test_json_of_health_is_as_its_schema_says():
    with wired(board=Board(cluster())):
        code, value = read("health", "--health")
    assert (code, value["verdict"]) == (0, "ok")

    with wired(board=SilentBoard()):
        code, value = read("health", "--health", "cluster")
    assert (code, value["verdict"]) == (3, "unknown")
    assert value["checks"] == [
        {
            "name": "cluster",
            "verdict": "unknown",
            "reason": "BoardUnavailable: no route to the board",
        }
    ]


CONFIG = {
    "name": "shop",
    "workers": 3,
    "redis": {"url": f"redis://me:{SECRET}@h:1/0", "receipts": True},
    "error_reporter": {
        "sentry": {"dsn": f"https://{SECRET}@errors.example.com/1"},
        "shop.errors.Slack": {"url": SECRET, "deep": {"a": [SECRET]}},
    },
}


def test_settings_are_shown_as_they_are_used_and_without_secrets():
    with override_settings(Q_CLUSTER=CONFIG, SECRET_KEY=SECRET, SECRET_KEY_FALLBACKS=[SECRET]):
        code, out, err = run("--config")
        _, value = read("config", "--config")

    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[:2] == [f"version: {__version__!r}", "broker: 'redis'"]
    assert "redis: {'url': 'redis://***@h:1/0', 'receipts': True}" in lines
    assert "workers: 3" in lines
    assert "timeout: None" in lines
    assert not [line for line in lines if line.startswith(("mongo", "orm:", "disque_auth"))]
    assert SECRET not in out
    assert value["broker"] == "redis"
    assert value["settings"]["error_reporter"]["shop.errors.Slack"] == {"url": "***", "deep": "***"}
    assert SECRET not in json.dumps(value)


@pytest.mark.parametrize("options", [(), ("--config",), ("--ids",), ("--health",)])
def test_settings_that_are_wrong_are_a_sentence(options):
    with (
        override_settings(Q_CLUSTER={"orm": "default", "workers": 0}),
        wired(broker=None),
        pytest.raises(CommandError, match="'workers'") as refused,
    ):
        run(*options)

    assert refused.value.returncode == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-age", "5"), "write --health beside them"),
        (("--ids", "--max-waiting", "0"), "write --health beside them"),
        (("--health", "--max-age", "0"), "'0' is no number of seconds above 0"),
        (("--health", "--max-age", "inf"), "'inf' is no number of seconds above 0"),
        (("--timeout", "soon"), "'soon' is no number of seconds above 0"),
        (("--health", "--max-waiting", "-1"), "expected one argument|'-1' is no whole number"),
        (("--health", "--max-waiting", "1.5"), "'1.5' is no whole number, 0 or more"),
        (("--health", "cpu"), "invalid choice: 'cpu'"),
        (("--ids", "--config"), "not allowed with argument"),
    ],
)
def test_options_that_are_wrong_are_named(options, words):
    with pytest.raises(CommandError, match=words):
        run(*options)


def test_a_terminal_gets_columns_and_json_that_can_be_read():
    class Terminal(StringIO):
        def isatty(self):
            return True

    out = Terminal()
    call_command("qinfo", stdout=out)
    call_command("qinfo", "--ids", "--json", stdout=out)
    call_command("qinfo", "--health", "broker", "--json", stdout=out)

    assert "Clusters   0  Workers    0     Restarts  0\n" in out.getvalue()
    assert '\n  "verdict": "ok",\n' in out.getvalue()


def test_help_says_what_the_exit_codes_mean():
    words = " ".join(qinfo.Command.help.split())

    assert "Exit codes: 0, all that was asked for was told" in words
    assert "3, something could not be read" in words
