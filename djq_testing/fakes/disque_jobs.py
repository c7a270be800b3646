"""The jobs of a Disque, in memory: commands in, answers out, as Disque 1.0 gives them.

What the commands give, and when a job is queued again, is as it was seen on the real server and as its
documents have it. All nodes share the jobs, as those of a healthy cluster do. Nothing waits: GETJOB on an
empty queue gives nothing at once.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import attrs
from redis.exceptions import ResponseError

from djq.ports import Clock

__all__ = ["FakeDisque"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NODE_ID = "c0ffee5ec0ffee5ec0ffee5ec0ffee5ec0ffee5e"
TTL_MINUTES_MAX = 65_535
PAGE = 100
DAY_SECONDS = 24 * 3600
NUMBER_DIGITS_MAX = 10
"""Of numbers of seconds and jobs; what is longer is none."""


@attrs.define(eq=False)
class Job:
    """A job that is active, which is lent or held back, or queued."""

    id: bytes
    number: int
    """Which it was among all: queues are in this order."""
    queue: bytes
    body: bytes
    created_at: datetime
    expires_at: datetime
    delay: int
    retry: timedelta
    """How long until it is queued again; zero: never."""
    queue_at: datetime
    """When it is queued, or queued again."""
    queued: bool = False
    lent: bool = False
    """It is active since somebody took it, and not since it is held back."""
    was_queued: bool = False
    nacks: int = 0
    additional_deliveries: int = 0

    def show(self, now: datetime) -> list[Any]:
        """What SHOW gives."""
        pairs = {
            "id": self.id,
            "queue": self.queue,
            "state": b"queued" if self.queued else b"active",
            "repl": 1,
            "ttl": (self.expires_at - now) // SECOND,
            "ctime": (self.created_at - EPOCH) // timedelta(milliseconds=1) * 1_000_000,
            "delay": self.delay,
            "retry": self.retry // SECOND,
            "nacks": self.nacks,
            "additional-deliveries": self.additional_deliveries,
            "nodes-delivered": [NODE_ID.encode()],
            "nodes-confirmed": [],
            "next-requeue-within": max(self.queue_at - now, 0 * SECOND)
            // timedelta(milliseconds=1),
            "next-awake-within": max(self.queue_at - now, 0 * SECOND) // timedelta(milliseconds=1),
            "body": self.body,
        }
        return [part for key, value in pairs.items() for part in (key.encode(), value)]


class FakeDisque:
    """What the nodes of a Disque share, and what they answer."""

    def __init__(self, clock: Clock, *, password: str | None = None, nodes: int = 1) -> None:
        self.clock = clock
        self.password = password
        self.ports = [7711 + number for number in range(nodes)]
        """What HELLO says of them."""
        self.short_of_nodes = False
        """ADDJOB cannot have its copies made in time."""
        self.members: Sequence[Any] = ()
        """The nodes, where it is known which of them are `up`."""
        self.room: int | None = None
        """How many jobs the memory holds. None: any number."""
        self._jobs: dict[bytes, Job] = {}
        self._queues: dict[bytes, list[tuple[int, bytes]]] = {}
        """Heaps of what is queued, and of what was."""
        self._moments: list[tuple[datetime, int, bytes]] = []
        """A heap of when there is something to be done for a job."""
        self._paused: dict[bytes, str] = {}
        self._last = 0

    def answer(self, command: Sequence[Any]) -> Any:
        """Do as the command says; an error is given, not raised."""
        name, *arguments = [_raw(part) for part in command]
        words = name.decode(errors="replace")
        verb = getattr(self, f"_{words.lower()}", None)
        if name.upper() not in COMMANDS or verb is None:
            return ResponseError(f"unknown command '{words}'")
        self._settle()
        try:
            return verb(*arguments)
        except ResponseError as error:
            return error
        except TypeError:
            return ResponseError(f"wrong number of arguments for '{words.lower()}' command")

    def next_available(self, queue: str) -> datetime | None:
        """When the next job of the queue comes; in the past: it is here. None: there is none."""
        self._settle()
        jobs = [job for job in self._jobs.values() if job.queue == queue.encode()]
        return min((EPOCH if job.queued else job.queue_at for job in jobs), default=None)

    def lent(self, queue: str) -> int:
        """How many jobs of the queue are out; a real one does not tell them from those held back."""
        self._settle()
        return len([1 for job in self._jobs.values() if job.lent and job.queue == queue.encode()])

    def _settle(self) -> None:
        """Do what has come due: jobs end, and are queued (again)."""
        now = self.clock.now()
        while self._moments and self._moments[0][0] <= now:
            job = self._jobs.get(heapq.heappop(self._moments)[2])
            if job is None:
                continue
            if job.expires_at <= now:
                del self._jobs[job.id]
            elif job.queue_at <= now:
                self._come_due(job, now)

    def _come_due(self, job: Job, now: datetime) -> None:
        paused = self._paused.get(job.queue) in {"in", "all"} and bool(job.retry)
        if not job.queued and not paused:
            self._enqueue(job)
        if job.retry:
            # A job that waits is not queued again, but its time goes on.
            job.queue_at += job.retry * ((now - job.queue_at) // job.retry + 1)
            self._wake(job)

    def _wake(self, job: Job) -> None:
        heapq.heappush(self._moments, (min(job.queue_at, job.expires_at), job.number, job.id))

    def _enqueue(self, job: Job, *, nack: bool = False) -> None:
        if nack:
            job.nacks += 1
        elif job.was_queued:
            job.additional_deliveries += 1
        job.queued = job.was_queued = True
        job.lent = False
        heapq.heappush(self._queues.setdefault(job.queue, []), (job.number, job.id))

    def _known(self, ids: Sequence[bytes]) -> list[Job]:
        for id in ids:
            if len(id) != 40 or id[:2] != b"D-" or id[10:11] != b"-" or id[35:36] != b"-":
                raise ResponseError("BADID Invalid Job ID format.")
        # One that is named twice is the same job twice.
        return [self._jobs[id] for id in dict.fromkeys(ids) if id in self._jobs]

    # The commands.

    def _hello(self) -> list[Any]:
        nodes = [[NODE_ID.encode(), b"", b"%d" % port, b"1"] for port in self.ports]
        return [1, NODE_ID.encode(), *nodes]

    def _info(self, _section: bytes = b"") -> bytes:
        return b"# Server\r\ndisque_version:1.0-rc1\r\n"

    def _auth(self, password: bytes) -> Any:
        if self.password is None:
            return ResponseError("Client sent AUTH, but no password is set")
        if password != self.password.encode():
            return ResponseError("invalid password")
        return b"OK"

    def _addjob(self, queue: bytes, body: bytes, _timeout: bytes, *options: bytes) -> Any:
        given = _options(options, {"REPLICATE", "DELAY", "RETRY", "TTL", "MAXLEN"}, {"ASYNC"})
        ttl, delay = given.get("TTL", DAY_SECONDS), given.get("DELAY", 0)
        retry = given.get("RETRY", max(1, min(ttl // 10, 300)))
        refusal = self._refusal(queue, ttl, delay, given)
        if refusal is not None:
            return ResponseError(refusal)
        self._last += 1
        now = self.clock.now()
        job = Job(
            id=_job_id(self._last, ttl, retry),
            number=self._last,
            queue=queue,
            body=body,
            created_at=now,
            expires_at=now + ttl * SECOND,
            delay=delay,
            retry=retry * SECOND,
            queue_at=now + (delay or retry) * SECOND,
        )
        self._jobs[job.id] = job
        if not delay:
            self._enqueue(job)
        self._wake(job)
        return job.id

    def _refusal(self, queue: bytes, ttl: int, delay: int, given: Mapping[str, Any]) -> str | None:
        """Why ADDJOB fails. None: it does not."""
        size = len(self.ports)
        # By default dead nodes count as well.
        copies = given.get("REPLICATE", min(3, size))
        reasons = {
            "TTL must be a number > 0": ttl <= 0,
            "The specified DELAY is greater than TTL. Job refused since would never be delivered": (
                delay >= ttl
            ),
            "OOM command not allowed when used memory > 'maxmemory'.": (
                self.room is not None and len(self._jobs) >= self.room
            ),
            "NOREPL Not enough reachable nodes for the requested replication level": (
                copies > (sum(node.up for node in self.members) if self.members else size)
            ),
            "NOREPL Timeout reached before replicating to the requested number of nodes": (
                self.short_of_nodes and copies > 1
            ),
            "MAXLEN Queue is already longer than the specified MAXLEN count": (
                "MAXLEN" in given and self._qlen(queue) >= given["MAXLEN"]
            ),
            "PAUSED Queue paused in input, try later": self._paused.get(queue) in {"in", "all"},
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _getjob(self, *arguments: bytes) -> Any:
        if b"FROM" not in arguments:
            return ResponseError("syntax error")
        place = arguments.index(b"FROM")
        given = _options(arguments[:place], {"TIMEOUT", "COUNT"}, {"NOHANG", "WITHCOUNTERS"})
        count = given.get("COUNT", 1)
        if count <= 0:
            return ResponseError("COUNT must be a number greater than zero")
        taken: list[list[Any]] = []
        for queue in arguments[place + 1 :]:
            for job in self._taken(queue, count - len(taken)):
                counters = [
                    b"nacks",
                    job.nacks,
                    b"additional-deliveries",
                    job.additional_deliveries,
                ]
                taken.append(
                    [queue, job.id, job.body, *(counters if "WITHCOUNTERS" in given else [])]
                )
        return taken or None

    def _taken(self, queue: bytes, count: int) -> Iterator[Job]:
        waiting = self._queues.get(queue, [])
        if self._paused.get(queue) in {"out", "all"}:
            return
        while waiting and count > 0:
            job = self._jobs.get(heapq.heappop(waiting)[1])
            if job is not None and job.queued:
                job.queued, job.lent = False, True
                count -= 1
                yield job

    def _ackjob(self, *ids: bytes) -> int:
        jobs = self._known(ids)
        for job in jobs:
            del self._jobs[job.id]
        return len(jobs)

    _fastack = _ackjob
    _deljob = _ackjob

    def _nack(self, *ids: bytes) -> int:
        jobs = [job for job in self._known(ids) if not job.queued]
        for job in jobs:
            self._enqueue(job, nack=True)
            job.queue_at = self.clock.now() + job.retry
            self._wake(job)
        return len(jobs)

    def _working(self, id: bytes) -> Any:
        if not (known := self._known([id])):
            return ResponseError("NOJOB Job not known in the context of this node.")
        (job,), now = known, self.clock.now()
        if (now - job.created_at) > (job.expires_at - job.created_at) / 2:
            return ResponseError(
                "TOOLATE Half of job TTL already elapsed, you are no longer allowed to postpone the "
                "next delivery."
            )
        job.queued, job.lent = False, True
        job.queue_at = now + job.retry
        self._wake(job)
        return job.retry // SECOND

    def _show(self, id: bytes) -> list[Any] | None:
        known = self._known([id])
        return known[0].show(self.clock.now()) if known else None

    def _qlen(self, queue: bytes) -> int:
        return len([1 for job in self._jobs.values() if job.queued and job.queue == queue])

    def _qpeek(self, queue: bytes, count: bytes) -> list[list[Any]]:
        # As with GETJOB what was sent first comes first; of the other end nobody asks.
        if not _is_number(count):
            raise ResponseError("value is not an integer or out of range")
        queued = [job for job in self._jobs.values() if job.queued and job.queue == queue]
        queued.sort(key=lambda job: job.number)
        return [[queue, job.id, job.body] for job in queued[: int(count)]]

    def _jscan(self, *arguments: bytes) -> Any:
        cursor, options = _cursor(arguments)
        states = {state for word, state in pairwise(options) if word == b"STATE"}
        given = _options(options, {"COUNT"}, set(), {"QUEUE", "STATE", "REPLY"})
        found = [
            job
            for job in self._jobs.values()
            if job.queue == given.get("QUEUE", job.queue)
            and (not states or (b"queued" if job.queued else b"active") in states)
        ]
        page, following = _page(
            [(job.number, job) for job in found], cursor, given.get("COUNT", PAGE)
        )
        everything, now = given.get("REPLY") == b"all", self.clock.now()
        return [following, [job.show(now) if everything else job.id for job in page]]

    def _qscan(self, *arguments: bytes) -> Any:
        cursor, options = _cursor(arguments)
        given = _options(options, {"COUNT", "MINLEN", "MAXLEN"}, {"BUSYLOOP"})
        page, following = _page(list(enumerate(self._queues, 1)), cursor, given.get("COUNT", PAGE))
        return [following, page]

    def _pause(self, queue: bytes, *options: bytes) -> bytes:
        state = next((word.decode() for word in options if word in PAUSES), None)
        if state is not None:
            self._paused[queue] = state
        return self._paused.get(queue, "none").encode()


COMMANDS = frozenset(
    b"HELLO INFO AUTH ADDJOB GETJOB ACKJOB FASTACK DELJOB NACK WORKING SHOW QLEN QPEEK".split()
) | {b"JSCAN", b"QSCAN", b"PAUSE"}
PAUSES = (b"in", b"out", b"all", b"none")


def _raw(part: Any) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()


def _options(
    words: Sequence[bytes], numbers: set[str], switches: set[str], texts: Collection[str] = ()
) -> dict[str, Any]:
    """Read options with a number behind them, without anything, and with text."""
    given: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        name = word.decode(errors="replace").upper()
        if name in switches:
            given[name] = True
        elif name in numbers or name in texts:
            value = next(rest, None)
            if value is None or (name in numbers and not _is_number(value)):
                raise ResponseError("syntax error")
            given[name] = int(value) if name in numbers else value
        else:
            raise ResponseError("syntax error")
    return given


def _is_number(word: bytes) -> bool:
    return word.isdigit() and len(word) <= NUMBER_DIGITS_MAX


def _cursor(arguments: Sequence[bytes]) -> tuple[int, Sequence[bytes]]:
    if arguments and _is_number(arguments[0]):
        return int(arguments[0]), arguments[1:]
    return 0, arguments


def _page(found: list[tuple[int, Any]], cursor: int, count: int) -> tuple[list[Any], bytes]:
    """What comes behind the cursor, and where the next page begins; 0: there is none."""
    rest = [(number, one) for number, one in found if number > cursor]
    more = rest[count - 1][0] if len(rest) > count else 0
    return [one for _, one in rest[:count]], b"%d" % more


def _job_id(number: int, ttl: int, retry: int) -> bytes:
    """Forty characters: the node, a name, and the life in minutes, odd where the job is queued again."""
    name = base64.b64encode(hashlib.sha256(str(number).encode()).digest()[:18]).decode()
    minutes = min(ttl // 60, TTL_MINUTES_MAX)
    minutes = minutes | 1 if retry else minutes & ~1
    return f"D-{NODE_ID[:8]}-{name}-{minutes:04x}".encode()
