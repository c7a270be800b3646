"""Puts the real parts together as the settings say: clock, codec, broker, store, plan of a cluster."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

from djq.boards.cache import CacheBoard
from djq.boards.database import DatabaseBoard
from djq.brokers.orm import OrmBroker, ServerClock
from djq.brokers.orm_bell import Bell
from djq.components.publisher import Board
from djq.components.scheduler import Queue
from djq.conf import find_config, get_config, make_signer
from djq.core.codec import Codec
from djq.core.config import Config
from djq.core.lifecycle import Role
from djq.core.message import Finished
from djq.core.plan import Plan
from djq.core.settlement import Policy
from djq.exceptions import ConfigError, TaskRefused
from djq.ports import Broker, Clock, ResultStore, Surroundings
from djq.reporting import reporter
from djq.results.cache import CacheStore
from djq.results.database import DatabaseStore
from djq.results.routed import RoutedStore
from djq.runtime.clock import CallersClock, SystemClock, SystemIds
from djq.runtime.courier import Courier
from djq.schedules.database import DatabaseScheduleStore
from djq.signals import LoggingObserver
from djq.wiring import NOTHING, wiring

if TYPE_CHECKING:
    from djq.models import Task

Made = TypeVar("Made")

MakeAdapter = Callable[..., Broker]
"""`make_broker(config, list_key, *, clock)`: the clock is one that stands in for the server's, or None."""

ADAPTERS: Mapping[str, tuple[str, str]] = {
    "redis": ("djq.brokers.redis_client", "djq[redis]"),
    "django_redis": ("djq.brokers.redis_cache", "django-redis"),
    "disque_nodes": ("djq.brokers.disque_client", "djq[redis]"),
    "mongo": ("djq.brokers.mongo_client", "djq[mongo]"),
    "iron_mq": ("djq.brokers.ironmq_client", "djq[ironmq]"),
    "sqs": ("djq.brokers.sqs_client", "djq[sqs]"),
}
"""For each key that chooses a broker: the module that makes it, and what to install for that."""

IN_REDIS = frozenset({"redis", "django_redis"})
"""Keys whose broker has the statistics beside its queue whatever the cache is."""

MEASURING = frozenset({"disque_nodes", "mongo", "sqs"})
"""Keys whose module reads the host's clock besides the server's, and is handed it."""

_local = threading.local()


@lru_cache(maxsize=1)
def _real_surroundings(cluster: str | None, courier: Courier | None) -> Surroundings:
    return Surroundings(SystemClock(), SystemIds(), LoggingObserver(cluster), courier)


def surroundings() -> Surroundings:
    """The real clock, real ids, the log, the reporters; unless others stand in for them."""
    config, instead = find_config(), wiring()
    if instead is NOTHING and config is not None:
        return _real_surroundings(config.name, reporter(config))
    real = _real_surroundings(None if config is None else config.name, None)
    return Surroundings(
        instead.clock or real.clock,
        instead.ids or real.ids,
        instead.observer or real.observer,
        instead.reporter,
    )


def callers_clock() -> CallersClock:
    """The clock that a caller waits on."""
    return wiring().clock or SystemClock()


def _clock_of(alias: str) -> Clock:
    """The time of a database's server; unless another clock stands in for it."""
    return wiring().clock or ServerClock(alias, SystemClock())


def make_codec(config: Config | None = None, queue: str | None = None) -> Codec:
    """Seals and opens the packages of one queue: a cluster opens those of its own queue alone.

    The settings' own when `config` is None, the cluster's own queue when `queue` is None.
    """
    config = get_config() if config is None else config
    signer = make_signer("task", config.name if queue is None else queue)
    return Codec(signer=signer, compress=config.compress, max_payload=config.max_payload)


def make_broker(config: Config, list_key: str | None = None) -> Broker:
    """Make the broker that the settings choose; it does not connect yet.

    Raises:
        ConfigError: `broker_class` is none, the broker's options are wrong, or its client library
            is not installed.
    """
    key = config.name if list_key is None else list_key
    instead = wiring().broker
    if instead is not None:
        return instead(config, key)
    if config.broker_class is not None:
        return _custom(config.broker_class, key)
    if config.orm is not None and config.broker_name == "orm":
        return _on_orm(config, config.orm, key)
    module, install = ADAPTERS[config.broker_name]
    adapter: MakeAdapter = _part_of(module, install).make_broker
    own = {"host_clock": SystemClock()} if config.broker_name in MEASURING else {}
    return adapter(config, key, clock=wiring().clock, **own)


def seen(broker: Broker) -> Broker:
    """The broker that stands in for this one, which may have been made before; otherwise itself."""
    instead = wiring().broker
    return broker if instead is None else instead(get_config(), broker.list_key)


