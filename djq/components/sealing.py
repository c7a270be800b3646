"""Writes a task down for a broker, within what the settings and that broker allow."""

from __future__ import annotations

from djq.core.codec import Codec
from djq.exceptions import TaskRefused
from djq.ports import Broker


def seal_for(broker: Broker, codec: Codec, frame: bytes) -> str:
    """Give the signed text of a frame.

    Raises:
        TaskRefused: It is larger than `max_payload` allows, the setting or the broker's own.
    """
    package = codec.seal(frame)
    if broker.max_payload is not None and len(package) > broker.max_payload:
        raise TaskRefused(
            f"the task has {len(package):,} characters, more than the {broker.max_payload:,} that "
            f"the broker ({type(broker).__name__}) takes; pass a reference to the data instead "
            "(a primary key, a file name)"
        )
    return package
