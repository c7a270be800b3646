"""The broker at IronMQ: messages over HTTP, lent under reservations that the service keeps.

A reservation lasts for `retry` seconds, in whole ones, and is named by an id that every touch replaces. So a
receipt is `<message>:<reservation>`, and changes when its lease is extended; the tracking id is the
message's alone. A word about a reservation that has ended is answered by 403, and about a message or queue
that is gone by 404: neither is an error here.

A queue is there once somebody has sent to it or waited for it. Whoever is the first to do so tells the
service to keep messages for as long as it can: left alone it throws them away after seven days.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import ceil
from typing import Any, ClassVar
from urllib.parse import quote

from requests import HTTPError, RequestException, Response
from urllib3.exceptions import HTTPError as LowerError

from djq.brokers.one_client import OneClient
from djq.brokers.portions import parted, tell_sent
from djq.core.leases import extended_one_by_one
from djq.core.received import Received, Waiting
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.ports import Broker

__all__ = ["IronMqBroker"]

WAIT_SECONDS = 1
"""How long an empty `dequeue` waits; a stop of the cluster waits as long."""
ONE_CALL_MAX = 100
"""Most messages in one call, whatever it asks for."""
MESSAGE_CHARACTERS_MAX = 262_000
"""256 KB, less what stands round the package in a request."""
CALL_CHARACTERS_MAX = 64_000
"""Most characters of several packages in one call: the smaller plans take no more."""
DELAY_SECONDS_MAX = 604_800
KEEP_SECONDS_MAX = 2_592_000
"""Thirty days: the service keeps no message for longer."""

GONE = 404
LOST = (403, GONE)
"""The answers to a word about a reservation that has ended, or a message that is no more."""
VOID_MAX = 10_000
"""How many void receipts are remembered."""
REFUSALS = (400, 413)
"""The answers to what can never be sent."""

_MESSAGE = re.compile(r"[\w-]+")
_RECEIPT = re.compile(r"([\w-]+):(.+)")


class _Answered(BrokerUnavailable):
    """The service is there, and answered with an error."""


class IronMqBroker(OneClient, Broker):
    """Messages at IronMQ; delivers at least once."""

    receipts: ClassVar[bool] = True
    blocks: ClassVar[bool] = True
    delays: ClassVar[bool] = True
    bulk_limit: ClassVar[int | None] = ONE_CALL_MAX
    max_payload: ClassVar[int | None] = MESSAGE_CHARACTERS_MAX

    def __init__(
        self,
        list_key: str = "default",
        *,
        connect: Callable[[], Any],
        retry_seconds: float,
        wait_seconds: int = WAIT_SECONDS,
        keep_seconds: int | None = KEEP_SECONDS_MAX,
    ) -> None:
        """Make a broker; it does not connect yet.

        Args:
            list_key: The queue's name.
            connect: Makes a client of iron-mq that repeats nothing and gives up in time. For a broker that
                is to be pickled, something that can be.
            retry_seconds: How long a lease lasts, rounded up to whole seconds.
            wait_seconds: How long an empty `dequeue` waits for a package. 0: not at all.
            keep_seconds: How long the service keeps a message. None: as the queue says.
        """
        super().__init__(list_key)
        self.blocks = wait_seconds > 0  # type: ignore[misc]  # of the class, for those that wait
        self._name = quote(list_key, safe="")
        self._connect = connect
        self._lease = ceil(retry_seconds)
        self._wait_seconds = wait_seconds
        self._queue_options = {} if keep_seconds is None else {"message_expiration": keep_seconds}
        self._told_to_keep = keep_seconds is None
        self._void: dict[str, None] = {}
        """Receipts whose lease is known to be over, oldest first."""

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, one call for up to a hundred.

        Raises:
            TaskRefused: One is larger than the service takes.
            BrokerUnavailable: The calls before that were answered; the error says what was sent by them.
        """
        return self.enqueue_later(tasks, 0)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """As `enqueue_many`, for packages that come so many seconds from now, in whole ones."""
        delay = ceil(seconds)
        if delay > DELAY_SECONDS_MAX:
            raise TaskRefused(
                f"IronMQ holds a package back for {DELAY_SECONDS_MAX:,} seconds at most, a week; "
                f"{delay:,} were asked for"
            )
        for task in tasks:
            if _size(task) > MESSAGE_CHARACTERS_MAX:
                raise TaskRefused(
                    f"the task needs {_size(task):,} characters; IronMQ takes {MESSAGE_CHARACTERS_MAX:,}; "
                    "pass a reference to the data instead (a primary key, a file name)"
                )
        if tasks and not self._told_to_keep:
            self._set_up()
        ids: list[str] = []
        try:
            for hundred in _hundreds(tasks):
                for portion in parted(hundred, CALL_CHARACTERS_MAX, _size):
                    ids += self._post(portion, {"delay": delay} if delay > 0 else {})
        except TaskRefused as error:
            tell_sent(error, self._take_back(ids), len(tasks))
            raise
        except BrokerUnavailable as error:
            tell_sent(error, range(len(ids)), len(tasks))
            raise
        return list(ids)

    def dequeue(self, limit: int = 1) -> list[Received]:
        if limit < 1:
            return []
        with self._served(GONE) as queue:
            told = queue.reserve(
                max=min(limit, ONE_CALL_MAX), timeout=self._lease, wait=self._wait_seconds
            )
            return [_received(message) for message in told["messages"]]
        # Nobody can wait at a queue that is not there.
        self._set_up()
        return []

    def acknowledge(self, id: str) -> None:
        self.acknowledge_many([id])

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        """Delete messages, one call for up to a hundred; one by one where a lease among them is lost."""
        for held in _hundreds([*self._held(ids).items()]):
            if len(held) == 1 or not self._delete_all(held):
                for _, parts in held:
                    with self._served(*LOST) as queue:
                        _heard(queue.delete(*parts))
            for receipt, _ in held:
                self._forget(receipt)

    def extend(self, id: str) -> str:
        for message, name in self._held([id]).values():
            with self._served(*LOST) as queue:
                return f"{message}:{queue.touch(message, name, self._lease)['reservation_id']}"
            self._forget(id)
        return id

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Extend many leases, one call each.

        An answer that is an error is about that lease alone: the others are extended all the same. Where
        the service goes away in the midst of it, the rest is left to the next renewal.

        Raises:
            BrokerUnavailable: Not all were extended; those that were have a new receipt, and it has these.
        """
        return extended_one_by_one(ids, self.extend, alone=(_Answered,))

    def release(self, id: str, *, begun: bool = True) -> None:  # noqa: ARG002 - the service counts
        for parts in self._held([id]).values():
            with self._served(*LOST) as queue:
                _heard(queue.release(*parts))
            self._forget(id)

    def fail(self, id: str) -> None:
        self.acknowledge(id)

    def delete(self, id: str) -> None:
        """Delete the package with this tracking id, unless it is out; or the one that this receipt holds."""
        if not _MESSAGE.fullmatch(id):
            self.acknowledge(id)
            return
        with self._served(*LOST) as queue:
            _heard(queue.delete(id))

    def purge_queue(self) -> None:
        with self._served(GONE) as queue:
            queue.clear()

    def delete_queue(self) -> None:
        """Delete the queue; a cluster that still waits for packages makes it anew."""
        self._told_to_keep = not self._queue_options
        with self._served(GONE) as queue:
            queue.delete_queue()

    def queue_size(self) -> int:
        """How many packages the service says are in the queue."""
        with self._served(GONE) as queue:
            return int(queue.size())
        return 0

    def peek(self) -> Sequence[Waiting]:
        with self._served(GONE) as queue:
            return [Waiting(message["body"]) for message in queue.peek(max=1)["messages"]]
        return []

    def ping(self) -> bool:
        """Whether the service answers."""
        try:
            self.queue_size()
        except BrokerUnavailable:
            return False
        return True

    def info(self) -> str:
        return f"IronMQ v3 at {self._connected().client.host}"

    def _post(self, portion: Sequence[str], delay: dict[str, int]) -> list[str]:
        with self._served() as queue:
            try:
                told = queue.post(*[{"body": task, **delay} for task in portion])
            except HTTPError as error:
                answer = error.response
                if answer is None or answer.status_code not in REFUSALS:
                    raise
                raise TaskRefused(
                    f"IronMQ refused what was sent to the queue {self.list_key!r}: {_words(answer)}"
                ) from error
            return [str(id) for _, id in zip(portion, told["ids"], strict=True)]

    def _take_back(self, ids: Sequence[str]) -> Sequence[int]:
        """Delete what was sent of a batch that was refused in part: it will be sent again one by one.

        What somebody has by then stays, and is run twice. Gives the places of what surely stays, since the
        service is away before it was asked for that.
        """
        asked = 0
        with suppress(BrokerUnavailable):
            for some in _hundreds(ids):
                asked += len(some)
                with self._served(*LOST) as queue:
                    _heard(queue.delete_multiple(ids=some))
                    continue
                for id in some:
                    self.delete(id)
        return range(asked, len(ids))

    def _delete_all(self, held: Sequence[tuple[str, tuple[str, str]]]) -> bool:
        """Delete messages by one request; False when one of the leases among them was lost."""
        named = [{"id": message, "reservation_id": name} for _, (message, name) in held]
        with self._served(*LOST) as queue:
            _heard(queue.delete_multiple(messages={"messages": named}))
            return True
        return False

    def _held(self, receipts: Iterable[str]) -> dict[str, tuple[str, str]]:
        """The ids of message and reservation by receipt; without what is over, or another broker's."""
        found = {
            receipt: _RECEIPT.fullmatch(receipt)
            for receipt in receipts
            if receipt not in self._void
        }
        return {receipt: (match[1], match[2]) for receipt, match in found.items() if match}

    def _forget(self, receipt: str) -> None:
        """Remember that a lease is over, so that nothing is asked about it again.

        Each renewal is a request, and a cluster renews what it acknowledged a moment ago, or lost while it
        was cut off: with many of these it would lose the next leases meanwhile.
        """
        self._void[receipt] = None
        if len(self._void) > VOID_MAX:
            del self._void[next(iter(self._void))]

    def _set_up(self) -> None:
        """See that the queue is there, and that it keeps messages."""
        client = self._connected()
        there = False
        with self._served(GONE):
            client.update_queue(self._name, self._queue_options)
            there = True
        if not there:
            with self._served():
                client.create_queue(self._name, self._queue_options)
        self._told_to_keep = True

    def _connected(self) -> Any:
        if self._client is None:
            try:
                self._client = self._connect()
            except (AttributeError, LookupError, TypeError, ValueError, OSError):
                # Its words may quote what a file has.
                raise BrokerUnavailable(
                    "the settings of IronMQ can no longer be read; look for the file iron.json"
                ) from None
        return self._client

    @contextmanager
    def _served(self, *forgiven: int) -> Iterator[Any]:
        """The queue, in the words of iron-mq; errors are turned into `BrokerUnavailable`.

        Of an answer whose status is forgiven nothing is heard, if it says in IronMQ's words that a lease,
        message or queue is gone: a suspended project or a wrong address has the same statuses.
        """
        queue = self._connected().queue(self._name)
        away = f"IronMQ did not serve the queue {self.list_key!r}: "
        try:
            yield queue
        except HTTPError as error:
            answer = error.response
            if answer is not None and answer.status_code in forgiven and _is_gone(answer):
                return
            raise _Answered(f"{away}{_words(answer)}") from error
        except (RequestException, LowerError, OSError) as error:
            raise BrokerUnavailable(f"{away}{type(error).__name__}: {error}") from error
        except (LookupError, TypeError, ValueError) as error:
            raise BrokerUnavailable(f"{away}the answer is none of IronMQ's") from error