def _part_of(module: str, install: str) -> Any:
    """Import what needs a library that not everybody has."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The broker that Q_CLUSTER chooses needs the package {error.name}, which is not "
            f"installed: pip install '{install}'. To queue tasks in the default database "
            "instead, write Q_CLUSTER = {'orm': 'default'}."
        ) from error
    except Exception as error:
        raise ConfigError(
            "The broker that Q_CLUSTER chooses needs a library that cannot be imported: "
            f"{type(error).__name__}: {error}. Install it anew: pip install --upgrade '{install}'."
        ) from error


def broker_of_this_thread(list_key: str | None = None) -> Broker:
    """Make a broker once per process, thread, configuration and queue name."""
    config = get_config()
    if wiring().broker is not None:
        return make_broker(config, list_key)
    return _once("brokers", config, list_key, lambda: make_broker(config, list_key))


def _once(kind: str, config: Config, list_key: str | None, make: Callable[[], Made]) -> Made:
    """What was made before for this process, thread, configuration and queue name, or a new one."""
    key = (os.getpid(), id(config), list_key)
    cache: dict[object, tuple[Config, Made]] = _local.__dict__.setdefault(kind, {})
    if key not in cache:
        stale = [old for old, (used, _) in cache.items() if used is not config]
        for old in stale:
            del cache[old]
        cache[key] = (config, make())
    return cache[key][1]


def make_board(config: Config, list_key: str) -> Board | None:
    """Make the board for statistics of this queue's clusters. None: other processes would not see it."""
    instead = wiring()
    if instead.board is not None or instead.broker is not None:
        return instead.board
    if config.broker_name in IN_REDIS:
        module, install = ADAPTERS[config.broker_name]
        connect = _part_of(module, install).connection_of(config)
        board: Board = _part_of("djq.boards.redis", install).RedisBoard(
            list_key, connect=connect, clock=instead.clock
        )
        return board
    with suppress(InvalidCacheBackendError):  # a check tells of it; no cluster is to stay away
        if not is_unshared(caches[config.cache]):
            return CacheBoard(list_key, caches[config.cache])
    if config.orm is None or config.broker_name != "orm":
        return None
    return DatabaseBoard(list_key, alias=config.orm, host_clock=SystemClock(), clock=instead.clock)


def board_of_this_thread(list_key: str | None = None) -> Board | None:
    """As `broker_of_this_thread`, for the board of a queue's clusters."""
    config = get_config()
    key = config.name if list_key is None else list_key
    if wiring().broker is not None or config.broker_name not in IN_REDIS:
        return make_board(config, key)  # Django has the connections itself
    return _once("boards", config, key, lambda: make_board(config, key))


def make_store(config: Config, queue: str | None = None) -> ResultStore:
    """The store that keeps outcomes: of cached tasks in the cache, of others in the database.

    `queue` is what the tasks come from. None: the cluster's own.
    """
    return RoutedStore(
        database=_wired_store() or make_database_store(config, queue),
        cache=make_cache_store(config),
    )


def make_database_store(config: Config, queue: str | None = None) -> DatabaseStore:
    """The store in the database that Django routes `Task` to; `queue` as by `make_store`."""
    return DatabaseStore(
        alias=result_alias(),
        save_limit=config.save_limit,
        results_bytes_max=config.max_payload,
        queue=config.name if queue is None else queue,
    )


def _wired_store() -> DatabaseStore | None:
    """What stands in for the database: it has the verbs, as its contract says. None: nothing."""
    return cast("DatabaseStore | None", wiring().store)


def make_cache_store(config: Config) -> CacheStore:
    """The store in the cache of the settings."""
    database = make_database_store(config)

    def unsaved(finished: Finished) -> Task:
        task = database.unsaved(finished)
        task.from_cache = True
        return task

    return CacheStore(
        wiring().cache or caches[config.cache],
        clock=surroundings().clock,
        unsaved=unsaved,
        results_bytes_max=config.max_payload,
    )


Shelf = DatabaseStore | CacheStore
"""Where results are looked for."""


def get_shelf(cached: bool | float | None) -> Shelf:  # noqa: FBT001 - the documented argument
    """The store to look for results in. None: as the setting `cached` says."""
    wanted = get_config().cached if cached is None else cached
    return get_cache_store() if wanted else get_database_store()


def get_database_store() -> DatabaseStore:
    """The store of results that are not cached."""
    return _wired_store() or make_database_store(get_config())


def get_cache_store() -> CacheStore:
    """The store of cached results."""
    return make_cache_store(get_config())


