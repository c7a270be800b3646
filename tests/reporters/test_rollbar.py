"""Holds the reporter for Rollbar, on its own library and a server that records."""

from __future__ import annotations

import copy
import logging

import pytest
import rollbar

from djq.reporters.rollbar import RollbarReporter
from tests.reporters.conftest import ABOUT, ARGUMENT


@pytest.fixture(autouse=True)
def _own_settings():
    """The library has one set of settings a process."""
    before = copy.deepcopy(rollbar.SETTINGS)
    yield
    rollbar.SETTINGS = before
    rollbar._initialized = False


def test_an_exception_arrives_with_its_traceback_and_the_tasks_facts(server, raised):
    RollbarReporter(**server.rollbar).report(raised, ABOUT)
    ((_, headers, text),) = server.bodies
    (item,) = server.items
    trace = item["body"]["trace"]

    assert headers["X-Rollbar-Access-Token"] == "token-of-the-test"
    assert (item["environment"], item["context"]) == ("test", "shop.orders.send")
    assert trace["exception"] == {"class": "ValueError", "message": "no address in 23 letters"}
    assert [frame["method"] for frame in trace["frames"]] == ["raised", "send"]
    assert item["custom"] == ABOUT
    assert "fingerprint" not in item
    assert ARGUMENT not in text


def test_an_error_without_a_traceback_is_one_of_its_function(server, died):
    RollbarReporter(**server.rollbar).report(died, ABOUT)
    (item,) = server.items

    assert item["body"]["trace"]["exception"]["class"] == "WorkerDied"
    assert item["fingerprint"] == "WorkerDied shop.orders.send"


def test_variables_are_shown_to_who_asks_for_them(server, raised):
    RollbarReporter(**server.rollbar, locals={"enabled": True}).report(raised, ABOUT)

    assert ARGUMENT in server.bodies[0][2]


def test_a_service_in_trouble_is_told_on_the_librarys_own_log(server, raised, caplog):
    server.status = 500
    with caplog.at_level(logging.WARNING, "rollbar"):
        RollbarReporter(**server.rollbar).report(raised, ABOUT)

    assert "unexpected status code from Rollbar api: 500" in caplog.text


def test_what_the_project_has_set_itself_stands(server, raised):
    rollbar.init(**{**server.rollbar, "environment": "its own", "handler": "blocking"})
    RollbarReporter(**server.rollbar).report(raised, ABOUT)

    assert server.items[0]["environment"] == "its own"
