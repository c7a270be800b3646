"""Amazon SQS in memory: djq's own adapter and boto3's own client on moto, by the test's clock.

Nothing of boto3 is patched, and nothing of moto is started: the client hands each request to the server in
memory instead of sending it. moto tells the real time and cannot be told another, so this server has a copy
of moto's model for itself, in which time is the test's. What moto leaves out or has otherwise than AWS is put
right there: handles that are void, messages that are kept too long, twelve hours in all.

AWS delivers in any order. So does this, by a seed.
"""

from __future__ import annotations

import importlib.util
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config as ClientConfig
from moto.core import request as requests
from moto.core.botocore_stubber import MockRawResponse
from moto.sqs.exceptions import ReceiptHandleIsInvalid
from moto.sqs.responses import SQSResponse

from djq.brokers.sqs import SqsBroker
from djq.brokers.sqs_client import options_of, refuse_queue
from djq.core.config import Config
from djq.ports import Broker, Clock
from djq_testing.fakes.s3 import MemoryS3

__all__ = ["FakeSqsBroker", "SqsServer", "broker_maker", "make_fake"]

Moment = int | Fraction
"""In milliseconds, as moto reckons."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
REGION = "eu-west-1"
TWELVE_HOURS = 43_200_000
IN_FRONT = 1
"""When a message that was given back is due: before all others."""


class SqsServer:
    """SQS in memory. It counts what it is asked for."""

    def __init__(
        self, clock: Clock, *, shuffle: int | None = 0, purges_often: bool = False
    ) -> None:
        """Start it, empty.

        Args:
            clock: What all of its moments go by.
            shuffle: A seed: messages come in any order. None: the oldest first.
            purges_often: A queue can be purged as often as anybody likes. False: once a minute, as at AWS.
        """
        self.calls: Counter[str] = Counter()
        """How often each operation was asked for."""
        self.s3 = MemoryS3()
        """Where large packages go, if there is an `s3_bucket`."""
        self._model = _model(clock, None if shuffle is None else random.Random(shuffle))
        self._model.sqs_enforce_strict_queue_purge_behaviour = lambda: not purges_often
        self._backend = self._model.SQSBackend(REGION, "123456789012")
        self._clock = clock
        self._lock = threading.Lock()
        self._client = _session().create_client(
            "sqs",
            region_name=REGION,
            endpoint_url=f"https://sqs.{REGION}.amazonaws.com",
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",  # noqa: S106 - no secret
            config=ClientConfig(retries={"total_max_attempts": 1}),
        )
        self._client.meta.events.register("before-send.sqs", self._answer)

    def __call__(self, service: str) -> Any:
        """Give the client of a service, as `connect` of a broker has to."""
        return self.s3 if service == "s3" else self._client

    def next_available(self, queue: str) -> datetime | None:
        """When the next message of a queue comes; in the past: it is here. None: there is none."""
        with self._lock:
            kept = self._backend.queues.get(queue)
            due = min((message.due for message in kept.kept()), default=None) if kept else None
        return None if due is None else EPOCH + int(due * 1_000) * MICROSECOND

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        for name, value in list(request.headers.items()):
            if isinstance(value, bytes):
                del request.headers[name]
                request.headers[name] = value.decode()
        with self._lock:
            asked = requests.normalize_request(request)
            handler = _Handler(self._backend)
            status, headers, body = handler._dispatch(asked, request.url, asked.headers)  # noqa: SLF001
            self.calls[handler._get_action()] += 1  # noqa: SLF001
        headers["date"] = format_datetime(self._clock.now(), usegmt=True)
        return AWSResponse(request.url, status, headers, MockRawResponse(body))


class _Handler(SQSResponse):
    """moto's own reading of requests, for one server."""

    def __init__(self, backend: Any) -> None:
        super().__init__()
        self._backend = backend

    @property
    def sqs_backend(self) -> Any:
        return self._backend


@lru_cache(maxsize=1)
def _session() -> Any:
    """A session that looks neither into the environment nor into the files of whoever runs the test."""
    nothing = (None, None, None, None)
    nowhere = (None, None, os.devnull, None)
    return botocore.session.Session(
        {"profile": nothing, "config_file": nowhere, "credentials_file": nowhere}
    )


def _model(clock: Clock, order: random.Random | None) -> Any:
    """A copy of moto's model of SQS, in which time is this clock's, and some things are as AWS has them."""
    spec = importlib.util.find_spec("moto.sqs.models")
    assert spec is not None and spec.loader is not None, "moto was imported above"  # noqa: PT018
    model: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(model)

    def milliseconds() -> Moment:
        # Exact, so that a lease ends when it ends; and a fraction takes its time.
        microseconds = (clock.now() - EPOCH) // MICROSECOND
        whole, rest = divmod(microseconds, 1_000)
        return Fraction(microseconds, 1_000) if rest else whole

    model.unix_time = lambda: float(milliseconds() / 1_000)
    model.unix_time_millis = milliseconds
    # Half of the time goes into this.
    model.camelcase_to_underscores = lru_cache(model.camelcase_to_underscores)
    model.Message = _messages(model, milliseconds)
    model.Queue = _queues(model, milliseconds)
    model.SQSBackend = _backends(model, order)
    return model


