"""The queue at Amazon SQS as its broker asks it: looked up, created if there is none, errors made ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from djq.brokers.one_client import OneClient
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.ports import Broker

__all__ = ["ConnectedToSqs"]

KEPT_SECONDS = 1_209_600
"""How long a queue that djq creates keeps a message: fourteen days, the most there is."""

SERVER_FAULT = 500
"""From here on a status of HTTP says that the server itself has failed."""

_LIMITS = ["MaximumMessageSize", "MessageRetentionPeriod"]
_NO_QUEUE = {"NonExistentQueue", "QueueDoesNotExist"}
_THERE = {"QueueAlreadyExists", "QueueNameExists"}
"""What is said if somebody was faster, and made it another way."""
_REFUSED = {"InvalidParameterValue", "InvalidMessageContents", "BatchRequestTooLong"}
"""What is said of a message that will never be taken."""
_UNSAID: Mapping[str, Any] = {"Code": "not said", "SenderFault": True}
"""Of what the answer has no word: it may have been done, and is not tried again."""
_DECLINED: Mapping[str, Any] = {"Code": "declined", "SenderFault": True}
"""Of what was in a call that the server did not accept: it has not been done."""

Told = dict[str, Mapping[str, Any]]
"""What was said of each entry of a batch, by its id: with a `Code` it failed."""


class Declined(BrokerUnavailable):
    """The server has answered, and said that it did nothing."""


_USER = re.compile(r"//[^/@\s]*@")


class ConnectedToSqs(OneClient, Broker):
    """A broker whose client is made when it is first needed, in each process anew."""

    def __init__(self, list_key: str, *, connect: Callable[[str], Any], fifo: bool) -> None:
        """`connect` makes a client of boto3 that repeats nothing, of the service that it is told."""
        super().__init__(list_key)
        self.queue_name = queue_name(list_key, fifo=fifo)
        self._connect = connect
        self._fifo = fifo
        self._url: str | None = None
        self._limits: dict[str, dict[str, int]] = {}

    def ping(self) -> bool:
        """Whether SQS answers us; the queue need not be there."""
        try:
            with self._served() as client:
                _found(client, self.queue_name)
        except BrokerUnavailable:
            return False
        return True

    def info(self) -> str:
        """Name of the service, and the region."""
        with self._served() as client:
            return f"Amazon SQS, {client.meta.region_name}"

    def close(self) -> None:
        self._url = None
        super().close()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_url": None}

    def _do_each(
        self,
        operation: str,
        entries: Sequence[Mapping[str, Any]],
        told: Told,
        no_error: Iterable[str] = (),
    ) -> None:
        """Do the same with up to ten; what the server says it has not done is tried once more.

        What is said of them goes into `told`, when it raises as well: some may have been done then.
        """
        ask = self._ask if operation == "send_message_batch" else self._ask_if_there
        left = list(entries)
        for _ in range(2):
            told |= {entry["Id"]: _UNSAID for entry in left}
            try:
                answer = ask(operation, Entries=left)
            except (Declined, TaskRefused):
                told |= {entry["Id"]: _DECLINED for entry in left}
                raise
            if answer is None:
                answer = {"Successful": left}
            told |= {each["Id"]: each for each in answer.get("Successful", ())}
            told |= {each["Id"]: {"Code": "", **each} for each in answer.get("Failed", ())}
            left = [
                entry
                for entry in left
                if is_failed(told[entry["Id"]]) and _code(told[entry["Id"]]) not in no_error
            ]
            if not left:
                return
            if any(told[entry["Id"]]["SenderFault"] for entry in left):
                break
        first = told[left[0]["Id"]]
        words = (
            f"SQS did not do {len(left)} of {len(entries)} in the queue {self.queue_name!r} "
            f"({operation}): {_words(first)}"
        )
        refused = operation == "send_message_batch" and _code(first) in _REFUSED
        raise TaskRefused(words) if refused else BrokerUnavailable(words)

    def _ask_if_there(self, operation: str, **arguments: Any) -> Mapping[str, Any] | None:
        """As `_ask`, of a queue that need not be there. None: it is not."""
        with self._served() as client:
            url = self._find()
            if url is None:
                return None
            try:
                answer: Mapping[str, Any] = getattr(client, operation)(QueueUrl=url, **arguments)
            except ClientError as error:
                if _code(error.response.get("Error", {})) not in _NO_QUEUE:
                    raise
                self._url = None
                return None
            return answer

    def _ask(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """Ask for something in the queue, which is looked up before, and created if there is none."""
        with self._served() as client:
            for again in (True, False):
                url = self._look_up()
                try:
                    answer: Mapping[str, Any] = getattr(client, operation)(
                        QueueUrl=url, **arguments
                    )
                except ClientError as error:
                    self._look_at(error, operation)
                    if again and self._url is None:
                        continue
                    raise
                return answer
        raise AssertionError("the second time it is done or raises")

    def _find(self) -> str | None:
        """Give the queue's address. None: there is none."""
        with self._served() as client:
            url = self._url or _found(client, self.queue_name)
            self._url = url
            return url

    def _limit(self, name: str) -> int | None:
        """A limit of the queue's own, by the name of its attribute; None: it may not be asked.

        It is asked once, before the first message is sent.
        """
        url = self._look_up()
        if url not in self._limits:
            try:
                answer = self._ask_if_there("get_queue_attributes", AttributeNames=_LIMITS)
            except Declined as error:
                if "AccessDenied" not in str(error):
                    raise
                answer = None
            said = (answer or {}).get("Attributes", {})
            self._limits = {url: {each: int(said[each]) for each in _LIMITS if each in said}}
        return self._limits[url].get(name)

    def _look_up(self) -> str:
        """Give the queue's address."""
        with self._served() as client:
            if self._url is None:
                self._url = _found(client, self.queue_name) or self._created(client)
            return self._url

    def _look_at(self, error: ClientError, operation: str) -> None:
        """Forget the queue if somebody has deleted it; refuse what will never be sent."""
        told = error.response.get("Error", {})
        if _code(told) in _NO_QUEUE:
            self._url = None
        elif operation == "send_message_batch" and _code(told) in _REFUSED:
            raise TaskRefused(f"SQS takes no such message: {_words(told)}") from None

    def _created(self, client: Any) -> str:
        attributes = {"MessageRetentionPeriod": str(KEPT_SECONDS)}
        if self._fifo:
            attributes["FifoQueue"] = "true"
        try:
            made = client.create_queue(QueueName=self.queue_name, Attributes=attributes)
        except ClientError as error:
            if _code(error.response.get("Error", {})) not in _THERE:
                raise
            made = client.get_queue_url(QueueName=self.queue_name)
        return str(made["QueueUrl"])

    @contextmanager
    def _served(self) -> Iterator[Any]:
        """The client; a driver's error is turned into `BrokerUnavailable`.

        It is not told as the cause: what AWS says of a wrong signature has the session's token in it.
        """
        raised: type[BrokerUnavailable] = BrokerUnavailable
        try:
            if self._client is None:
                self._client = self._connect("sqs")
            yield self._client
        except ClientError as error:
            words = f"{error.operation_name}: {_words(error.response.get('Error', {}))}"
            # After a fault of the server's own it may have been done all the same.
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            raised = BrokerUnavailable if status >= SERVER_FAULT else Declined
        except (BotoCoreError, Boto3Error, OSError) as error:
            words = f"{type(error).__name__}: {_USER.sub('//', str(error))}"
        except (ValueError, ResponseParserError) as error:
            # Of an address that no client can be made of, or an answer of something else; in the words may
            # be a password.
            words = type(error).__name__
        else:
            return
        raise raised(f"SQS did not serve the queue {self.queue_name!r}: {words}") from None