_GONE_WORDS = {403: ("reservation",), GONE: ("message not found", "queue not found")}
"""What the answer says where a lease, message or queue is gone, by its status."""


def _is_gone(answer: Response) -> bool:
    told = _message(answer).lower()
    return any(words in told for words in _GONE_WORDS[answer.status_code])


def _heard(told: Any) -> None:
    """See that an answer is IronMQ's: a success of something in between did nothing."""
    told["msg"]


_HINTS = {
    401: "; look at 'token' and 'project_id' in Q_CLUSTER['iron_mq']",
    403: "; look at 'token' and 'project_id' in Q_CLUSTER['iron_mq']",
    404: "; look at 'host' and 'project_id' in Q_CLUSTER['iron_mq']",
}
"""What to do about an answer, by its status."""


def _message(answer: Response) -> str:
    """What the service says of an error. Empty: it is not IronMQ that speaks."""
    try:
        return str(answer.json()["msg"])
    except (LookupError, TypeError, ValueError):
        return ""


def _words(answer: Response | None) -> str:
    if answer is None:
        return "no answer"
    told = _message(answer) or answer.reason or "no reason is given"
    return f"{answer.status_code}: {told:.200}{_HINTS.get(answer.status_code, '')}"


def _size(task: str) -> int:
    """How many characters a package has in a request, without its quotes."""
    return len(json.dumps(task)) - 2


def _hundreds(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), ONE_CALL_MAX):
        yield items[start : start + ONE_CALL_MAX]


def _received(message: dict[str, Any]) -> Received:
    receipt = f"{message['id']}:{message['reservation_id']}"
    return Received(receipt, message["body"], message.get("reserved_count"))
