"""`manage.py qmonitor`: what it writes where there is no screen, and when it draws one."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from djq import assembly
from djq.brokers import Broker
from djq.exceptions import BrokerUnavailable
from djq.management.commands.qmonitor import MISSING, Command
from djq.models import Task
from djq.monitor import Stat, written
from djq.wiring import wired
from djq_testing.clock import ManualClock

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
STAT = Stat(
    cluster_id=17004,
    host="Orion",
    tob=NOON - timedelta(seconds=75),
    now=NOON,
    status="Working",
    workers=(1, 2, 3, 4),
    task_q_size=23,
)


class Board:
    """A board with one cluster."""

    def read(self):
        return [written(STAT)]


class Away(Broker):
    """A broker whose server is gone."""

    def queue_size(self):
        raise BrokerUnavailable("no route to the queue")


class Closing(StringIO):
    """Whoever reads it goes after some lines."""

    def __init__(self, lines):
        super().__init__()
        self.lines_left = lines

    def write(self, text):
        self.lines_left -= text.count("\n")
        if self.lines_left < 0:
            raise BrokenPipeError
        return super().write(text)

    def fileno(self):
        return -1


class Interrupted(ManualClock):
    """Somebody presses Ctrl-C in its third pause."""

    pauses = ()

    def pause(self, seconds, longest=None):
        self.pauses = (*self.pauses, seconds)
        if len(self.pauses) == 3:
            raise KeyboardInterrupt
        super().pause(seconds, longest)


@pytest.fixture(autouse=True)
def noon():
    with wired(clock=ManualClock(NOON), board=Board()):
        yield


@pytest.fixture
def kept(db):
    for number, success in enumerate([True, True, False]):
        Task.objects.create(
            id=f"{number:032x}",
            name=f"task-{number}",
            func="shop.tasks.report",
            started=NOON,
            stopped=NOON,
            success=success,
            args=("secret-arg",),
            kwargs={"key": "secret-value"},
            result="secret-result" if success else "ValueError: no card",
        )


def run(*arguments, **options):
    out = StringIO()
    call_command("qmonitor", *arguments, stdout=out, **options)
    return out.getvalue()


def test_one_picture_has_the_documented_columns_and_all_counts(kept):
    assembly.broker_of_this_thread().enqueue("package")

    lines = run("--run-once").splitlines()

    assert lines[:3] == [
        "Host      Id  State    Pool  TQ  RQ  RC       Up",
        "Orion  17004  Working     4  23   0   0  0:01:15",
        "",
    ]
    assert lines[3].startswith("tests at ")
    assert lines[3].endswith("   Queued 1   Success 2   Failures 1")
    assert lines[4:] == ["Ended: minute 0, hour 0, day 0"]


def test_one_line_of_json_has_what_is_shown_and_no_arguments(kept):
    (line,) = run("--run-once", "--json").splitlines()

    seen = json.loads(line)
    assert seen["results"] == {"successes": 2, "failures": 1}
    assert [cluster["cluster_id"] for cluster in seen["clusters"]] == [17004]
    assert [(failed["name"], failed["reason"]) for failed in seen["failures"]] == [
        ("task-2", "ValueError: no card")
    ]
    assert seen["queue"]["size"] == 0
    assert seen["errors"] == {}
    assert "secret" not in line


@pytest.mark.django_db
def test_a_part_that_is_away_is_said_and_the_others_are_there():
    with wired(broker=lambda config, key: Away(key)):
        shown = run("--run-once")

    assert "Queued ?   Success 0   Failures 0" in shown
    assert "queue: BrokerUnavailable: no route to the queue" in shown
    assert "Orion" in shown


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["--json", ""])
def test_a_pipe_gets_plain_pictures_until_whoever_reads_goes(form):
    out = Closing(14)

    call_command("qmonitor", *filter(None, [form]), stdout=out)

    lines = out.getvalue().splitlines()
    if form:
        assert len(lines) == 14
        moments = [datetime.fromisoformat(json.loads(line)["at"]) for line in lines[:3]]
        assert moments == [NOON + timedelta(seconds=seconds) for seconds in (0, 0.5, 1)]
    else:
        assert [line for line in lines if " UTC" in line] == ["12:00:00 UTC", "12:00:00 UTC"]
        assert all(line.isprintable() for line in lines)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "q_cluster", "seconds"),
    [
        ({}, {}, 0.5),
        ({}, {"guard_cycle": 0.1}, 0.5),
        ({}, {"guard_cycle": 2}, 2),
        ({"interval": 7}, {"guard_cycle": 2}, 7),
        ({"interval": 0.1}, {}, 0.1),
    ],
)
def test_ctrl_c_ends_it_and_the_pace_is_what_was_asked_for(settings, options, q_cluster, seconds):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", **q_cluster}
    clock = Interrupted(NOON)

    with wired(clock=clock):
        shown = run("--json", **options)

    assert clock.pauses == (seconds,) * 3
    assert len(shown.splitlines()) == 3


@pytest.mark.parametrize("interval", [0, 0.09, -1, 3_601, float("nan"), float("inf")])
def test_an_interval_that_is_none_is_refused_with_what_is_allowed(interval):
    with pytest.raises(
        CommandError, match=f"--interval is {interval:g}; give seconds from 0.1 to 3600"
    ):
        run("--run-once", interval=interval)


def test_settings_that_are_wrong_are_a_sentence(settings):
    settings.Q_CLUSTER = {"orm": "default", "workers": 0}

    with pytest.raises(CommandError, match="'workers'"):
        run("--run-once")


class OnTerminal(Command):
    """There is a terminal."""

    def is_terminal(self):
        return True


@pytest.mark.django_db
@pytest.mark.parametrize("library", ["textual", "rich"])
def test_without_the_library_there_are_plain_lines_and_what_to_install(monkeypatch, library):
    monkeypatch.delitem(sys.modules, "djq.terminal.qmonitor_app", raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    out, err = Closing(7), StringIO()

    call_command(OnTerminal(), stdout=out, stderr=err)

    assert err.getvalue() == f"{MISSING}\n"
    assert "pip install 'djq[monitor]'" in MISSING
    assert "Orion  17004  Working" in out.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("option", ["--run-once", "--json"])
def test_pictures_and_json_need_no_library_on_a_terminal_either(monkeypatch, option):
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.delitem(sys.modules, "djq.terminal.qmonitor_app", raising=False)
    out, err = Closing(6), StringIO()

    call_command(OnTerminal(), option, stdout=out, stderr=err)

    assert "17004" in out.getvalue()
    assert err.getvalue() == ""


def test_what_is_written_into_a_variable_is_no_terminal():
    assert not Command(stdout=StringIO()).is_terminal()
