"""The service IronMQ, in memory: requests of the API, version 3, in, answers out.

Where the documentation leaves open what the service does, this one does what is harder on the client: a batch
that names one lost reservation is refused whole.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from djq.ports import Clock

__all__ = ["Answer", "IronMqService"]

EXPIRATION_SECONDS = 604_800
ONE_CALL_MAX = 100
BODY_BYTES_MAX = 262_144
DELAY_SECONDS_MAX = 604_800
KEEP_SECONDS_MAX = 2_592_000
LEASE_SECONDS_MAX = 86_400
DIGITS_MAX = 10

Told = Mapping[str, Any]
Answer = tuple[int, dict[str, Any]]


@attrs.define
class Message:
    """A message of a queue."""

    id: str
    number: int
    """Messages were posted in this order."""
    body: str
    posted_at: datetime
    came_at: datetime
    """Since when it is in the queue: posted, and no longer held back."""
    due_at: datetime
    """Until then it is held back, or reserved."""
    reservation: str = ""
    """Names the last reservation; empty when there is none, or it was given up."""
    reserved_count: int = 0

    @property
    def place(self) -> tuple[datetime, int]:
        """Where it stands: what was reserved before stands in front, in the order of posting."""
        return (_IN_FRONT if self.reserved_count else self.came_at, self.number)


_IN_FRONT = datetime.min.replace(tzinfo=UTC)


@attrs.define
class Queue:
    """A queue of the service."""

    options: dict[str, Any] = attrs.field(
        factory=lambda: {
            "message_timeout": 60,
            "message_expiration": EXPIRATION_SECONDS,
            "type": "pull",
        }
    )
    messages: dict[str, Message] = attrs.field(factory=dict)
    posted: int = 0


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


class IronMqService:
    """One project at IronMQ."""

    def __init__(
        self,
        clock: Clock,
        *,
        token: str = "token",  # noqa: S107 - of a fake
        project_id: str = "project",
        lease_seconds_min: int = 1,
    ) -> None:
        """Make a project without queues.

        Args:
            clock: What reservations and delays go by.
            token: What a request has to show.
            project_id: The project that it has to name.
            lease_seconds_min: The shortest reservation. The real service has 30.
        """
        self.clock = clock
        self.token = token
        self.project_id = project_id
        self.lease_seconds_min = lease_seconds_min
        self.queues: dict[str, Queue] = {}
        self.asked: list[str] = []
        """Every request, as `POST reservations`: what it costs a client to get its work done."""
        self._lock = threading.Lock()
        self._reservations = 0

    @property
    def options(self) -> dict[str, str]:
        """What the setting `iron_mq` needs beside the address."""
        return {"token": self.token, "project_id": self.project_id}

    def answer(self, method: str, path: str, body: bytes | str, authorization: str) -> Answer:
        """Give status and JSON of the answer to one request."""
        words = _words(path)
        name, rest = unquote("".join(words[4:5])), words[5:]
        verb = " ".join([method, *_kinds(rest)])
        with self._lock:
            self.asked.append(verb)
            if authorization != f"OAuth {self.token}":
                return 401, {"msg": "You must be authorized"}
            if words[:4] != ["3", "projects", self.project_id, "queues"] or not name:
                return 404, {"msg": "Not Found"}
            try:
                return self._route(verb, name, "".join(rest[1:2]), {**_asked(path), **_read(body)})
            except Refused as refused:
                return refused.status, {"msg": refused.words}

    def next_available(self, name: str) -> datetime | None:
        """When the next message comes; in the past: it is here. None: there is none."""
        with self._lock:
            queue = self._there(name) if name in self.queues else Queue()
            return min((message.due_at for message in queue.messages.values()), default=None)

    def lent(self, name: str) -> int:
        """How many messages are out; the real service does not tell."""
        with self._lock:
            queue = self._there(name) if name in self.queues else Queue()
            return len([each for each in queue.messages.values() if self._is_reserved(each)])

    def _route(self, verb: str, name: str, id: str, told: Told) -> Answer:
        if verb == "PUT":
            return 200, self._create(name, told)
        if verb == "POST messages":
            return 201, self._post(name, told)
        queue = self._there(name)
        verbs: dict[str, Callable[[], dict[str, Any]]] = {
            "GET": lambda: self._info(name, queue),
            "PATCH": lambda: self._create(name, told),
            "DELETE": lambda: self._drop(name),
            "GET messages": lambda: self._peek(queue, told),
            "POST reservations": lambda: self._reserve(queue, told),
            "DELETE messages": lambda: self._delete(queue, told),
            "DELETE messages ID": lambda: self._delete(queue, {"ids": [{**told, "id": id}]}),
            "POST messages ID touch": lambda: self._touch(queue, id, told),
            "POST messages ID release": lambda: self._release(queue, id, told),
        }
        if verb not in verbs:
            raise Refused(405, "Method not allowed")
        return 200, verbs[verb]()

    def _there(self, name: str) -> Queue:
        """The queue, without the messages that have become too old."""
        queue = self.queues.get(name)
        if queue is None:
            raise Refused(404, "Queue not found")
        now = self.clock.now()
        oldest = now - timedelta(seconds=queue.options["message_expiration"])
        queue.messages = {
            id: message
            for id, message in queue.messages.items()
            if message.posted_at > oldest or self._is_reserved(message)
        }
        return queue

    def _create(self, name: str, told: Told) -> dict[str, Any]:
        options = told.get("queue", {})
        if not isinstance(options, dict):
            raise Refused(400, "A queue is described by an object")
        _whole(options, "message_expiration", 1, KEEP_SECONDS_MAX, KEEP_SECONDS_MAX)
        _whole(options, "message_timeout", 1, LEASE_SECONDS_MAX, LEASE_SECONDS_MAX)
        queue = self.queues.setdefault(name, Queue())
        queue.options.update(options)
        return {"queue": {"project_id": self.project_id, "name": name, **queue.options}}

    def _drop(self, name: str) -> dict[str, Any]:
        del self.queues[name]
        return {"msg": "Deleted"}

    def _info(self, name: str, queue: Queue) -> dict[str, Any]:
        now = self.clock.now()
        size = len([message for message in queue.messages.values() if message.due_at <= now])
        sizes = {"size": size, "total_messages": queue.posted}
        return {"queue": {"project_id": self.project_id, "name": name, **queue.options, **sizes}}

    def _post(self, name: str, told: Told) -> dict[str, Any]:
        now = self.clock.now()
        sent = _objects(told, "messages")
        if not sent:
            raise Refused(400, "No messages were given")
        delays = [_whole(each, "delay", 0, DELAY_SECONDS_MAX, 0) for each in sent]
        for each in sent:
            if not isinstance(each.get("body"), str):
                raise Refused(400, "A message needs a body")
            if len(json.dumps(each)) > BODY_BYTES_MAX:
                raise Refused(413, "Message is too large")
        queue = self.queues.setdefault(name, Queue())
        ids = []
        for each, delay in zip(sent, delays, strict=True):
            queue.posted += 1
            id = str(7_000_000_000_000_000_000 + queue.posted)
            comes_at = now + timedelta(seconds=delay)
            queue.messages[id] = Message(id, queue.posted, each["body"], now, comes_at, comes_at)
            ids.append(id)
        return {"ids": ids, "msg": "Messages put on queue."}

    def _reserve(self, queue: Queue, told: Told) -> dict[str, Any]:
        count = _whole(told, "n", 1, ONE_CALL_MAX, 1)
        seconds = self._lease_seconds(queue, told)
        _whole(told, "wait", 0, 30, 0)
        taken = self._due(queue)[:count]
        for message in taken:
            message.reserved_count += 1
            self._reserve_one(message, seconds)
        return {
            "messages": [
                {
                    "id": message.id,
                    "body": message.body,
                    "reserved_count": message.reserved_count,
                    "reservation_id": message.reservation,
                }
                for message in taken
            ]
        }

    def _peek(self, queue: Queue, told: Told) -> dict[str, Any]:
        """Show what comes next; nothing of it is reserved."""
        count = _whole(told, "n", 1, ONE_CALL_MAX, 1)
        columns = ("id", "body", "reserved_count")
        seen = self._due(queue)[:count]
        return {"messages": [{name: getattr(each, name) for name in columns} for each in seen]}

    def _due(self, queue: Queue) -> list[Message]:
        now = self.clock.now()
        due = [message for message in queue.messages.values() if message.due_at <= now]
        return sorted(due, key=lambda message: message.place)

    def _touch(self, queue: Queue, id: str, told: Told) -> dict[str, Any]:
        message = self._held(queue, id, told)
        self._reserve_one(message, self._lease_seconds(queue, told))
        return {"reservation_id": message.reservation, "msg": "Touched"}

    def _release(self, queue: Queue, id: str, told: Told) -> dict[str, Any]:
        message = self._held(queue, id, told)
        delay = _whole(told, "delay", 0, DELAY_SECONDS_MAX, 0)
        message.reservation = ""
        message.due_at = self.clock.now() + timedelta(seconds=delay)
        return {"msg": "Released"}

    def _delete(self, queue: Queue, told: Told) -> dict[str, Any]:
        """Delete the messages that are named, all or none; without a word of any: all that there are."""
        if "ids" not in told:
            queue.messages.clear()
            return {"msg": "Cleared"}
        named = _objects(told, "ids")
        if not 0 < len(named) <= ONE_CALL_MAX:
            raise Refused(400, f"From 1 to {ONE_CALL_MAX} messages can be deleted")
        for each in named:
            message = queue.messages.get(str(each.get("id")))
            if message is None:
                raise Refused(404, "Message not found")
            if self._is_reserved(message) or each.get("reservation_id"):
                self._held(queue, message.id, each)
        for each in named:
            queue.messages.pop(str(each["id"]), None)
        return {"msg": "Deleted"}

    def _held(self, queue: Queue, id: str, told: Told) -> Message:
        message = queue.messages.get(id)
        if message is None:
            raise Refused(404, "Message not found")
        if not self._is_reserved(message) or message.reservation != told.get("reservation_id"):
            raise Refused(403, "Reservation timed out")
        return message

    def _is_reserved(self, message: Message) -> bool:
        return bool(message.reservation) and message.due_at > self.clock.now()

    def _lease_seconds(self, queue: Queue, told: Told) -> int:
        default = queue.options["message_timeout"]
        return _whole(told, "timeout", self.lease_seconds_min, LEASE_SECONDS_MAX, default)

    def _reserve_one(self, message: Message, seconds: int) -> None:
        self._reservations += 1
        message.reservation = f"{self._reservations:032x}"
        message.due_at = self.clock.now() + timedelta(seconds=seconds)


def _words(path: str) -> list[str]:
    """What stands between the slashes of a path; nothing, where it is none."""
    try:
        return urlsplit(path).path.strip("/").split("/")
    except ValueError:
        return []


def _asked(path: str) -> dict[str, int]:
    """The numbers behind the question mark of a path."""
    named = parse_qsl(path.partition("?")[2])
    return {
        name: int(value) for name, value in named if value.isdecimal() and len(value) < DIGITS_MAX
    }


def _kinds(words: list[str]) -> list[str]:
    """What a path is about, without the id in it."""
    return ["messages", "ID", *words[2:]] if words[:1] == ["messages"] and words[1:] else words


def _read(body: bytes | str) -> dict[str, Any]:
    try:
        told = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise Refused(400, "JSON is expected") from None
    if not isinstance(told, dict):
        raise Refused(400, "An object is expected")
    return told


def _whole(told: Told, key: str, least: int, most: int, default: int) -> int:
    value = told.get(key, default)
    if not isinstance(value, int) or not least <= value <= most:
        raise Refused(400, f"{key} has to be a whole number from {least} to {most}")
    return value


def _objects(told: Told, key: str) -> list[dict[str, Any]]:
    value = told.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Refused(400, f"{key} has to be an array of objects")
    return value
