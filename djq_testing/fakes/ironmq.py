"""IronMQ in memory: djq's own adapter on iron-mq's client, which reaches a service without a network.

`djq_testing.fakes.ironmq_server` serves the same over HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from djq.brokers.ironmq import IronMqBroker
from djq.brokers.ironmq_client import Client, IronMqServer
from djq.core.config import Config
from djq.ports import Broker, Clock
from djq_testing.fakes.ironmq_service import IronMqService

__all__ = ["FakeIronMqBroker", "IronMqService", "broker_maker", "connector", "make_fake"]


class _InMemory(BaseAdapter):
    """Carries the requests of the library `requests` to a service in the same process."""

    def __init__(self, service: IronMqService) -> None:
        super().__init__()
        self._service = service

    def send(self, request: PreparedRequest, *_args: Any, **_options: Any) -> Response:
        response = Response()
        body = request.body if isinstance(request.body, (str, bytes)) else b""
        authorization = str(request.headers.get("Authorization", ""))
        response.status_code, told = self._service.answer(
            str(request.method), str(request.url), body, authorization
        )
        response.headers = CaseInsensitiveDict({"Content-Type": "application/json"})
        response.request, response.url = request, str(request.url)
        response._content = json.dumps(told).encode()  # noqa: SLF001 - nothing else takes bytes
        return response

    def close(self) -> None:
        pass


def connector(service: IronMqService) -> Callable[[], Client]:
    """Give what makes clients of iron-mq that reach this service without a network."""
    server = IronMqServer(options={**service.options, "host": "ironmq.invalid", "protocol": "http"})

    def connect() -> Client:
        client = server()
        client.client.session.mount("http://", _InMemory(service))
        return client

    return connect


class FakeIronMqBroker(IronMqBroker):
    """The broker, which knows the service that it is on."""

    def __init__(self, list_key: str, *, service: IronMqService, **options: Any) -> None:
        super().__init__(list_key, connect=connector(service), **options)
        self.service = service

    def lock_size(self) -> int | None:
        """How many packages are out: the real service does not tell."""
        return self.service.lent(self.list_key)

    def next_available(self) -> datetime | None:
        """When the next package comes; in the past: it is here. None: there is none."""
        return self.service.next_available(self.list_key)


def broker_maker(name: str) -> Callable[[Config, str, Clock], Broker]:  # noqa: ARG001 - there is one kind
    """Give what makes the brokers of the queues of one service in memory."""
    services: dict[str, IronMqService] = {}

    def make(config: Config, list_key: str, clock: Clock) -> Broker:
        service = services.setdefault("one", IronMqService(clock))
        return make_fake(list_key, service=service, retry_seconds=config.retry)

    return make


def make_fake(list_key: str, *, service: IronMqService, retry_seconds: float) -> FakeIronMqBroker:
    """Make a broker that keeps the clock of the service, and never waits."""
    return FakeIronMqBroker(list_key, service=service, retry_seconds=retry_seconds, wait_seconds=0)
