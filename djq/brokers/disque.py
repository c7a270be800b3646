"""The broker on Disque: a package is a job, and its lease is the job's RETRY.

What Disque does that is not plain to see, and what is made of it:

- The time until a job is queued again runs from the moment when it was queued, not from when it was
  taken: of a job that has waited long, little may be left. So what was taken is claimed by WORKING at
  once, all of it in one round trip more.
- A job that nobody finishes is dropped without a word when its TTL ends, after a day if nothing is said;
  and WORKING is refused once half of it is over. So the TTL is long, and longer for what is held back.
- DELJOB deletes on one node, and another that has a copy delivers it again. ACKJOB and FASTACK go round.
- Queues are in the order in which jobs were sent: what is given back, or was held back, takes its place
  by that.
- A job's id names the job and no delivery of it, so a late word is taken for that of whoever has it by
  then. The receipt names the delivery as well: who has acknowledged one, or given it back, says nothing more
  about it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from djq.brokers.disque_jobs import (
    ONE_CALL_MAX,
    in_parts,
    is_short,
    job_of,
    received,
    unknown,
    working,
)
from djq.brokers.one_client import OneClient
from djq.brokers.portions import CHARACTERS_MAX, parted, tell_sent
from djq.core.received import Received, Waiting
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.ports import Broker

__all__ = ["Client", "DisqueBroker", "Nodes"]

WAIT_SECONDS = 1.0
"""How long an empty `dequeue` waits; a stop of the cluster waits as long."""
ADD_MILLISECONDS = 4_000
"""How long a node may try to have copies made; less than the client waits for its answer."""
ADD_MILLISECONDS_MIN = 100
"""As much for each of many that are sent together: half a minute for three hundred."""
TTL_SECONDS = 45 * 24 * 3600
"""How long a job lives once it is due: ids have room for 65,535 minutes, and an acknowledgement that
comes before its job is remembered for as long as the id says."""
RETRY_SECONDS_MAX = 1_000_000
LATER_SECONDS_MAX = 4_000_000
"""Disque reckons both in milliseconds, in places with 32 bits."""
OVER_MAX = 10_000
"""How many deliveries that are over are remembered."""

_WORDS = {
    "PAUSED": "the queue is paused; PAUSE <queue> none lets packages in again",
    "NOREPL": "too few nodes can be reached, or have memory left, for the copies that are asked for",
    "OOM": "the node's memory is full",
    "LEAVING": "the node is leaving its cluster",
    "MAXLEN": "the queue is full",
}
"""What errors mean, by their first words."""


class _Unreached(BrokerUnavailable):
    """No node could be asked: nothing was done."""


class Client(Protocol):
    """A connection to one node."""

    def ask(self, *commands: Sequence[Any]) -> list[Any]:
        """Send commands, one round trip for all; give the answers, errors among them."""
        ...

    def is_open(self) -> bool:
        """Whether the node has not hung up, as far as is known here."""
        ...

    def close(self) -> None: ...


class Nodes(Protocol):
    """The nodes of one Disque."""

    def connect(self) -> Client:
        """Connect to a node that answers; to another one than last time, if there is one.

        Raises RedisError or OSError when none does.
        """
        ...

    def each(self) -> Iterator[Client]:
        """Connect to every node that answers, one after the other."""
        ...

    def others(self, than: Client | None) -> Iterator[Client]:
        """Connect to the other nodes, one after the other; raises nothing.

        Those that do not answer soon are left out for a while.
        """
        ...

    def shun(self, client: Client) -> None:
        """Leave the node of this connection out of `others` for a while."""
        ...


class DisqueBroker(OneClient, Broker):
    """Packages as jobs of one queue; delivers at least once."""

    receipts: ClassVar[bool] = True
    blocks: ClassVar[bool] = True
    delays: ClassVar[bool] = True

    def __init__(
        self,
        list_key: str = "default",
        *,
        nodes: Nodes,
        retry_seconds: float,
        fast_acknowledge: bool = False,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Make a broker; it does not connect yet.

        Args:
            list_key: The queue's name.
            nodes: Where to connect to. For a broker that is to be pickled, something that can be.
            retry_seconds: How long a lease lasts; rounded up to whole seconds.
            fast_acknowledge: A node need not make sure that all others have heard of it.
            wait_seconds: How long an empty `dequeue` waits for a package. 0: not at all.
        """
        super().__init__(list_key)
        self.blocks = wait_seconds > 0  # type: ignore[misc]  # of the class, for those that wait
        self._nodes = nodes
        self._queue = f"djq:{list_key}"
        self._retry = max(1, math.ceil(retry_seconds))
        self._done = "FASTACK" if fast_acknowledge else "ACKJOB"
        self._wait_seconds = wait_seconds
        self._over: dict[str, None] = {}
        """Receipts of the last deliveries that were acknowledged or given back here, oldest first."""

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, one round trip for hundreds."""
        return self.enqueue_later(tasks, 0)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """As `enqueue_many`, for packages that are due in so many seconds, rounded up to whole ones."""
        delay = max(0, math.ceil(seconds))
        if delay > LATER_SECONDS_MAX:
            raise TaskRefused(
                f"Disque cannot hold a package back for {delay:,} s; at most {LATER_SECONDS_MAX:,} "
                "(46 days). Let a schedule send it."
            )
        # Half of its life has to be left when it is due, and more than that for the lease.
        options: list[Any] = ["RETRY", self._retry, "TTL", TTL_SECONDS + 2 * delay]
        options += ["DELAY", delay] if delay else []
        sent: dict[int, str] = {}
        first = 0
        try:
            for portion in parted(tasks, CHARACTERS_MAX, len):
                self._add(portion, options, first, sent)
                first += len(portion)
        except (BrokerUnavailable, TaskRefused) as error:
            tell_sent(error, self._take_back(sent), len(tasks))
            raise
        return list(sent.values())

    def dequeue(self, limit: int = 1) -> list[Received]:
        if limit < 1:
            return []
        patience = (
            ["TIMEOUT", round(self._wait_seconds * 1_000)] if self._wait_seconds else ["NOHANG"]
        )
        count = min(limit, ONE_CALL_MAX)
        jobs = self._ask("GETJOB", *patience, "COUNT", count, "WITHCOUNTERS", "FROM", self._queue)
        taken = [received(job) for job in jobs or ()]
        self._claim([job_of(str(receipt)) for receipt, _ in taken])
        return taken

    def acknowledge(self, id: str) -> None:
        self.acknowledge_many([id])

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        self._end(self._done, ids)

    def extend(self, id: str) -> str:
        self.extend_many([id])
        return id

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Extend many leases in one round trip; receipts stay the same for the whole delivery."""
        self._claim([job_of(receipt) for receipt in self._held(ids)])
        return {}

    def release(self, id: str, *, begun: bool = True) -> None:
        self.release_many([id], begun=begun)

    def release_many(self, ids: Iterable[str], *, begun: bool = True) -> None:  # noqa: ARG002
        """Give packages back; Disque counts each delivery, begun or not."""
        self._end("NACK", ids)

    def fail(self, id: str) -> None:
        self.acknowledge(id)

    def delete(self, id: str) -> None:
        """Delete the package with this tracking id, or the one that this receipt stands for."""
        self._tell("ACKJOB", [job_of(id)])

    def purge_queue(self) -> None:
        """Empty the queue, on every node that answers."""
        with _served(self._queue):
            for client in self._nodes.each():
                self._purge(client)

    def delete_queue(self) -> None:
        """Empty the queue: Disque has no other, and forgets one that is empty and not used."""
        self.purge_queue()

    def queue_size(self) -> int:
        """How many packages wait on the node that this broker is connected to."""
        return int(self._ask("QLEN", self._queue))

    def peek(self) -> Sequence[Waiting]:
        """What comes next on the node that this broker is connected to."""
        jobs = self._ask("QPEEK", self._queue, 1)
        return [Waiting(job[2]) for job in jobs or ()]

    def ping(self) -> bool:
        """Whether a node answers."""
        try:
            return bool(self._ask("HELLO"))
        except BrokerUnavailable:
            return False

    def info(self) -> str:
        """Name and version of the server."""
        version = re.search(rb"disque_version:(\S+)", self._ask("INFO", "server"))
        return f"Disque {version[1].decode()}" if version else "Disque"

    def _add(
        self, tasks: Sequence[str], options: Sequence[Any], first: int, sent: dict[int, str]
    ) -> None:
        """Send one portion, and note the ids by their places; with fewer copies where nodes are missing."""
        # They wait for their copies one after the other.
        patience = max(ADD_MILLISECONDS_MIN, ADD_MILLISECONDS // len(tasks))
        commands = [("ADDJOB", self._queue, task.encode(), patience, *options) for task in tasks]
        answers = self._ask_all(commands)
        for copies in (2, 1):
            # Left to itself Disque wants a copy for a dead node too, up to three.
            short = [place for place, told in enumerate(answers) if is_short(told)]
            if short:
                fewer = [(*commands[place], "REPLICATE", copies) for place in short]
                for place, told in zip(short, self._ask_all(fewer), strict=True):
                    answers[place] = told
        refused = [answer for answer in answers if isinstance(answer, ResponseError)]
        places = enumerate(answers, first)
        sent |= {at: told.decode() for at, told in places if not isinstance(told, ResponseError)}
        if refused:
            raise self._told(refused[0])

    def _take_back(self, sent: Mapping[int, str]) -> list[int]:
        """Delete what was sent of a batch that failed, so that it can be sent again.

        Gives the places of what surely stays, since no node could be asked for that.
        """
        places = list(sent)
        while places:
            some = places[:ONE_CALL_MAX]
            try:
                self._tell("FASTACK", [sent[place] for place in some])
            except _Unreached:
                break
            except BrokerUnavailable:
                # It may have been done all the same.
                return places[ONE_CALL_MAX:]
            places = places[ONE_CALL_MAX:]
        return places

    def _held(self, receipts: Iterable[str]) -> list[str]:
        """Those of deliveries that are not over.

        A cluster renews what it acknowledged a moment ago: no node knows that any more; all would be asked.
        """
        return [receipt for receipt in receipts if receipt not in self._over]

    def _end(self, command: str, receipts: Iterable[str]) -> None:
        """Say this of deliveries, after which there is nothing more to be said of them."""
        held = self._held(receipts)
        self._tell(command, [job_of(receipt) for receipt in held])
        self._over.update(dict.fromkeys(held))
        while len(self._over) > OVER_MAX:
            del self._over[next(iter(self._over))]

    def _claim(self, ids: Sequence[str]) -> None:
        """Let these leases begin now; but not of a job that is gone, or in the last half of its life."""
        for some in in_parts(ids):
            left = unknown(some, self._ask_all(working(some)))
            if left:
                self._claim_elsewhere(left)

    def _claim_elsewhere(self, left: Sequence[str]) -> None:
        """In a cluster of more than three, not every node has a copy; each tells all that have one."""
        for client in self._nodes.others(self._client):
            try:
                left = unknown(left, client.ask(*working(left)))
            except (RedisError, OSError):
                self._nodes.shun(client)
            if not left:
                break

    def _tell(self, command: str, ids: Sequence[str]) -> None:
        for some in in_parts(ids):
            self._ask(command, *some)

    def _ask(self, *command: Any) -> Any:
        (answer,) = self._ask_all([command])
        if isinstance(answer, ResponseError):
            raise self._told(answer)
        return answer

    def _ask_all(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """One round trip; nothing is said twice, since nobody knows what an unheard answer was."""
        try:
            with _served(self._queue, _Unreached):
                # Nothing was sent yet: another node will do as well.
                if self._client is not None and not self._client.is_open():
                    self.close()
                if self._client is None:
                    self._client = self._nodes.connect()
                client: Client = self._client
            with _served(self._queue):
                return client.ask(*commands)
        except BrokerUnavailable:
            self.close()
            raise

    def _told(self, error: ResponseError) -> BrokerUnavailable | TaskRefused:
        """Turn an answer that is an error into one of ours."""
        text = str(error)
        if "TTL" in text:
            return TaskRefused(f"Disque refuses the package: {text}")
        word = text.partition(" ")[0]
        if word == "LEAVING":
            self.close()
        if isinstance(error, OutOfMemoryError):
            word = "OOM"
        meaning = f"{_WORDS[word]} ({text})" if word in _WORDS else text
        return BrokerUnavailable(f"Disque did not serve the queue {self._queue!r}: {meaning}")

    def _purge(self, client: Client) -> None:
        """Delete every job of the queue that this node knows of, page by page."""
        cursor = b"0"
        states = ("STATE", "queued", "STATE", "active")
        while True:
            (page,) = client.ask(
                ("JSCAN", cursor, "QUEUE", self._queue, *states, "COUNT", ONE_CALL_MAX)
            )
            if isinstance(page, ResponseError):
                raise page
            cursor, ids = page
            if ids:
                client.ask(("FASTACK", *ids))
            if cursor == b"0":
                return


@contextmanager
def _served(queue: str, kind: type[BrokerUnavailable] = BrokerUnavailable) -> Iterator[None]:
    """Turn a driver's error into `BrokerUnavailable`."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise kind(
            f"Disque did not serve the queue {queue!r}: {type(error).__name__}: {error}"
        ) from error
