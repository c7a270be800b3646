"""The broker in MongoDB: packages in a collection, each with the moment from which it may be taken.

All queues of a database are in one collection, `djq_queue`, and one index of it serves whoever takes:
the queue's name, `due`, and `place` among those that are due since the same moment. `due` is when the package
was sent or until when it is held back; of one that is out it is the end of its lease, of one that was given
back 0. So whoever falls silent loses the lease by that alone, and what was given back comes first.

The receipt is `<id>:<deliveries>`. That count never goes back, so the receipt of a lost lease fits no
delivery any more; what was given back unbegun is counted beside it. `claim` names the `dequeue` that took
a package. One package is taken by find_one_and_update; many are looked up, claimed by one update that takes
only what is still due, and read by their claim. MongoDB changes each document whole or not at all, and asks
again whether it fits when another was faster: so no two clusters take the same one.

Moments are the server's own, in microseconds since 1970. They are measured once a minute (`measured`) and
not left to `$$NOW`, which would need an update in the form of a pipeline: there are servers of this protocol
that have no such form, and a clock of a test would need a second one.
"""

from __future__ import annotations

import os
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo import ReadPreference
from pymongo.errors import BulkWriteError, DocumentTooLarge, PyMongoError
from pymongo.read_concern import ReadConcern

from djq.brokers.measured import ServerTime
from djq.core.received import Received, Waiting
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.ports import Broker, Clock

__all__ = ["COLLECTION", "INDEX", "ORDER", "MongoBroker", "moment_of"]

