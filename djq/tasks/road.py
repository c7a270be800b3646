"""How tasks leave this process: to a broker now, when the transaction commits, or run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, islice

import attrs
from django.db import transaction

from djq import assembly, inline
from djq.brokers import get_broker
from djq.components.sealing import seal_for
from djq.conf import get_config
from djq.core.codec import Codec
from djq.core.config import Config
from djq.core.options import Options
from djq.exceptions import BrokerUnavailable, TaskRefused
from djq.ports import Broker
from djq.wiring import wiring

BULK = 500
"""Packages in one call to the broker."""


@attrs.frozen(kw_only=True)
class Road:
    """What the options and the settings say together, for all tasks of one call."""

    config: Config
    broker: Broker | None
    """None: the tasks run here and now."""
    on_commit: bool
    cached: bool | float
    """Whether outcomes go to the cache; a number: for how many seconds."""

    @classmethod
    def of(cls, options: Options) -> Road:
        """Take the road that these options want.

        Raises:
            TaskRefused: Results are to go to a cache that the workers do not share, or to none.
            ConfigError: The settings have errors.
        """
        config = get_config()
        sync = _runs_here(config, options)
        cached = config.cached if options.cached is None else options.cached
        if cached:
            assembly.refuse_unshared_cache(config, sync=sync)
        on_commit = config.on_commit if options.on_commit is None else options.on_commit
        broker: Broker | None = None
        if not sync:
            broker = get_broker() if options.broker is None else assembly.seen(options.broker)
        return cls(config=config, broker=broker, on_commit=on_commit, cached=cached)

    def check(self, frame: bytes) -> None:
        """Refuse a task that is too large; nothing is sent.

        Raises:
            TaskRefused: It is larger than `max_payload` allows, the setting or the broker's own.
        """
        if self.broker is None:
            assembly.make_codec(self.config).seal(frame)
        else:
            seal_for(self.broker, self._codec(self.broker), frame)

    def send(self, frames: Iterable[bytes]) -> None:
        """Send tasks in order, hundreds in a round trip; or run them, one after the other.

        Raises:
            TaskRefused: One is too large. With a queue in a database nothing is sent then; of what another
                took of them it has the places, as `sent`.
            BrokerUnavailable: The broker did not take them. With a queue in a database nothing is
                sent then; with another some may have been, if there are more than fit in one call: it
                says how many, and has the places of those that surely were.
            StoreUnavailable: A task that ran here could not be saved.
        """
        if self.broker is None:
            (wiring().run or inline.run)(self._sealable(frames))
            return
        codec = self._codec(self.broker)
        packages = (seal_for(self.broker, codec, frame) for frame in frames)
        if self.on_commit:
            self.when_committed(partial(_enqueue, self.broker, list(packages)))
        else:
            _enqueue(self.broker, packages)

    def when_committed(self, act: Callable[[], object]) -> None:
        """Act now; or if `on_commit` is set when the transaction of the default database has committed.

        Where the broker lives in another database, when that one's has committed too. Outside a
        transaction Django acts at once.
        """
        if not self.on_commit or self.broker is None:
            act()
            return
        if self.broker.database is not None:
            act = partial(transaction.on_commit, act, using=self.broker.database)
        transaction.on_commit(act)

    def _sealable(self, frames: Iterable[bytes]) -> Iterator[bytes]:
        """The same tasks; one that is too large for a queue is refused when it is its turn."""
        codec = assembly.make_codec(self.config)
        for frame in frames:
            codec.seal(frame)
            yield frame

    def _codec(self, broker: Broker) -> Codec:
        return assembly.make_codec(self.config, broker.list_key)


def _runs_here(config: Config, options: Options) -> bool:
    instead = wiring().sync
    if instead is None:
        return config.sync if options.sync is None else options.sync
    return instead or bool(options.sync)


def _enqueue(broker: Broker, packages: Iterable[str]) -> None:
    bulks = _bulks(packages)
    first = next(bulks, [])
    if len(first) == 1:
        broker.enqueue(first[0])
        return
    if len(first) < BULK:
        if first:
            broker.enqueue_many(first)
        return
    sent = 0
    try:
        with _all_or_none(broker):
            for bulk in chain([first], bulks):
                broker.enqueue_many(bulk)
                sent += len(bulk)
    except (BrokerUnavailable, TaskRefused) as error:
        if broker.database is not None:
            error.sent = ()
        if broker.database is not None or not sent:
            raise
        kind = TaskRefused if isinstance(error, TaskRefused) else BrokerUnavailable
        places = [*range(sent), *(sent + place for place in error.sent)]
        words = f"{error}; the first {sent:,} tasks had been sent"
        raise kind(words, sent=places) from error


def _bulks(packages: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(packages)
    while bulk := list(islice(iterator, BULK)):
        yield bulk


def _all_or_none(broker: Broker) -> AbstractContextManager[object]:
    """A transaction, where the queue is in a database."""
    return nullcontext() if broker.database is None else transaction.atomic(using=broker.database)
