"""Brokers: the class to subclass, and the broker that the settings choose (the manual, 1.3)."""

from __future__ import annotations

from djq.core.received import Received, Waiting
from djq.ports import Broker

__all__ = ["Broker", "Received", "Waiting", "get_broker"]


def get_broker(list_key: str | None = None) -> Broker:
    """Give the broker that Q_CLUSTER chooses; one object per process and thread, cheap to ask for.

    `list_key` is the queue's name. None: the cluster's own name.

    Raises:
        ConfigError: Q_CLUSTER or the broker's options have errors, or its library is not installed.
    """
    # The documented place of this function; what the settings mean is put together further up.
    from djq.assembly import broker_of_this_thread  # noqa: PLC0415

    return broker_of_this_thread(list_key)
