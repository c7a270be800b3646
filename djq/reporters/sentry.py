"""Reports errors to Sentry, with its own library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import sentry_sdk
from sentry_sdk.transport import HttpTransport
from sentry_sdk.utils import event_from_exception

from djq.exceptions import ConfigError

FLUSH_SECONDS = 5.0
"""How long to wait until an error is on its way."""

QUIET = {
    # They would change how the whole process works: what it logs, requests and imports.
    "default_integrations": False,
    "auto_enabling_integrations": False,
    # Variables of frames hold the arguments of tasks.
    "include_local_variables": False,
}


NOWHERE = (
    "Q_CLUSTER['error_reporter']['sentry'] has options and no 'dsn', and SENTRY_DSN is not set in the "
    "environment: errors would go nowhere. Give it a 'dsn'; or leave 'sentry' out where nothing is to be "
    "reported; or write {} for its options, to use the client of your own sentry_sdk.init"
)


class NotTaken(Exception):
    """Sentry did not take a report."""


class CarefulTransport(HttpTransport):
    """Remembers that something was not taken; the library tells nobody."""

    lost = ""

    def on_dropped_event(self, reason: str) -> None:
        self.lost = reason


class SentryReporter:
    """Passes each error on, and waits until it is on its way.

    It has a client of its own, beside one that the project may have. Without options it has none, and
    uses the project's.
    """

    def __init__(self, **options: Any) -> None:
        """`options` are those of `sentry_sdk.init`.

        Raises:
            ConfigError: With these, nothing would ever be sent.
        """
        own = {"transport": CarefulTransport, **QUIET, **options}
        self._client = sentry_sdk.Client(**own) if options else None
        if self._client is not None and self._client.transport is None:
            raise ConfigError(NOWHERE)

    @staticmethod
    def check(options: Mapping[str, Any]) -> None:
        """Refuse options that name no service at all, without making a client of them.

        A DSN that is an empty text was written down: the library takes that for a switch, which is off.

        Raises:
            ConfigError: Nothing would ever be sent.
        """
        named = (options.get("dsn"), os.environ.get("SENTRY_DSN"), options.get("transport"))
        if options and all(name is None for name in named):
            raise ConfigError(NOWHERE)

    def report(self, error: BaseException, about: Mapping[str, Any]) -> None:
        """Send it.

        Raises:
            ConfigError: There are no options, and the project has not called `sentry_sdk.init`.
            NotTaken: The service did not take this report, or one before it.
        """
        client = sentry_sdk.get_client() if self._client is None else self._client
        if not client.is_active():
            raise ConfigError(
                "Q_CLUSTER['error_reporter'] has no options for Sentry, and sentry_sdk.init was not "
                "called in this process: give it a 'dsn'"
            )
        options = client.options if self._client else {**client.options, **QUIET}
        event, hint = event_from_exception(
            error, client_options=options, mechanism={"type": "djq", "handled": False}
        )
        event["transaction"] = about["func"]
        if error.__traceback__ is None:
            event["fingerprint"] = [type(error).__name__, about["func"]]
        scope = sentry_sdk.Scope()
        scope.set_context("djq", dict(about))
        scope.set_tag("cluster", about["cluster"])
        client.capture_event(event, hint, scope=scope)
        client.flush(timeout=FLUSH_SECONDS)
        if isinstance(client.transport, CarefulTransport) and client.transport.lost:
            reason, client.transport.lost = client.transport.lost, ""
            raise NotTaken(f"Sentry did not take it: {reason}")
