"""Packages that are too large for a message of SQS: they go to a bucket of S3, and a pointer is sent.

The pointer is `djq-s3:` and 32 hex digits, which name the object `djq/<queue>/<digits>` in the bucket of the
settings: who can write to the queue can make us read and delete what is there, and nothing else. The receipt
of such a package is the pointer, a colon, and the receipt handle.

The object is written before the message is sent and deleted after the message is, so that a message never
points to nothing. What remains of one whose sender or receiver died in between, or of a queue that was
emptied, is for a rule of the bucket's to delete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from djq.brokers.one_client import OneClient

KEYS_MAX = 1_000
"""Most objects in one call."""
OWED_MAX = 10_000
"""So many objects are remembered that are to be deleted."""

_POINTER = re.compile(r"djq-s3:([0-9a-f]{32})")
_RECEIPT = re.compile(r"(djq-s3:[0-9a-f]{32}):(.*)", re.DOTALL)
UNOPENED = (
    "its content is in S3 ({}), and Q_CLUSTER['sqs'] names no 's3_bucket' here; name the bucket that the "
    "senders name, in the settings of every cluster of this queue"
)
"""Why a pointer that nobody can follow stays in the queue; the pointer is to be filled in."""


class LargePackages(OneClient):
    """The packages of one queue in one bucket. What S3 raises goes through."""

    def __init__(self, *, bucket: str, queue: str, connect: Callable[[str], Any]) -> None:
        """`connect` makes a client of boto3."""
        self._bucket = bucket
        self._prefix = f"djq/{queue}/"
        self._connect = connect
        self._owed: dict[str, bool] = {}
        """Names of objects that are to be deleted, and whether S3 has refused it once."""
        self._strays: set[str] = set()
        """Those among them to which no message ever pointed: nobody is to wait for S3 because of them."""
        self._told: set[str | None] = set()

    def stored(self, packages: Sequence[str], most: int) -> list[str]:
        """Give what to send: each package, or if it has more than so many bytes a pointer to it.

        Where S3 does not take one, what was stored of the others is noted as to be deleted, and that one too:
        it may have been stored all the same.
        """
        messages: list[str] = []
        whole = False
        try:
            for package in packages:
                body = package.encode()
                if len(body) <= most and not _POINTER.fullmatch(package):
                    messages.append(package)
                    continue
                name = uuid4().hex
                messages.append(f"djq-s3:{name}")
                self._s3().put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body)
            whole = True
        finally:
            if not whole:
                self.owe(messages, strays=True)
        return messages

    def fetched(self, handle: str, body: str) -> tuple[str, str]:
        """Give the receipt and the package of a pointer.

        If its object is gone, or is none of ours, it gives the pointer, which nobody can open.
        """
        receipt = f"{body}:{handle}"
        key = self._prefix + body.rpartition(":")[2]
        try:
            found = self._s3().get_object(Bucket=self._bucket, Key=key)
            with closing(found["Body"]) as stream:
                return receipt, stream.read().decode()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                raise
        except UnicodeDecodeError:
            pass
        return receipt, body

    def owe(self, messages: Iterable[str], *, strays: bool = False) -> None:
        """Note that the objects of these are to be deleted, as far as they have any: of receipts.

        Or of `strays`, messages that were not sent: of pointers.
        """
        if strays:
            messages = filter(is_pointer, messages)
        names = {name for message in messages if (name := name_of(message))}
        self._owed |= dict.fromkeys(names, False)
        for oldest in list(self._owed)[:-OWED_MAX]:
            del self._owed[oldest]
        self._strays = (self._strays | names if strays else self._strays) & self._owed.keys()

    def settle(self, *, strays: bool = False) -> None:
        """Delete the objects that are to be; where only strays are, if they are asked for.

        What S3 says it has not deleted is tried once more, with the next ones, and then left. For each
        of its reasons that is raised once, so that somebody hears of it and the queue goes on.
        """
        names = list(self._owed) if strays or self._owed.keys() - self._strays else []
        untold: ClientError | None = None
        for start in range(0, len(names), KEYS_MAX):
            some = names[start : start + KEYS_MAX]
            objects = [{"Key": self._prefix + name} for name in some]
            answer = self._s3().delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
            again = {name: self._owed.pop(name, False) for name in some}
            for each in answer.get("Errors", ()):
                name = str(each.get("Key", "")).removeprefix(self._prefix)
                if again.get(name) is False:
                    self._owed[name] = True
                if each.get("Code") not in self._told:
                    self._told.add(each.get("Code"))
                    untold = ClientError({"Error": each}, "DeleteObjects")
        self._strays &= self._owed.keys()
        if untold:
            raise untold

    def _s3(self) -> Any:
        if self._client is None:
            self._client = self._connect("s3")
        return self._client


def is_pointer(body: str) -> bool:
    """Whether a message is one whose package is in S3."""
    return _POINTER.fullmatch(body) is not None


def name_of(message: str) -> str:
    """The name of the object of a receipt or a pointer; empty if it has none."""
    pointer = message if is_pointer(message) else pointer_of(message)[0]
    return pointer.rpartition(":")[2]


def pointer_of(receipt: str) -> tuple[str, str]:
    """Part a receipt into the pointer, empty if there is none, and the receipt handle."""
    match = _RECEIPT.fullmatch(receipt)
    return (match[1], match[2]) if match else ("", receipt)
