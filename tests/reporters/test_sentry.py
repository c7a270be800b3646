"""Holds the reporter for Sentry, on its own library and a server that records."""

from __future__ import annotations

import logging

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from djq.exceptions import ConfigError
from djq.reporters.sentry import QUIET, NotTaken, SentryReporter
from tests.reporters.conftest import ABOUT, ARGUMENT


@pytest.fixture
def made():
    """Make reporters that are closed after the test."""
    reporters = []

    def make(**options):
        reporters.append(SentryReporter(**options))
        return reporters[-1]

    yield make
    for reporter in reporters:
        if reporter._client is not None:
            reporter._client.close(timeout=1)


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch):
    monkeypatch.delenv("SENTRY_DSN", raising=False)


@pytest.fixture
def project():
    """Call `sentry_sdk.init` as a project does; its client is gone after the test."""

    def init(**options):
        quiet = {name: QUIET[name] for name in QUIET if name.endswith("integrations")}
        sentry_sdk.init(**quiet, **options)

    yield init
    sentry_sdk.get_client().close(timeout=1)
    sentry_sdk.Scope.get_global_scope().set_client(None)


def test_an_exception_arrives_with_its_traceback_and_the_tasks_facts(server, raised, made):
    made(**server.sentry).report(raised, ABOUT)
    (event,) = server.events
    (value,) = event["exception"]["values"]

    assert (event["environment"], event["transaction"]) == ("test", "shop.orders.send")
    assert (value["type"], value["value"]) == ("ValueError", "no address in 23 letters")
    assert [frame["function"] for frame in value["stacktrace"]["frames"]] == ["raised", "send"]
    assert (value["mechanism"]["type"], value["mechanism"]["handled"]) == ("djq", False)
    assert event["contexts"]["djq"] == ABOUT
    assert event["tags"] == {"cluster": "shop"}
    assert "fingerprint" not in event
    assert ARGUMENT not in server.bodies[0][2]


def test_an_error_without_a_traceback_is_one_of_its_function(server, died, made):
    made(**server.sentry).report(died, ABOUT)
    (event,) = server.events

    assert event["exception"]["values"][0]["type"] == "WorkerDied"
    assert event["fingerprint"] == ["WorkerDied", "shop.orders.send"]


def test_variables_are_shown_to_who_asks_for_them(server, raised, made):
    made(**server.sentry, include_local_variables=True).report(raised, ABOUT)

    assert ARGUMENT in server.bodies[0][2]


def test_a_service_in_trouble_is_an_error_and_the_next_report_is_tried(server, raised, made):
    reporter = made(**server.sentry)
    server.status = 500
    with pytest.raises(NotTaken, match="status_500"):
        reporter.report(raised, ABOUT)
    server.status = 200
    reporter.report(raised, ABOUT)

    assert len(server.events) == 2


def test_a_client_of_ones_own_is_nobody_elses(server, raised, made):
    made(**server.sentry).report(raised, ABOUT)
    logging.getLogger("shop").error("not for Sentry")

    assert not sentry_sdk.get_client().is_active()
    assert len(server.events) == 1


def test_without_options_the_projects_client_is_used_and_shows_no_variables(
    server, raised, made, project
):
    project(**{**server.sentry, "environment": "its own"})
    made().report(raised, ABOUT)

    assert [event["environment"] for event in server.events] == ["its own"]
    assert ARGUMENT not in server.bodies[0][2]


def test_without_options_and_without_a_project_that_has_a_client_it_says_so(raised, made):
    with pytest.raises(ConfigError, match=r"sentry_sdk\.init was not called"):
        made().report(raised, ABOUT)


@pytest.mark.parametrize("options", [{"environment": "test"}, {"dsn": None}, {"dsn": ""}])
def test_options_with_which_nothing_would_be_sent_are_an_error_that_says_what_to_do(made, options):
    with pytest.raises(
        ConfigError, match=r"no 'dsn', and SENTRY_DSN is not set .* Give it a 'dsn'"
    ):
        made(**options)


def test_address_may_stand_in_the_environment(server, raised, made, monkeypatch):
    options = server.sentry
    monkeypatch.setenv("SENTRY_DSN", options.pop("dsn"))

    SentryReporter.check(options)
    made(**options).report(raised, ABOUT)

    assert len(server.events) == 1


def test_transport_of_ones_own_needs_no_address(raised, made):
    class Kept(Transport):
        def capture_envelope(self, envelope):
            envelopes.append(envelope)

    envelopes, options = [], {"transport": Kept({"dsn": None})}

    SentryReporter.check(options)
    made(**options).report(raised, ABOUT)

    assert [envelope.get_event()["transaction"] for envelope in envelopes] == ["shop.orders.send"]


def test_project_that_sends_nothing_itself_is_left_to_it(raised, made, project):
    project(environment="test")

    made().report(raised, ABOUT)
