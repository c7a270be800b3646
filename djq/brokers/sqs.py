"""The broker at Amazon SQS: messages that are hidden while they are out, and deleted when they are done.

The visibility timeout is the lease, the receipt handle the receipt, ApproximateReceiveCount the attempt.
All verbs go in batches of ten, which may fail in part: what the server says it has not done is tried once
more, and then told. SQS delivers in any order, and now and then twice.

The handle of a lost lease is void only from the next delivery on, and to some servers that speak SQS never.
So that a late word about what was given back does no harm, the handles that were are remembered.

What is due later than SQS can hold it back comes too early, and is hidden again (`sqs_later`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import ceil, inf
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

from djq.brokers.portions import tell_sent
from djq.brokers.sqs_batches import BATCH, portions, refuse_unfit
from djq.brokers.sqs_large import UNOPENED, LargePackages, is_pointer, pointer_of
from djq.brokers.sqs_later import (
    ATTRIBUTE,
    Attempts,
    bytes_beside,
    held_back,
    hidden_seconds,
    moment_of,
)
from djq.brokers.sqs_queue import (
    KEPT_SECONDS,
    ConnectedToSqs,
    Declined,
    Told,
    is_failed,
    sent_of,
    unsent,
)
from djq.core.received import Received
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.ports import Clock

__all__ = ["MESSAGE_BYTES", "SqsBroker"]

MESSAGE_BYTES = 262_144
"""Most bytes of a message, unless the settings say otherwise; AWS takes 1 MiB since 2025."""
AT_ONCE = 8
"""A client of boto3 has ten connections."""
WAIT_SECONDS = 1
"""How long an empty `dequeue` waits; a stop of the cluster waits as long."""
GIVEN_BACK_MAX = 10_000
"""So many handles of what was given back are remembered."""
EARLY_ROUNDS_MAX = 10
"""So often one `dequeue` asks again because all that came was too early."""

_TOLD_OF_EACH = [
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "SentTimestamp",
]
_LOST = {"ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"}
"""What is said of a receipt whose lease is lost, or has lasted for twelve hours."""
T = TypeVar("T")


class SqsBroker(ConnectedToSqs):
    """Packages as messages of one queue; delivers at least once, in any order."""

    receipts: ClassVar[bool] = True
    blocks: ClassVar[bool] = True
    delays: ClassVar[bool] = True
    bulk_limit: ClassVar[int | None] = BATCH
    max_payload: ClassVar[int | None] = MESSAGE_BYTES

    def __init__(
        self,
        list_key: str = "default",
        *,
        connect: Callable[[str], Any],
        retry_seconds: float,
        wait_seconds: int = WAIT_SECONDS,
        message_bytes: int = MESSAGE_BYTES,
        fifo: bool = False,
        group: str | None = None,
        large: LargePackages | None = None,
        at_once: int = AT_ONCE,
        host_clock: Clock | None = None,
    ) -> None:
        """Make a broker; it does not connect yet.

        Args:
            list_key: The queue's name.
            connect: Makes a client of boto3 that repeats nothing, of the service that it is given the
                name of. For a broker that is to be pickled, something that can be.
            retry_seconds: How long a lease lasts; SQS counts in whole seconds.
            wait_seconds: How long an empty `dequeue` waits for a package. 0: not at all.
            message_bytes: Most bytes of one message, and of ten that are sent together.
            fifo: The queue is one of those that keep an order within each group.
            group: The group that all packages are in. None: each is a group of its own, so that none has
                to wait for another.
            large: Where packages go that are too large. None: they are refused.
            at_once: How many batches are acknowledged, extended or released at once.
            host_clock: Says what time it is where an answer of SQS does not.
        """
        super().__init__(list_key, connect=connect, fifo=fifo)
        self.blocks = wait_seconds > 0  # type: ignore[misc]  # of the class, for those that wait
        self.max_payload = None if large else message_bytes  # type: ignore[misc]
        self._lease = ceil(retry_seconds)
        self._wait_seconds = wait_seconds
        self._message_bytes = message_bytes
        self._group = group
        self._large = large
        self._at_once = at_once
        self._host_clock = host_clock
        self._given_back: dict[str, None] = {}
        self._attempts = Attempts()

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages, ten in one call as long as they are small."""
        return self._send(tasks)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """As `enqueue_many`, for packages that are due so many seconds from now, rounded up.

        Raises:
            TaskRefused: The queue does not keep a message for so long.
        """
        if not tasks:
            return []
        kept = self._limit("MessageRetentionPeriod") or KEPT_SECONDS
        if not -inf < seconds <= kept - self._lease:
            raise TaskRefused(
                f"the queue {self.queue_name!r} keeps a message for {kept:,} seconds, of which the last "
                f"{self._lease:,} ('retry') are for running the task, and this one was to wait for "
                f"{seconds:,}; raise its MessageRetentionPeriod if that is less than {KEPT_SECONDS:,}, or "
                "make a schedule of the task, which may be as far away as you like"
            )
        return self._send(tasks, **held_back(ceil(seconds), fifo=self._fifo))

    def dequeue(self, limit: int = 1) -> list[Received]:
        if limit < 1:
            return []
        for again in range(EARLY_ROUNDS_MAX):
            answer = self._ask(
                "receive_message",
                MaxNumberOfMessages=min(limit, BATCH),
                VisibilityTimeout=self._lease,
                WaitTimeSeconds=0 if again else self._wait_seconds,
                AttributeNames=_TOLD_OF_EACH,
                MessageAttributeNames=[ATTRIBUTE],
            )
            came = answer.get("Messages", ())
            due = self._due(came, moment_of(answer, self._host_clock))
            if due or not came:
                return self._opened(due)
        return []

    def acknowledge(self, id: str) -> None:
        self.acknowledge_many([id])

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        """Delete messages, ten in one call, and then what they had in S3."""
        held = self._held(ids)
        told: Told = {}
        try:
            self._tell(held, "delete_message_batch", told)
        finally:
            if self._large:
                # Where the lease was lost, another delivery may need it.
                self._large.owe(held[int(id)] for id in told if not is_failed(told[id]))
        if self._large:
            with self._served():
                self._large.settle()

    def extend(self, id: str) -> str:
        self.extend_many([id])
        return id

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Extend many leases, ten in one call; none lasts longer than twelve hours in all."""
        held = self._held(ids)
        self._tell(held, "change_message_visibility_batch", VisibilityTimeout=self._lease)
        return {}

    def release(self, id: str, *, begun: bool = True) -> None:
        self.release_many([id], begun=begun)

    def release_many(self, ids: Iterable[str], *, begun: bool = True) -> None:  # noqa: ARG002 - SQS counts
        """Give packages back; SQS has counted their deliveries, begun or not."""
        held = self._held(ids)
        self._tell(held, "change_message_visibility_batch", VisibilityTimeout=0)
        self._given_back |= dict.fromkeys(held)
        for oldest in list(self._given_back)[:-GIVEN_BACK_MAX]:
            del self._given_back[oldest]

    def fail(self, id: str) -> None:
        """As `acknowledge`; but what a cluster with an `s3_bucket` can open is left to its lease."""
        if self._large or not pointer_of(id)[0]:
            self.acknowledge(id)

    def purge_queue(self) -> None:
        """Empty the queue; SQS does that once a minute, and takes up to a minute for it."""
        self._ask_if_there("purge_queue")

    def delete_queue(self) -> None:
        self._ask_if_there("delete_queue")
        self._url = None

    def queue_size(self) -> int:
        return self._count("ApproximateNumberOfMessages")

    def lock_size(self) -> int | None:
        return self._count("ApproximateNumberOfMessagesNotVisible")

    def close(self) -> None:
        super().close()
        if self._large:
            self._large.close()

    def _send(self, tasks: Sequence[str], **options: Any) -> list[str | None]:
        """Send all, or those before the first ten of which one is not taken, and the others of these ten."""
        beside = bytes_beside(options)
        refuse_unfit(tasks, None if self._large else self._message_bytes - beside)
        limit = self._limit("MaximumMessageSize") or self._message_bytes
        most = min(self._message_bytes, limit) - beside
        refuse_unfit(tasks, None if self._large else most)
        bodies = self._stored(tasks, most)
        entries = [
            {"Id": str(place), "MessageBody": body, **options, **self._grouped()}
            for place, body in enumerate(bodies)
        ]
        told: Told = {}
        try:
            for portion in portions(entries, self._message_bytes):
                self._do_each("send_message_batch", portion, told)
        except (BrokerUnavailable, TaskRefused) as error:
            if self._large:
                self._large.owe((bodies[int(id)] for id in unsent(entries, told)), strays=True)
                self._clear()
            tell_sent(error, sent_of(entries, told), len(entries))
            raise
        if any(map(is_pointer, bodies)):
            # S3 answers, and may not have when an earlier batch failed.
            self._clear()
        return [told[entry["Id"]].get("MessageId") for entry in entries]

    def _stored(self, tasks: Sequence[str], most: int) -> Sequence[str]:
        """Give what to send of each: the package, or a pointer to where it is in S3."""
        if not self._large:
            return tasks
        try:
            with self._served():
                return self._large.stored(tasks, most)
        except Declined:
            self._clear()
            raise

    def _clear(self) -> None:
        """Delete what is in S3 of messages that were not sent, if that can be done now."""
        if self._large:
            with suppress(BrokerUnavailable), self._served():
                self._large.settle(strays=True)

    def _grouped(self) -> dict[str, str]:
        """What a message of a FIFO queue needs beside its text."""
        if not self._fifo:
            return {}
        name = uuid4().hex
        return {"MessageGroupId": self._group or name, "MessageDeduplicationId": name}

    def _due(
        self, messages: Sequence[Mapping[str, Any]], now: int | None
    ) -> list[Mapping[str, Any]]:
        """Hide what came too early, and give the rest."""
        early = [(message, hidden_seconds(message, now)) for message in messages]
        due = [message for message, seconds in early if not seconds]
        early = [(message, seconds) for message, seconds in early if seconds]
        if not early:
            return due
        entries = [
            {
                "Id": str(place),
                "ReceiptHandle": message["ReceiptHandle"],
                "VisibilityTimeout": seconds,
            }
            for place, (message, seconds) in enumerate(early)
        ]
        told: Told = {}
        try:
            self._do_each("change_message_visibility_batch", entries, told, no_error=_LOST)
        except BrokerUnavailable:
            # These come again when their leases end.
            if not due:
                raise
        finally:
            self._attempts.take_off(early[int(id)][0] for id in told if is_failed(told[id]))
        return due

    def _opened(self, messages: Sequence[Mapping[str, Any]]) -> list[Received]:
        """Give what came; what is in S3 and cannot be had now comes again when its lease ends."""
        opened: dict[str, tuple[str, str]] = {}
        pointers = []
        for message in messages:
            handle, body = message["ReceiptHandle"], message["Body"]
            if not is_pointer(body):
                opened[handle] = (handle, body)
            elif self._large:
                pointers.append((handle, body))
            else:
                opened[handle] = (f"{body}:{handle}", body)
        away = self._fetch(pointers, opened) if pointers else None
        self._attempts.take_off(each for each in messages if each["ReceiptHandle"] not in opened)
        given = [
            self._received(each, *opened[each["ReceiptHandle"]])
            for each in messages
            if each["ReceiptHandle"] in opened
        ]
        if away and not given:
            raise away
        return given

    def _received(self, message: Mapping[str, Any], receipt: str, package: str) -> Received:
        received = Received(receipt, package, self._attempts.of(message))
        if is_pointer(package) and not self._large:
            received.left_because = UNOPENED.format(package)
        return received

    def _fetch(
        self, pointers: Sequence[tuple[str, str]], opened: dict[str, tuple[str, str]]
    ) -> BrokerUnavailable | None:
        """Fetch packages from S3, and say whether it was away: then nothing more is asked of it.

        All the while the leases of everything that came are running. So one is fetched to see whether S3
        answers, and the others at once.
        """
        assert self._large is not None, "who has no bucket fetches nothing"
        large = self._large
        away: list[BrokerUnavailable] = []

        def fetch(pointer: tuple[str, str]) -> None:
            if away:
                return
            try:
                with self._served():
                    opened[pointer[0]] = large.fetched(*pointer)
            except BrokerUnavailable as error:
                away.append(error)

        self._do_at_once(fetch, pointers[:1])
        self._do_at_once(fetch, pointers[1:])
        return away[0] if away else None

    def _do_at_once(self, do: Callable[[T], object], things: Sequence[T]) -> None:
        """Do the same for all, some of them at once."""
        if len(things) <= 1 or self._at_once == 1:
            for thing in things:
                do(thing)
        else:
            with ThreadPoolExecutor(self._at_once) as threads:
                list(threads.map(do, things))

    def _held(self, receipts: Iterable[str]) -> list[str]:
        """Those that were not given back, each once."""
        return [each for each in dict.fromkeys(receipts) if each not in self._given_back]

    def _tell(
        self, receipts: Sequence[str], operation: str, told: Told | None = None, **options: Any
    ) -> None:
        """Say something about messages that are out; of one whose lease is lost it is no error.

        Hundreds are said at once: one after another, their leases might end before it is their turn.
        What is said of each goes into `told`, by its place.
        """
        answers: Told = {} if told is None else told

        def tell(portion: Sequence[Mapping[str, Any]]) -> None:
            self._do_each(operation, portion, answers, no_error=_LOST)

        entries = [
            {"Id": str(place), "ReceiptHandle": pointer_of(receipt)[1], **options}
            for place, receipt in enumerate(receipts)
        ]
        if len(entries) > BATCH:
            self._find()
        self._do_at_once(
            tell, [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]
        )

    def _count(self, attribute: str) -> int:
        answer = self._ask_if_there("get_queue_attributes", AttributeNames=[attribute])
        return int(answer["Attributes"][attribute]) if answer else 0
