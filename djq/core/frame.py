"""How a task is written down inside the cluster: a binary frame.

The frame is `version, flags, header length` (6 bytes), a JSON header, and the body as it is:

    01 00 00000051 {"id":"…","name":"…","func":"math.modf","at":"2026-11-23T19:06:00+00:00"} 80 05 95 …

Of a chain's link the frame of the next one comes behind the body; the header says then how long the
body is. The sentinel passes frames on and the pusher reads their headers, so a header must be read
without touching the body. What is None is left out, and keys that a reader does not know are passed
over: that is the room to grow. What an older reader must *not* pass over gets a flag or a higher
version, and is refused by it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from math import inf
from typing import Any

from djq.core.message import Kind, TaskMessage
from djq.core.protocol import Delivery
from djq.exceptions import BadPackage

VERSION = 1

_PREFIX = struct.Struct(">BBI")
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


def pack(message: TaskMessage) -> bytes:
    """Write the message as a frame."""
    header: dict[str, Any] = {
        "id": message.id,
        "name": message.name,
        "func": message.func,
        "at": message.enqueued_at.isoformat(),
    }
    if message.group is not None:
        header["group"] = message.group
    if message.hook is not None:
        header["hook"] = message.hook
    if message.place:
        header["place"] = message.place
    _add_options(header, message)
    if message.rest:
        header["body"] = len(message.body)
    return _joined(header, message.body, message.rest)


def options_of(message: TaskMessage) -> str:
    """What a header says beside what a row of `Task` has columns for, as JSON; mostly nothing, empty."""
    header: dict[str, Any] = {}
    _add_options(header, message)
    return _encode(header) if header else ""


def with_options(message: TaskMessage, options: str) -> TaskMessage:
    """Give the message with what `options_of` wrote of it; it has no next link.

    Raises:
        BadPackage: That is not what `options_of` writes.
    """
    if not options:
        return message
    header, _ = _read_header(pack(message))
    return unpack(_joined({**header, **_object(options)}, message.body))


def _joined(header: dict[str, Any], body: bytes, rest: bytes = b"") -> bytes:
    encoded = _encode(header).encode("ascii")
    return b"".join((_PREFIX.pack(VERSION, 0, len(encoded)), encoded, body, rest))


def _add_options(header: dict[str, Any], message: TaskMessage) -> None:
    """Write down what most tasks do not have."""
    if message.kind is not Kind.TASK:
        header["kind"] = message.kind.value
    if message.timeout is not None:
        header["timeout"] = message.timeout
    if message.save is not None:
        header["save"] = message.save
    if message.max_attempts is not None:
        header["max_attempts"] = message.max_attempts
    if message.cached is not False:
        header["cached"] = message.cached
    if message.schedule is not None:
        header["schedule"] = message.schedule
    if message.total is not None:
        _add_membership(header, message)


def _add_membership(header: dict[str, Any], message: TaskMessage) -> None:
    """Write down what an iter's element or a chain's link has beside other tasks."""
    header["of"] = message.total
    if message.iter is not None:
        header["iter"] = message.iter
    if message.chain is not None:
        header["chain"] = message.chain
    if message.goes_on:
        header["goes_on"] = True
    if message.hands_on:
        header["hands_on"] = True


def unpack(frame: bytes) -> TaskMessage:
    """Read a frame; the body stays as it is.

    Raises:
        BadPackage: It is no frame, or one that only a newer djq can read.
    """
    header, body_start = _read_header(frame)
    body_end = _body_end(header, body_start, frame)
    get = header.get
    return TaskMessage(
        id=_text(header, "id"),
        name=_text(header, "name"),
        func=_text(header, "func"),
        enqueued_at=_instant(header),
        body=frame[body_start:body_end],
        kind=Kind.TASK if get("kind") is None else _kind(header),
        timeout=None if get("timeout") is None else _timeout(header),
        group=None if get("group") is None else _text(header, "group"),
        hook=None if get("hook") is None else _text(header, "hook"),
        save=None if get("save") is None else _flag(header, "save"),
        max_attempts=None if get("max_attempts") is None else _count(header, "max_attempts"),
        cached=False if get("cached") is None else _cached(header),
        place=0 if get("place") is None else _count(header, "place"),
        total=None if get("of") is None else _count(header, "of"),
        iter=None if get("iter") is None else _text(header, "iter"),
        chain=None if get("chain") is None else _text(header, "chain"),
        rest=frame[body_end:],
        goes_on=get("goes_on") is not None and _flag(header, "goes_on"),
        hands_on=get("hands_on") is not None and _flag(header, "hands_on"),
        schedule=None if get("schedule") is None else _count(header, "schedule"),
    )


def delivery_of(frame: bytes, receipt: str | None, attempt: int | None) -> Delivery:
    """Make the delivery of a frame from its header alone.

    `attempt` is None where the broker does not count; without receipts there is only one.

    Raises:
        BadPackage: It is no frame, or one that only a newer djq can read.
    """
    header, body_start = _read_header(frame)
    _check_rest(header)
    _body_end(header, body_start, frame)
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
    for key, check in _CHECKS.items():
        if header.get(key) is not None:
            check(header, key)
    if header.get("cached") is not None:
        _cached(header)


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
    return _object(frame[_PREFIX.size : body_start]), body_start


def _object(text: bytes | str) -> dict[str, Any]:
    try:
        header = _decode(text if isinstance(text, str) else str(text, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadPackage(f"the frame's header is no JSON: {error}") from error
    if type(header) is not dict:
        raise BadPackage(f"the frame's header is a JSON {type(header).__name__}, not an object")
    return header


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


_CHECKS: Mapping[str, Callable[[dict[str, Any], str], object]] = {
    "group": _text,
    "hook": _text,
    "save": _flag,
    "place": _count,
    "of": _count,
    "iter": _text,
    "chain": _text,
    "goes_on": _flag,
    "hands_on": _flag,
    "schedule": _count,
}
"""What is passed over on the way to a worker, and has to be right all the same."""


def _timeout(header: dict[str, Any]) -> float:
    value = header["timeout"]
    if not _is_seconds(value):
        raise _wrong(header, "timeout", "a number of seconds above 0")
    return float(value)


def _cached(header: dict[str, Any]) -> bool | float:
    value = header["cached"]
    if type(value) is bool:
        return value
    if not _is_seconds(value):
        raise _wrong(header, "cached", "true, false or a number of seconds above 0")
    return float(value)


def _is_seconds(value: object) -> bool:
    try:
        return type(value) in (int, float) and 0 < float(value) < inf  # type: ignore[arg-type]
    except OverflowError:
        return False


def _body_end(header: dict[str, Any], body_start: int, frame: bytes) -> int:
    """Where the body ends and the next link's frame begins; most frames have no such frame."""
    if header.get("body") is None:
        return len(frame)
    length = header["body"]
    if type(length) is not int or length < 0:
        raise _wrong(header, "body", "a whole number of bytes")
    end = body_start + length
    if end >= len(frame):
        raise BadPackage(
            f"the frame is cut off: its body ends at byte {end}, and the next link should follow; "
            f"it has {len(frame)} bytes"
        )
    return end


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