def queue_name(list_key: str, *, fifo: bool) -> str:
    """What SQS calls the queue."""
    return f"{list_key.removesuffix('.fifo')}.fifo" if fifo else list_key


def _found(client: Any, name: str) -> str | None:
    """Look the queue up. None: there is none."""
    try:
        url: str = client.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if _code(error.response.get("Error", {})) not in _NO_QUEUE:
            raise
        return None
    return url


def is_failed(told: Mapping[str, Any]) -> bool:
    """Whether the server said of an entry that it has not done it, or said nothing."""
    return "Code" in told


def unsent(entries: Iterable[Mapping[str, Any]], told: Told) -> list[str]:
    """The ids of entries that were surely not done."""
    ids = [entry["Id"] for entry in entries]
    return [id for id in ids if id not in told or (is_failed(told[id]) and told[id] is not _UNSAID)]


def sent_of(entries: Iterable[Mapping[str, Any]], told: Told) -> list[int]:
    """The places of entries that were surely done."""
    said = [told.get(entry["Id"], _UNSAID) for entry in entries]
    return [place for place, each in enumerate(said) if not is_failed(each)]


def _code(told: Mapping[str, Any]) -> str:
    return str(told.get("Code", "")).rpartition(".")[2]


def _words(told: Mapping[str, Any]) -> str:
    """What the server said, in a line: what comes after it may have credentials in it."""
    first = str(told.get("Message") or "").partition("\n")[0][:300]
    return f"{_code(told)}: {first}".rstrip(": ")
