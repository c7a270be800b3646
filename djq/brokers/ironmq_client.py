"""From the setting `iron_mq` to a client of iron-mq that repeats nothing and gives up in time.

iron-mq waits for an answer for ever, makes a connection for every call, and sends a message up to six times
when the service is busy. One method of it is replaced here, the one that speaks HTTP; the words of the API
are its own.

What the setting does not say iron-mq reads by itself: from `iron.json` in the working directory, from
environment variables (`IRON_MQ_TOKEN`), from `.iron.json` at home. Nothing connects before a client is used.
An `IronMqServer` can be pickled, and each process makes a client of its own from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from iron_core import IronClient
from iron_mq import IronMQ
from requests import HTTPError, PreparedRequest, Response, Session

from djq.brokers.ironmq import WAIT_SECONDS, IronMqBroker
from djq.brokers.ironmq_options import (
    API_VERSION,
    LIBRARY,
    check_found,
    check_written,
    keep_seconds,
    lacking,
    seconds,
)
from djq.core.config import Config
from djq.exceptions import ConfigError
from djq.ports import Clock

__all__ = ["Client", "IronMqServer", "make_broker", "read_server"]

TIMEOUT_SECONDS = 5.0
"""How long the service may be silent, unless the settings say otherwise."""
LEASE_SECONDS_MIN = 30
LEASE_SECONDS_MAX = 86_400
UNAUTHORIZED = 401
ERRORS_FROM = 300
"""The first status that is no success: redirections are not followed, they would carry the token along."""


def make_broker(config: Config, list_key: str, *, clock: Clock | None) -> IronMqBroker:
    """Make the broker of the setting `iron_mq`; with a clock that stands in for the service's, nobody waits.

    Raises:
        ConfigError: The setting is wrong, or `retry` is no lease that the service gives.
    """
    setting = config.iron_mq or {}
    server = read_server(setting)
    shortest = seconds(setting, "lease_seconds_min", LEASE_SECONDS_MIN)
    if not shortest <= config.retry <= LEASE_SECONDS_MAX:
        raise ConfigError(
            f"Q_CLUSTER['retry'] is {config.retry:g}; IronMQ lends a message for {shortest:g} to "
            f"{LEASE_SECONDS_MAX:,} seconds. Set 'retry' to as many; tasks may take longer, their "
            "leases are renewed."
        )
    return IronMqBroker(
        list_key,
        connect=server,
        retry_seconds=config.retry,
        wait_seconds=WAIT_SECONDS if clock is None else 0,
        keep_seconds=keep_seconds(setting),
    )


@attrs.frozen(kw_only=True)
class IronMqServer:
    """Where the queue is. Call it for a client."""

    options: Mapping[str, Any] = attrs.field(repr=False)
    """Arguments of iron-mq's client."""
    timeout_seconds: float = TIMEOUT_SECONDS

    def __call__(self) -> Client:
        return Client(self.options, self.timeout_seconds)


class Client(IronMQ):  # type: ignore[misc]  # it has no annotations
    """A client of iron-mq over one connection, which is made when it is first used."""

    def __init__(self, options: Mapping[str, Any], timeout_seconds: float) -> None:
        around = {"name": self.NAME, "version": self.VERSION, "product": "iron_mq"}
        self.client = _Http(**{"api_version": API_VERSION, **options, **around})
        self.client.timeouts = (timeout_seconds, timeout_seconds + WAIT_SECONDS)

    def close(self) -> None:
        self.client.session.close()


class _Http(IronClient):  # type: ignore[misc]  # it has no annotations
    """Speaks HTTP for iron-mq: once, and not for ever."""

    timeouts: tuple[float, float]
    """How many seconds a connection and an answer may take; the service itself waits for a part of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.session = Session()
        # Else a line in ~/.netrc would take the place of the token.
        self.session.auth = _unchanged
        self._lent_token: str | None = None

    def _doRequest(  # noqa: N802 - iron-mq's own name
        self, url: str, method: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> Response:
        answer = self._once(url, method, body, headers or {})
        if answer.status_code == UNAUTHORIZED and self.keystone:
            # The token has run out: nothing was done.
            self._lent_token = None
            answer = self._once(url, method, body, headers or {})
        return _successful(answer)

    def _once(self, url: str, method: str, body: str, headers: Mapping[str, str]) -> Response:
        return self.session.request(
            method,
            url,
            data=body,
            headers={**headers, "Authorization": f"OAuth {self._current_token()}"},
            timeout=self.timeouts,
            allow_redirects=False,
        )

    def _current_token(self) -> str:
        if not self.keystone:
            return str(self.token)
        if self._lent_token is None:
            names = {"username": self.keystone["username"], "password": self.keystone["password"]}
            answer = self.session.post(
                f"{str(self.keystone['server']).rstrip('/')}/tokens",
                json={
                    "auth": {"tenantName": self.keystone["tenant"], "passwordCredentials": names}
                },
                timeout=self.timeouts,
                allow_redirects=False,
            )
            self._lent_token = str(_successful(answer).json()["access"]["token"]["id"])
        return self._lent_token


def _unchanged(request: PreparedRequest) -> PreparedRequest:
    return request


def _successful(answer: Response) -> Response:
    if answer.status_code >= ERRORS_FROM:
        raise HTTPError(f"status {answer.status_code}", response=answer)
    return answer


def read_server(setting: Mapping[str, Any]) -> IronMqServer:
    """Read the setting `iron_mq`: iron-mq's options, and three of djq's own.

    Raises:
        ConfigError: An option is not known or wrong, or a token or project is nowhere to be found.
    """
    check_written(setting)
    server = IronMqServer(
        options={key: setting[key] for key in LIBRARY if setting.get(key) is not None},
        timeout_seconds=seconds(setting, "http_timeout", TIMEOUT_SECONDS),
    )
    try:
        found = server().client
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        # Its words may quote what a file has.
        raise ConfigError(lacking(str(error))) from None
    check_found(found, setting)
    return server
