"""Writes tasks down for a broker, within what the settings and that broker allow, and sends them."""

from __future__ import annotations

from collections.abc import Sequence

from djq.core.codec import Codec
from djq.exceptions import BrokerUnavailable, TaskRefused
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


def send_all(broker: Broker, codec: Codec, frames: Sequence[bytes]) -> dict[int, str]:
    """Enqueue tasks, in order; gives the places of those that can never be sent, and why.

    Raises:
        BrokerUnavailable: Some may have been sent; it is safe to do it again. It has the places of those that
            surely were, which need not be.
    """
    refused: dict[int, str] = {}
    packages: dict[int, str] = {}
    for place, frame in enumerate(frames):
        try:
            packages[place] = seal_for(broker, codec, frame)
        except TaskRefused as error:
            refused[place] = str(error)
    if packages:
        places = list(packages)
        try:
            never = send_packages(broker, list(packages.values()))
        except BrokerUnavailable as error:
            error.sent = [places[at] for at in error.sent]
            raise
        refused |= {places[at]: reason for at, reason in never.items()}
    return refused


def send_packages(broker: Broker, packages: Sequence[str]) -> dict[int, str]:
    """Enqueue what is written down, in order; gives the places of those that can never be sent, and why.

    Raises:
        BrokerUnavailable: As by `send_all`.
    """
    try:
        broker.enqueue_many(packages)
    except TaskRefused as error:
        sent = set(error.sent)
    else:
        return {}
    refused: dict[int, str] = {}
    for place in sorted(set(range(len(packages))) - sent):
        try:
            broker.enqueue(packages[place])
        except TaskRefused as error:
            refused[place] = str(error)
        except BrokerUnavailable as error:
            error.sent = sent
            raise
        else:
            sent.add(place)
    return refused