COLLECTION = "djq_queue"
ORDER = [("due", 1), ("place", 1)]
INDEX = [("queue", 1), *ORDER]
ONE_CALL_MAX = 1_000
"""Most packages in one statement."""
PAYLOAD_BYTES_MAX = 16_000_000
"""MongoDB takes 16,777,216 bytes in a document; the rest is room for the other fields."""
SECONDS_MAX = 3_155_760_000
"""A hundred years: moments in microseconds are to fit into the 64 bits of a number."""
WORDS_MAX = 300
NOT_AN_ANSWER = (BSONError, LookupError, TypeError, ValueError, AttributeError, struct.error)
"""What comes of an answer that lacks something, here or in the driver, which looks at few of them first."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RECEIPT = re.compile(r"([^:]+):(\d{1,9})")
_LONE = re.compile(r"[\ud800-\udfff]")
"""Half a character, which no text in UTF-8 has."""

# Whoever set up the client may have asked for other types. A text that is no UTF-8, as no package of ours is,
# would spoil the whole answer that it is in; with other signs in it, it is a package that nobody can open.
_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, unicode_decode_error_handler="replace"
)


class MongoBroker(Broker):
    """Packages in the collection `djq_queue` of one database; delivers at least once."""

    receipts: ClassVar[bool] = True
    delays: ClassVar[bool] = True
    max_payload: ClassVar[int | None] = PAYLOAD_BYTES_MAX

    def __init__(
        self,
        list_key: str = "default",
        *,
        connect: Callable[[], Any],
        retry_seconds: float,
        clock: Clock | None = None,
        host_clock: Clock | None = None,
    ) -> None:
        """Make a broker; it does not connect yet.

        Args:
            list_key: The queue's name.
            connect: Makes a client of pymongo that repeats nothing, and gives its database. For a broker
                that is to be pickled, something that can be.
            retry_seconds: How long a lease lasts.
            clock: Whose time leases keep. None: the server's, which all hosts share.
            host_clock: What the server's time is counted on by. None: it is asked for each time.
        """
        super().__init__(list_key)
        self._connect = connect
        self._clock = clock
        self._server_time = ServerTime(host_clock)
        self._lease = round(retry_seconds * 1_000_000)
        self._forget_connection()

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, one statement for all.

        If the server refuses one, what it took of them is taken back; then nothing was sent. When the
        connection breaks meanwhile, they may have been sent all the same, from the first to any other.

        Raises:
            TaskRefused: One is larger than a document may be, or cannot be encoded; nothing was sent.
        """
        return self.enqueue_later(tasks, 0)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """As `enqueue_many`, for packages that are due so many seconds from now: a hundred years at most."""
        for task in tasks:
            _refuse_unfit(task)
        if not abs(seconds) <= SECONDS_MAX:
            raise TaskRefused(
                f"MongoDB holds a package back for {SECONDS_MAX:,} seconds at most (a hundred years), and "
                f"this one was to wait for {seconds:,}; send it with a shorter delay"
            )
        ids = [str(ObjectId()) for _ in tasks]
        if not ids:
            return []
        with self._served() as packages:
            due = self._now() + round(seconds * 1_000_000)
            pairs = zip(ids, tasks, strict=True)
            try:
                packages.insert_many([self._document(id, task, due) for id, task in pairs])
            except (BulkWriteError, DocumentTooLarge) as error:
                packages.delete_many({"_id": {"$in": ids}})
                if isinstance(error, DocumentTooLarge):
                    raise TaskRefused(f"MongoDB takes no package that large: {error}") from error
                raise
        return list(ids)

    def dequeue(self, limit: int = 1) -> list[Received]:
        if limit < 1:
            return []
        with self._served() as packages:
            due = self._due()
            if limit > 1:
                ids = _ids_of(packages, due, min(limit, ONE_CALL_MAX))
                if not ids:
                    return []
                if len(ids) > 1 and (taken := self._take_many(packages, due, ids)):
                    return taken
                # Others were faster, and there may be more behind what they took.
            one = packages.find_one_and_update(
                due, self._taking(), sort=ORDER, return_document=True
            )
            return [_received(one)] if one else []

    def acknowledge(self, id: str) -> None:
        self.acknowledge_many([id])

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        for held in _held(ids):
            with self._served() as packages:
                packages.delete_many(held)

    def extend(self, id: str) -> str:
        self.extend_many([id])
        return id

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Extend many leases; receipts stay the same for the whole delivery."""
        for held in _held(ids):
            with self._served() as packages:
                packages.update_many(held, {"$set": {"due": self._now() + self._lease}})
        return {}

    def release(self, id: str, *, begun: bool = True) -> None:
        self.release_many([id], begun=begun)

    def release_many(self, ids: Iterable[str], *, begun: bool = True) -> None:
        """Give packages back; what was not begun is not counted."""
        back = {"$set": {"due": 0, "claim": None}, "$inc": {"unbegun": 0 if begun else 1}}
        for held in _held(ids):
            with self._served() as packages:
                packages.update_many(held, back)

    def fail(self, id: str) -> None:
        self.acknowledge(id)

    def delete(self, id: str) -> None:
        """Delete the package with this tracking id, or the one that this receipt stands for."""
        if _RECEIPT.fullmatch(id):
            self.acknowledge(id)
            return
        if _LONE.search(id):
            return
        with self._served() as packages:
            packages.delete_one({"_id": id, "queue": self.list_key})

    def purge_queue(self) -> None:
        with self._served() as packages:
            packages.delete_many({"queue": self.list_key})

    def delete_queue(self) -> None:
        self.purge_queue()

    def queue_size(self) -> int:
        with self._served() as packages:
            return int(packages.count_documents(self._due()))

    def peek(self) -> Sequence[Waiting]:
        with self._served() as packages:
            now = self._now()
            first = packages.find_one(self._due(), {"payload": 1, "due": 1}, sort=ORDER)
        if first is None:
            return []
        return [
            Waiting(first["payload"], (now - first["due"]) / 1_000_000 if first["due"] else None)
        ]

    def lock_size(self) -> int | None:
        with self._served() as packages:
            out = {"due": {"$gt": self._now()}, "claim": {"$ne": None}}
            return int(packages.count_documents({"queue": self.list_key, **out}))

    def ping(self) -> bool:
        """Whether the server answers."""
        try:
            with self._guard():
                return bool(self._connected().client.admin.command("ping")["ok"])
        except BrokerUnavailable:
            return False

    def info(self) -> str:
        """Name and version of the server, as far as it tells them."""
        with self._guard():
            told = self._connected().client.server_info()
        return f"MongoDB {told.get('version', '')}".strip()

    def close(self) -> None:
        """Let go of the client; the next verb makes another, or finds the one that others use.

        What a child has inherited is left alone: to end its sessions is the parent's.
        """
        database = self._database if self._pid == os.getpid() else None
        self._forget_connection()
        if database is not None:
            with suppress(PyMongoError, OSError):
                database.client.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_database": None, "_collection": None, "_pid": None}

    def _forget_connection(self) -> None:
        self._database: Any = None
        self._collection: Any = None
        self._pid: int | None = None

    @contextmanager
    def _served(self) -> Iterator[Any]:
        """The collection, with its index; a driver's error is turned into `BrokerUnavailable`."""
        with self._guard():
            database = self._connected()
            if self._collection is None:
                # Not from a copy, which may be behind; and plain values, whatever the client would give.
                collection = database.get_collection(
                    COLLECTION,
                    read_preference=ReadPreference.PRIMARY,
                    # What was claimed is read at once, before most have it.
                    read_concern=ReadConcern("local"),
                    codec_options=_PLAIN,
                )
                collection.create_index(INDEX, name="djq_due")
                self._collection = collection
            yield self._collection

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn a driver's error into `BrokerUnavailable`, and what comes of an answer that is none."""
        try:
            yield
        except PyMongoError as error:
            # Behind that the driver tells what it knows of each server, and the answer as it came.
            words = re.split(r", (?:full error|Timeout): ", str(error))[0]
            raise self._away(f"{type(error).__name__}: {words:.{WORDS_MAX}}") from error
        except NOT_AN_ANSWER as error:
            words = f"{type(error).__name__}: {error!s:.{WORDS_MAX}}"
            raise self._away(f"the answer is none of MongoDB's ({words})") from error

    def _away(self, words: str) -> BrokerUnavailable:
        return BrokerUnavailable(f"MongoDB did not serve the queue {self.list_key!r}: {words}")

    def _connected(self) -> Any:
        """The database, over a client of this process."""
        if self._database is not None and self._pid != os.getpid():
            self._forget_connection()
        if self._database is None:
            self._database, self._pid = self._connect(), os.getpid()
        return self._database

    def _now(self) -> int:
        if self._clock is not None:
            return moment_of(self._clock.now())
        return moment_of(self._server_time.now(self._ask_time))

    def _ask_time(self) -> datetime:
        told = self._connected().client.admin.command("hello", codec_options=_PLAIN)
        moment: datetime = told["localTime"]
        return moment

    def _due(self) -> dict[str, Any]:
        """The filter for what may be taken now."""
        # Whole numbers; of `$lte` SecantusDB leaves out what is equal, within an index.
        return {"queue": self.list_key, "due": {"$lt": self._now() + 1}}

    def _document(self, id: str, task: str, due: int) -> dict[str, Any]:
        return {
            "_id": id,
            "queue": self.list_key,
            "due": due,
            "place": id,  # nx-27017 has no index with `_id` and others
            "payload": task,
            "deliveries": 0,
            "unbegun": 0,
            "claim": None,
        }

    def _taking(self) -> dict[str, Any]:
        """The update that takes packages."""
        taken = {"due": self._now() + self._lease, "claim": str(ObjectId())}
        return {"$set": taken, "$inc": {"deliveries": 1}}

    def _take_many(
        self, packages: Any, due: Mapping[str, Any], ids: Sequence[str]
    ) -> list[Received]:
        """Take those of these packages that are still due."""
        taking = self._taking()
        if not packages.update_many({**due, "_id": {"$in": ids}}, taking).modified_count:
            return []
        ours = {"_id": {"$in": ids}, "claim": taking["$set"]["claim"]}
        found = packages.find(ours, limit=len(ids), batch_size=len(ids))
        by_id = {document["_id"]: document for document in found}
        return [_received(by_id[id]) for id in ids if id in by_id]


