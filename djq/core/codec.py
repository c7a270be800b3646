"""How a task is written down: a binary frame inside the cluster, a signed text on the broker.

The frame is `version, flags, header length` (6 bytes), a JSON header, and the body as it is:

    01 00 00000051 {"id":"…","name":"…","func":"math.modf","at":"2026-11-23T19:06:00+00:00"} 80 05 95 …

The sentinel passes frames on and the pusher reads their headers, so a header must be read without
touching the body. What is None is left out, and keys that a reader does not know are passed over:
that is the room to grow. What an older reader must *not* pass over gets a flag or a higher version,
and is refused by it.

On the broker the frame travels as one mark (`p` plain, `z` deflated), URL-safe base64, and a
signature over both. The signature is checked before anything else is looked at, and inflation is
bounded, so that a stranger's text costs one hash and no more.
"""

from __future__ import annotations

import binascii
import json
import struct
import zlib
from datetime import datetime
from math import inf
from typing import Any, Protocol

from djq.core.message import Kind, TaskMessage
from djq.core.protocol import Delivery
from djq.exceptions import BadPackage, TaskRefused

VERSION = 1

PLAIN = "p"
DEFLATED = "z"

_PREFIX = struct.Struct(">BBI")
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode
_STANDARD_TO_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_+/", b"+/**")
"""The signs of the other alphabet become one that no alphabet has: each frame has one text."""


class Signer(Protocol):
    """Puts a signature on a text and takes it off again."""

    def sign(self, text: str) -> str:
        """Give the text with its signature."""
        ...

    def unsign(self, text: str) -> str:
        """Give the text without its signature.

        Raises:
            BadPackage: The signature is missing or not ours.
        """
        ...


def pack(message: TaskMessage) -> bytes:
    """Write the message as a frame."""
    header: dict[str, Any] = {
        "id": message.id,
        "name": message.name,
        "func": message.func,
        "at": message.enqueued_at.isoformat(),
    }
    if message.kind is not Kind.TASK:
        header["kind"] = message.kind.value
    if message.timeout is not None:
        header["timeout"] = message.timeout
    if message.group is not None:
        header["group"] = message.group
    if message.hook is not None:
        header["hook"] = message.hook
    if message.save is not None:
        header["save"] = message.save
    if message.max_attempts is not None:
        header["max_attempts"] = message.max_attempts
    if message.schedule is not None:
        header["schedule"] = message.schedule
    encoded = _encode(header).encode("ascii")
    return b"".join((_PREFIX.pack(VERSION, 0, len(encoded)), encoded, message.body))


def unpack(frame: bytes) -> TaskMessage:
    """Read a frame; the body stays as it is.

    Raises:
        BadPackage: It is no frame, or one that only a newer djq can read.
    """
    header, body_start = _read_header(frame)
    get = header.get
    return TaskMessage(
        id=_text(header, "id"),
        name=_text(header, "name"),
        func=_text(header, "func"),
        enqueued_at=_instant(header),
        body=frame[body_start:],
        kind=Kind.TASK if get("kind") is None else _kind(header),
        timeout=None if get("timeout") is None else _timeout(header),
        group=None if get("group") is None else _text(header, "group"),
        hook=None if get("hook") is None else _text(header, "hook"),
        save=None if get("save") is None else _flag(header, "save"),
        max_attempts=None if get("max_attempts") is None else _count(header, "max_attempts"),
        schedule=None if get("schedule") is None else _count(header, "schedule"),
    )


def delivery_of(frame: bytes, receipt: str | None, attempt: int | None) -> Delivery:
    """Make the delivery of a frame from its header alone.

    `attempt` is None where the broker does not count; without receipts there is only one.

    Raises:
        BadPackage: It is no frame, or one that only a newer djq can read.
    """
    header, _ = _read_header(frame)
    _check_rest(header)
    get = header.get
    return Delivery(
        _text(header, "id"),
        _text(header, "name"),
        _text(header, "func"),
        None if get("timeout") is None else _timeout(header),
        None if get("max_attempts") is None else _count(header, "max_attempts"),
        receipt,
        1 if attempt is None else attempt,
        frame,
        attempt is not None or receipt is None,
    )


def _check_rest(header: dict[str, Any]) -> None:
    """Refuse what `unpack` would refuse: worker and monitor rely on what was once delivered."""
    _instant(header)
    if header.get("kind") is not None:
        _kind(header)
    for key in ("group", "hook"):
        if header.get(key) is not None:
            _text(header, key)
    if header.get("save") is not None:
        _flag(header, "save")
    if header.get("schedule") is not None:
        _count(header, "schedule")


def _read_header(frame: bytes) -> tuple[dict[str, Any], int]:
    if len(frame) < _PREFIX.size:
        raise BadPackage(f"the frame is cut off: {len(frame)} bytes are less than its fixed part")
    version, flags, length = _PREFIX.unpack_from(frame)
    if version != VERSION or flags:
        raise BadPackage(
            f"the frame has version {version} and flags {flags}, this djq reads version {VERSION} "
            "and no flags; update djq on this cluster"
        )
    body_start = _PREFIX.size + length
    if len(frame) < body_start:
        raise BadPackage(
            f"the frame is cut off: its header of {length} bytes ends after its {len(frame)} bytes"
        )
    try:
        header = _decode(str(frame[_PREFIX.size : body_start], "utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadPackage(f"the frame's header is no JSON: {error}") from error
    if type(header) is not dict:
        raise BadPackage(f"the frame's header is a JSON {type(header).__name__}, not an object")
    return header, body_start


def _wrong(header: dict[str, Any], key: str, allowed: str) -> BadPackage:
    return BadPackage(
        f"the frame's header has {key} {header.get(key)!r:.100}; it must be {allowed}"
    )


def _text(header: dict[str, Any], key: str) -> str:
    value = header.get(key)
    if type(value) is not str:
        raise _wrong(header, key, "a text")
    return value


def _flag(header: dict[str, Any], key: str) -> bool:
    value = header[key]
    if type(value) is not bool:
        raise _wrong(header, key, "true or false")
    return value


def _count(header: dict[str, Any], key: str) -> int:
    value = header[key]
    if type(value) is not int or value < 1:
        raise _wrong(header, key, "a whole number from 1 up")
    return value


def _timeout(header: dict[str, Any]) -> float:
    value = header["timeout"]
    try:
        if type(value) in (int, float) and 0 < value < inf:
            return float(value)
    except OverflowError:
        pass
    raise _wrong(header, "timeout", "a number of seconds above 0")


def _instant(header: dict[str, Any]) -> datetime:
    try:
        value = datetime.fromisoformat(header["at"])
    except (KeyError, TypeError, ValueError):
        raise _wrong(header, "at", "an ISO 8601 time with its offset") from None
    if value.tzinfo is None:
        raise _wrong(header, "at", "an ISO 8601 time with its offset")
    return value


def _kind(header: dict[str, Any]) -> Kind:
    try:
        return Kind(header["kind"])
    except ValueError:
        raise _wrong(header, "kind", "one of " + ", ".join(kind.value for kind in Kind)) from None


class Codec:
    """Turns frames into signed texts for the broker, and back.

    Args:
        signer: Signs and checks; its key and salt decide who can read whose texts.
        compress: Whether a frame is deflated when that makes it smaller.
        max_payload: Most characters of a text, and most bytes that an inflated frame may have.
    """

    def __init__(self, *, signer: Signer, compress: bool, max_payload: int) -> None:
        self._signer = signer
        self._compress = compress
        self._max_payload = max_payload

    def seal(self, frame: bytes) -> str:
        """Give the signed text of a frame; it has ASCII characters only.

        Raises:
            TaskRefused: The text, or the frame before compression, is over `max_payload`.
        """
        self._check_size(len(frame), "bytes before compression")
        mark, content = PLAIN, frame
        if self._compress:
            deflated = zlib.compress(frame)
            if len(deflated) < len(frame):
                mark, content = DEFLATED, deflated
        encoded = binascii.b2a_base64(content, newline=False).translate(_STANDARD_TO_URL_SAFE)
        text = self._signer.sign(mark + encoded.decode("ascii"))
        self._check_size(len(text), "characters")
        return text

    def open(self, package: str | bytes) -> bytes:
        """Give the frame of a signed text, once its signature is found to be ours.

        Raises:
            BadPackage: Any defect: wrong signature, not one of our texts, too large when inflated.
        """
        text = self._signer.unsign(_readable(package))
        mark, encoded = text[:1], text[1:]
        if mark not in (PLAIN, DEFLATED):
            raise BadPackage(
                f"the package begins with {mark!r}, not with {PLAIN!r} or {DEFLATED!r}"
            )
        try:
            content = binascii.a2b_base64(
                encoded.encode("ascii").translate(_URL_SAFE_TO_STANDARD), strict_mode=True
            )
        except ValueError as error:
            raise BadPackage(f"the package is no URL-safe base64: {error}") from error
        frame = self._inflate(content) if mark == DEFLATED else content
        if not frame:
            raise BadPackage("the package is empty")
        return frame

    def _check_size(self, size: int, unit: str) -> None:
        if size > self._max_payload:
            raise TaskRefused(
                f"the task has {size:,} {unit}, more than the {self._max_payload:,} that "
                "`max_payload` in Q_CLUSTER allows; pass a reference to the data instead "
                "(a primary key, a file name), or raise `max_payload`"
            )

    def _inflate(self, content: bytes) -> bytes:
        inflater = zlib.decompressobj()
        try:
            frame = inflater.decompress(content, self._max_payload + 1)
        except zlib.error as error:
            raise BadPackage(f"the package cannot be inflated: {error}") from error
        if len(frame) > self._max_payload:
            raise BadPackage(
                f"the package inflates to more than the {self._max_payload:,} bytes that "
                "`max_payload` in Q_CLUSTER allows"
            )
        if not inflater.eof:
            raise BadPackage("the package is cut off: its deflated content has no end")
        if inflater.unused_data:
            raise BadPackage("the package has something after the end of its deflated content")
        return frame


def _readable(package: object) -> str:
    """Give what a broker's client delivered as text that can be encoded again."""
    try:
        if isinstance(package, str):
            if not package.isascii():
                package.encode()
            return package
        if isinstance(package, bytes | bytearray | memoryview):
            return str(package, "utf-8")
    except UnicodeError as error:
        raise BadPackage(f"the package is no UTF-8 text: {error}") from None
    raise BadPackage(f"the package is a {type(package).__name__}, not a text")
