"""Holds what a log record has beside its words: facts by name, and never an argument."""

from __future__ import annotations

import json
import logging
import re

import pytest

from djq.core import events
from djq.core.lifecycle import Role
from djq.signals import FIELDS, LoggingObserver
from djq.tasks import async_task
from tests.house.source import ROOT

OF_EVERY_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
"""The last three are there once a record was formatted, and from Python 3.12 on."""
FACTS = (f"{1:032x}", "two-by-two", "shop.orders.send", "letters", 2)


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "djq")
    return caplog


def fields_of(record):
    return {name: value for name, value in vars(record).items() if name not in OF_EVERY_RECORD}


def test_no_field_takes_the_place_of_one_that_every_record_has():
    ours = {"cluster", *FIELDS.values(), *events.FACTS}

    assert ours.isdisjoint(OF_EVERY_RECORD)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            events.TaskSaved(*FACTS, True, "", 0.25),
            {"attempt": 2, "success": True, "duration": 0.25},
        ),
        (events.TaskHandedBack(*FACTS), {"attempt": 2}),
        (events.TaskUnsaved(*FACTS, "too large"), {"attempt": 2}),
        (events.HookFailed(*FACTS, "ValueError: no", ""), {"attempt": 2}),
    ],
)
def test_a_record_about_a_task_has_its_facts(log, event, fields):
    LoggingObserver("shop").notify(event)

    assert fields_of(log.records[0]) == {
        "cluster": "shop",
        "task_id": f"{1:032x}",
        "task_name": "two-by-two",
        "func": "shop.orders.send",
        "group": "letters",
        **fields,
    }


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (events.ClusterStarting("31"), {"cluster_id": "31"}),
        (events.ChildReady(Role.WORKER, "Process-1:1", 32), {"role": "worker", "pid": 32}),
        (events.ChildStopped(Role.PUSHER, "Process-1:2", 33), {"role": "pusher", "pid": 33}),
        (events.ChildReplaced(Role.WORKER, "P", "signal 9", False), {"role": "worker"}),
        (events.ServiceAway("broker", "refused"), {"service": "broker"}),
        (
            events.ScheduleSent(7, "nightly", f"{2:032x}", "shop.orders.close"),
            {"schedule": 7, "task_id": f"{2:032x}", "func": "shop.orders.close"},
        ),
    ],
)
def test_another_record_has_the_cluster_and_what_it_is_about(log, event, fields):
    LoggingObserver("shop").notify(event)

    assert fields_of(log.records[0]) == {"cluster": "shop", **fields}


@pytest.mark.django_db
def test_the_record_of_a_task_that_failed_says_which_and_shows_no_argument(log, settings):
    settings.Q_CLUSTER = {"name": "shop", "orm": "default"}

    id = async_task("operator.truediv", 987_654_321, 0, group="letters", sync=True)

    (record,) = [one for one in log.records if hasattr(one, "task_id")]
    fields = fields_of(record)
    assert fields.pop("duration") >= 0
    assert fields == {
        "cluster": "shop",
        "task_id": id,
        "task_name": fields["task_name"],
        "func": "operator.truediv",
        "group": "letters",
        "attempt": 1,
        "success": False,
    }
    assert record.levelname == "ERROR"
    assert "987654321" not in str(vars(record))


def test_the_formatter_of_the_docs_writes_every_field_as_json():
    page = (ROOT / "docs" / "reporting.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n([^`]*class JsonFormatter[^`]*)```", page)
    module = {}
    exec(code, module)
    record = logging.makeLogRecord({"msg": "words", "cluster": "shop", "task_id": "1", "pid": 3})

    line = json.loads(module["JsonFormatter"]().format(record))

    assert {**line, "time": ""} == {
        "time": "",
        "level": record.levelname,
        "message": "words",
        "cluster": "shop",
        "task_id": "1",
        "pid": 3,
    }
    assert set(module["FIELDS"]) == {"cluster", *FIELDS.values(), *events.FACTS}
    named = re.findall(r"^\| (`.*?`) \|", page, flags=re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(named))) == set(module["FIELDS"])
