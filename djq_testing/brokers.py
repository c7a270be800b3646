"""Brokers for tests, by name: each queue of a test is one of them."""

from __future__ import annotations

from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS

from djq.brokers.orm import OrmBroker
from djq.core.config import Config
from djq.ports import Broker, Clock
from djq_testing.memory import MemoryBroker

BrokerMaker = Callable[[Config, str], Broker]
"""Gives the broker of a queue: the settings, and the queue's name."""


def brokers_like(name: str, clock: Clock) -> BrokerMaker:
    """Give what makes the brokers of one test.

    Args:
        name: "memory", or "orm" for the queue in the test's own database.
        clock: What leases go by.

    Raises:
        ValueError: There is no broker of that name.
    """
    makers = {"memory": _memory, "orm": _orm}
    if name not in makers:
        raise ValueError(f"{name!r} is no broker of djq_broker; there are {', '.join(makers)}")
    made: dict[str, Broker] = {}

    def make(config: Config, list_key: str) -> Broker:
        if list_key not in made:
            made[list_key] = makers[name](config, list_key, clock)
        return made[list_key]

    return make


def _memory(config: Config, list_key: str, clock: Clock) -> Broker:
    return MemoryBroker(list_key, clock=clock, retry_seconds=config.retry)


def _orm(config: Config, list_key: str, clock: Clock) -> Broker:
    alias = config.orm or DEFAULT_DB_ALIAS
    return OrmBroker(list_key, alias=alias, clock=clock, retry_seconds=config.retry)