def _messages(model: Any, now: Callable[[], Moment]) -> Any:
    class Message(model.Message):  # type: ignore[misc]
        sent_at: Moment = 0
        """As SentTimestamp, which has whole milliseconds."""
        received_at: Moment = 0

        @property
        def due(self) -> Moment:
            due: Moment = self.visible_at or max(self.sent_at, self.delayed_until)
            return due

        @property
        def visible(self) -> bool:
            return bool(now() >= self.visible_at)

        def mark_sent(self, delay_seconds: int | None = None) -> None:
            super().mark_sent(delay_seconds)
            self.sent_at = now()

        def mark_received(self, visibility_timeout: int | None = None) -> None:
            self.received_at = now()
            super().mark_received(visibility_timeout)

        def change_visibility(self, visibility_timeout: int) -> None:
            if now() + visibility_timeout * 1_000 - self.received_at > TWELVE_HOURS:
                raise ReceiptHandleIsInvalid  # AWS says it in other words
            super().change_visibility(visibility_timeout)
            if not visibility_timeout:
                self.visible_at = IN_FRONT

        def had_receipt_handle(self, receipt_handle: str) -> bool:
            # To AWS the handle of an earlier delivery is void.
            return bool(receipt_handle == self.receipt_handle)

    return Message


def _queues(model: Any, now: Callable[[], Moment]) -> Any:
    class Queue(model.Queue):  # type: ignore[misc]
        counts = False

        def kept(self) -> Any:
            """What is not too old yet."""
            oldest = now() - self.message_retention_period * 1_000
            every = self._messages
            every[:] = [each for each in every if each.sent_at > oldest]
            return list(every)

        @property
        def messages(self) -> list[Any]:
            time = now()
            kept = self.kept()
            return [each for each in kept if each.visible_at <= time and each.delayed_until <= time]

        # moto counts all of them whenever it looks at any attribute, as for each message that is sent.
        @property
        def approximate_number_of_messages(self) -> int:
            return len(self.messages) if self.counts else 0

        @property
        def approximate_number_of_messages_delayed(self) -> int:
            return sum(each.delayed for each in self.kept()) if self.counts else 0

        @property
        def approximate_number_of_messages_not_visible(self) -> int:
            return sum(not each.visible for each in self.kept()) if self.counts else 0

    return Queue


def _backends(model: Any, order: random.Random | None) -> Any:
    class SQSBackend(model.SQSBackend):  # type: ignore[misc]
        def receive_message(
            self, queue_name: str, count: int, _wait: int, lease: int, *_: Any
        ) -> list[Any]:
            """As moto, but that it neither waits nor leaves the order to the list."""
            queue = self.get_queue(queue_name)
            here = queue.messages
            if queue.fifo_queue:
                out = {each.group_id for each in queue.kept() if not each.visible}
                here = [each for each in here if each.group_id not in out]
            else:
                here.sort(key=lambda each: each.due)
                if order is not None:
                    order.shuffle(here)
            taken: list[Any] = here[:count]
            for message in taken:
                message.mark_received(lease)
            return taken

        def get_queue_attributes(self, queue_name: str, attribute_names: list[str]) -> Any:
            queue = self.get_queue(queue_name)
            queue.counts = True
            try:
                return super().get_queue_attributes(queue_name, attribute_names)
            finally:
                queue.counts = False

        def change_message_visibility(
            self, queue_name: str, receipt_handle: str, visibility_timeout: int
        ) -> None:
            """As moto, which has the twelve hours begin when the message was sent."""
            for message in self.get_queue(queue_name).kept():
                if message.had_receipt_handle(receipt_handle):
                    message.change_visibility(int(visibility_timeout))
                    return
            raise ReceiptHandleIsInvalid

    return SQSBackend


class FakeSqsBroker(SqsBroker):
    """The broker on a server in memory."""

    def __init__(self, list_key: str, *, server: SqsServer, **options: Any) -> None:
        super().__init__(list_key, connect=server, wait_seconds=0, at_once=1, **options)
        self.server = server

    def next_available(self) -> datetime | None:
        """When the next package comes; in the past: it is here. None: there is none."""
        return self.server.next_available(self.queue_name)

    def close(self) -> None:
        """The client is the server's own, and stays open."""
        self._client = self._url = None


def broker_maker(_name: str) -> Callable[[Config, str, Clock], Broker]:
    """Give what makes the brokers of one test's queues, all on one server, which is made with the first."""
    servers: list[SqsServer] = []

    def make(config: Config, list_key: str, clock: Clock) -> Broker:
        if not servers:
            servers.append(SqsServer(clock))
        options = options_of(config, list_key, servers[0])
        return FakeSqsBroker(list_key, server=servers[0], **options)

    return make


def make_fake(
    list_key: str, *, server: SqsServer, retry_seconds: float, **options: Any
) -> FakeSqsBroker:
    """Make a broker that keeps the test's clock."""
    broker = FakeSqsBroker(list_key, server=server, retry_seconds=retry_seconds, **options)
    refuse_queue(broker.queue_name, retry_seconds)
    return broker