def refuse_unshared_cache(config: Config, *, sync: bool = False) -> None:
    """Refuse a task whose outcome would go to a cache in which nobody would find it.

    A task that runs here and now (`sync`) may use a cache that each process has for itself.

    Raises:
        TaskRefused: The cache is one that each process has for itself, or none at all.
    """
    reason = unshared_cache(config.cache, sync=sync)
    if reason is not None:
        raise TaskRefused(f"the result cannot be cached: {reason}")


def unshared_cache(alias: str, *, sync: bool = False) -> str | None:
    """Why results in this cache would not be found; by this process, with `sync`. None: they are."""
    cache = wiring().cache or caches[alias]
    if keeps_nothing(cache):
        return (
            f"CACHES[{alias!r}] is {type(cache).__name__}, which keeps nothing. Choose a cache on a "
            "server, in the database or in files, or leave `cached` out"
        )
    if sync or wiring().broker is not None:
        # Where a broker stands in for the settings' own, this process is the only one.
        return None
    servers = getattr(cache, "_servers", ())
    if isinstance(cache, RedisCache) and len(servers) > 1:
        return (
            f"CACHES[{alias!r}] reads from replicas of its Redis, which may be behind; choose one with a "
            "single server, or leave `cached` out"
        )
    if not is_unshared(cache):
        return None
    return (
        f"CACHES[{alias!r}] is {type(cache).__name__}, which processes do not share: what a worker "
        "writes is not seen here. Choose a cache on a server, in the database or in files, or leave "
        "`cached` out"
    )


def is_unshared(cache: BaseCache) -> bool:
    """Whether each process has this cache for itself, or there is none at all."""
    return isinstance(cache, LocMemCache) or keeps_nothing(cache)


def keeps_nothing(cache: BaseCache) -> bool:
    """Whether what is put into this cache is gone at once."""
    return isinstance(cache, DummyCache)


def result_alias() -> str:
    """The Django database that results go to."""
    from django.apps import apps  # noqa: PLC0415 - not before Django is set up
    from django.db import router  # noqa: PLC0415

    return router.db_for_write(apps.get_model("djq", "Task"))


def schedule_alias() -> str:
    """The Django database that schedules are in."""
    from django.apps import apps  # noqa: PLC0415 - not before Django is set up
    from django.db import router  # noqa: PLC0415

    return router.db_for_write(apps.get_model("djq", "Schedule"))


def make_schedule_store() -> DatabaseScheduleStore:
    """The store of schedules: the database that Django routes `Schedule` to, and its time."""
    alias = schedule_alias()
    return DatabaseScheduleStore(alias=alias, clock=_clock_of(alias))


def queue_finder(config: Config, broker: Broker) -> Callable[[str | None], Queue]:
    """Find queues by name, with brokers like the cluster's own; None stands for that one."""
    own = Queue(broker, make_codec(config, broker.list_key))

    @lru_cache(maxsize=100)
    def find(name: str | None) -> Queue:
        if name is None or name == broker.list_key:
            return own
        return Queue(make_broker(config, name), make_codec(config, name))

    return find


def make_plan(config: Config, broker: Broker, *, run_once: bool) -> Plan:
    """What the sentinel has to know of the settings."""
    return Plan(
        policy=Policy(
            receipts=broker.receipts,
            ack_failures=config.ack_failures,
            max_attempts=config.max_attempts,
            timeout=config.timeout,
        ),
        seats={
            Role.WORKER: config.workers,
            Role.MONITOR: 1,
            Role.PUSHER: 1,
            **({Role.SCHEDULER: 1} if config.scheduler else {}),
        },
        queue_limit=config.queue_limit,
        recycle=config.recycle,
        lease_seconds=config.retry,
        guard_cycle=config.guard_cycle,
        stop_timeout=config.stop_timeout,
        run_once=run_once,
    )


def _on_orm(config: Config, alias: str, list_key: str) -> Broker:
    clock = _clock_of(alias)
    # On a clock that stands in for the server's, nothing waits at the server.
    waits = config.orm_notify and wiring().clock is None
    bell = Bell(alias, list_key, clock=clock) if waits else None
    return OrmBroker(list_key, alias=alias, clock=clock, retry_seconds=config.retry, bell=bell)


def _custom(path: str, list_key: str) -> Broker:
    module, _, name = path.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except Exception as error:
        # A module is anybody's code, and raises anything.
        raise ConfigError(
            f"Q_CLUSTER['broker_class'] = {path!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Broker)):
        raise ConfigError(
            f"Q_CLUSTER['broker_class'] = {path!r} is no broker: inherit from djq.brokers.Broker."
        )
    return kind(list_key)
