"""Brokers for tests, by name: each queue of a test is one of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from djq import assembly
from djq.brokers.orm import OrmBroker
from djq.conf import get_config
from djq.core.config import Config
from djq.ports import Broker, Clock
from djq.wiring import wiring
from djq_testing.memory import KINDS, MemoryBroker

NAMES = tuple(dict.fromkeys(["memory", "orm", *KINDS]))
"""What `djq_broker` can be."""

FAKES: Mapping[str, str] = {
    "redis": "djq_testing.fakes.redis",
    "redis-receipts": "djq_testing.fakes.redis",
    "disque": "djq_testing.fakes.disque",
    "mongo": "djq_testing.fakes.mongo",
    "ironmq": "djq_testing.fakes.ironmq",
    "sqs": "djq_testing.fakes.sqs",
}
"""Brokers of which the real adapter is tested, and the module that puts a server in memory beneath it."""

EXTRAS: Mapping[str, str] = {"mongo": "testing-mongo", "sqs": "testing-sqs"}
"""The extra that brings the server in memory, where it is not `testing`."""

MakeOne = Callable[[Config, str, Clock], Broker]
"""Gives the broker of a queue: the settings, the queue's name, and what leases go by."""

BrokerMaker = Callable[[Config, str], Broker]
"""Gives the broker of a queue: the settings, and the queue's name."""


def brokers_like(name: str, clock: Clock) -> BrokerMaker:
    """Give what makes the brokers of one test.

    Args:
        name: "orm" for the real broker in the test's own database, "redis" or "redis-receipts" for
            the real broker on a Redis in memory, "disque", "ironmq", "sqs" and "mongo" for the real ones
            on servers in memory of their kinds, "memory" for a queue in memory.
        clock: What leases go by.

    Raises:
        ValueError: There is no broker of that name.
        ModuleNotFoundError: It needs a library of the extra `testing`, or of one of `EXTRAS`.
    """
    if name not in NAMES:
        raise ValueError(f"{name!r} is no broker of djq_broker; there are {', '.join(NAMES)}")
    made: dict[str, Broker] = {}
    make_one = _maker_of(name)

    def make(config: Config, list_key: str) -> Broker:
        if list_key not in made:
            made[list_key] = make_one(config, list_key, clock)
        return made[list_key]

    return make


def brokers_wired() -> Callable[[str], Broker]:
    """Give what makes the brokers that stand in for the settings' own now, by the queue's name."""
    make = wiring().broker
    assert make is not None, "somebody has put brokers in the place of the settings' own"
    return lambda list_key: make(get_config(), list_key)


def _maker_of(name: str) -> MakeOne:
    if name not in FAKES:
        return partial(make_broker, name)
    module = FAKES[name]
    try:
        fakes = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"the broker {name!r} of a test stands on a server in memory, and {error.name} is not "
            f"installed: pip install 'djq[{EXTRAS.get(name, 'testing')}]'",
            name=error.name,
        ) from error
    maker: MakeOne = fakes.broker_maker(name)
    return maker


def make_broker(name: str, config: Config, list_key: str, clock: Clock) -> Broker:
    """Make the broker of one queue: "orm", or a queue in memory."""
    if name == "orm":
        alias = config.orm or assembly.result_alias()
        return OrmBroker(list_key, alias=alias, clock=clock, retry_seconds=config.retry)
    around: dict[str, Any] = {"clock": clock, "retry_seconds": config.retry}
    if name == "memory":
        return MemoryBroker(list_key, **around)
    return MemoryBroker.like(name, list_key, **around)