def moment_of(moment: datetime) -> int:
    """Give a moment as documents keep it."""
    return (moment - _EPOCH) // _MICROSECOND


def _ids_of(packages: Any, filter: Mapping[str, Any], limit: int) -> list[str]:  # noqa: A002
    """Look up the first packages of a queue, in one round trip; the index alone is read for that."""
    wanted = {"_id": 0, "place": 1}
    found = packages.find(filter, wanted, sort=ORDER, limit=limit, batch_size=limit)
    return [document["place"] for document in found]


def _received(document: Mapping[str, Any]) -> Received:
    """Give a package; what another program left without a text is given too, for the cluster to fail it."""
    deliveries = document["deliveries"]
    receipt = f"{document['_id']}:{deliveries}"
    return Received(receipt, document.get("payload", ""), deliveries - document.get("unbegun", 0))


def _refuse_unfit(task: str) -> None:
    lone = _LONE.search(task)
    if lone:
        raise TaskRefused(f"MongoDB takes no package with the character {lone[0]!r} in it")
    size = len(task.encode())
    if size > PAYLOAD_BYTES_MAX:
        raise TaskRefused(
            f"the task needs {size:,} bytes in the queue; MongoDB takes {PAYLOAD_BYTES_MAX:,} in one "
            "document; pass a reference to the data instead (a primary key, a file name)"
        )


def _held(receipts: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Filters for the packages that these receipts still hold, some hundreds each.

    A receipt of another broker stands for no package here.
    """
    matches = [match for match in map(_RECEIPT.fullmatch, receipts) if match]
    matches = [match for match in matches if not _LONE.search(match[1])]
    for start in range(0, len(matches), ONE_CALL_MAX):
        ids = defaultdict(list)
        for match in matches[start : start + ONE_CALL_MAX]:
            ids[int(match[2])].append(match[1])
        # Of what stands beside `$or`, nx-27017 makes nothing.
        out = {"claim": {"$ne": None}}
        each = [{"_id": {"$in": some}, "deliveries": count, **out} for count, some in ids.items()]
        # Most often all are on their first delivery.
        yield each[0] if len(each) == 1 else {"$or": each}
