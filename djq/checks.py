"""What `manage.py check` says about the settings of djq and where it runs; never connects."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.core import checks
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.db import connections
from django.db.utils import ConnectionHandler
from django.utils.module_loading import import_string

from djq import assembly, conf, reporting
from djq.core.config import Config, shown
from djq.exceptions import ConfigError
from djq.ports import Broker

TAG = "djq"
RESULTS_ALIAS = "default"
SQLITE_TIMEOUT_SECONDS_MIN = 20
DROPS_ENTRIES = (DatabaseCache, FileBasedCache)
ENTRIES_DEFAULT = 300
"""Django's MAX_ENTRIES where nothing is set."""

_WAL = re.compile(r"journal_mode\s*[=(]\s*['\"]?wal\b", re.IGNORECASE)
_SQLITE_OPTIONS = (
    "'OPTIONS': {'transaction_mode': 'IMMEDIATE', 'timeout': 20, "
    "'init_command': 'PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;'}"
)


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """Every problem that stands in Q_CLUSTER itself."""
    return [
        (checks.Warning if problem.warning else checks.Error)(
            problem.message, hint=problem.hint, id=f"{TAG}.{problem.code}"
        )
        for problem in conf.problems()
    ]


def check_aliases(**_: Any) -> list[checks.CheckMessage]:
    """Whether the databases and caches that Q_CLUSTER names exist."""
    config = conf.find_config()
    if config is None:
        return []
    return list(alias_problems(config, databases=list(connections), caches=list(caches)))


def check_databases(**_: Any) -> list[checks.CheckMessage]:
    """Whether the databases that djq uses stand several processes."""
    config = conf.find_config()
    return [] if config is None else list(database_problems(config, connections))


def check_result_cache(**_: Any) -> list[checks.CheckMessage]:
    """Whether a cache that is to hold all results can."""
    config = conf.find_config()
    if config is None or not config.cached or config.cache not in list(caches):
        return []
    return list(result_cache_problems(config, caches[config.cache]))


def check_broker_class(**_: Any) -> list[checks.CheckMessage]:
    """Whether the class named by `broker_class` can be a broker."""
    config = conf.find_config()
    if config is None or config.broker_class is None:
        return []
    path = config.broker_class
    try:
        candidate = import_string(path)
    except Exception as error:  # noqa: BLE001 - a module is anybody's code, and raises anything
        told = f"{type(error).__name__}: {error}"
        message = f"Q_CLUSTER['broker_class'] is {path!r}, which cannot be imported: {told}"
        return [checks.Error(message, hint="Correct the path or the module.", id=f"{TAG}.E008")]
    return list(broker_class_problems(path, candidate))


def check_broker(**_: Any) -> list[checks.CheckMessage]:
    """Whether the broker's options are right, and its client library is here; connects to nothing."""
    config = conf.find_config()
    if config is None or config.sync or config.broker_class is not None:
        return []
    try:
        assembly.make_broker(config)
    except ConfigError as error:
        hint = "Correct the option, or install what is missing, where the cluster and the web processes run."
        return [checks.Error(str(error), hint=hint, id=f"{TAG}.E012")]
    return []


def check_reporters(**_: Any) -> list[checks.CheckMessage]:
    """Whether the error reporters can be had; connects to nothing."""
    config = conf.find_config()
    if config is None:
        return []
    try:
        reporting.check(config)
    except ConfigError as error:
        hint = "Correct the setting, or install what is missing, where the cluster runs."
        return [checks.Error(str(error), hint=hint, id=f"{TAG}.E013")]
    return []


def check_platform(**_: Any) -> list[checks.CheckMessage]:
    """Whether this platform can run a cluster of processes."""
    return list(platform_problems(can_fork=hasattr(os, "fork")))


CHECKS: tuple[Callable[..., list[checks.CheckMessage]], ...] = (
    check_settings,
    check_aliases,
    check_databases,
    check_result_cache,
    check_broker_class,
    check_broker,
    check_reporters,
    check_platform,
)


def alias_problems(
    config: Config, *, databases: Sequence[str], caches: Sequence[str]
) -> Iterator[checks.CheckMessage]:
    """Say which of the aliases in Q_CLUSTER are not among these."""
    if config.orm is not None and config.orm not in databases:
        yield _unknown_alias("orm", config.orm, "DATABASES", databases, "E006")
    if config.cache not in caches:
        yield _unknown_alias("cache", config.cache, "CACHES", caches, "E007")


def result_cache_problems(config: Config, cache: BaseCache) -> Iterator[checks.CheckMessage]:
    """Say why results would be lost in this cache; asks it for nothing."""
    nothing = assembly.keeps_nothing(cache)
    if nothing or (not config.sync and assembly.is_unshared(cache)):
        why = "keeps nothing" if nothing else "processes do not share"
        yield checks.Error(
            f"Q_CLUSTER['cached'] is {config.cached!r}, and CACHES['{config.cache}'] is "
            f"{type(cache).__name__}, which {why}: no result would be found.",
            hint="Choose a cache on a server, in the database or in files, or leave 'cached' out.",
            id=f"{TAG}.E011",
        )
    elif isinstance(cache, DROPS_ENTRIES) and cache._max_entries <= ENTRIES_DEFAULT:  # noqa: SLF001 - as set by MAX_ENTRIES
        yield checks.Warning(
            f"CACHES['{config.cache}'] holds {cache._max_entries} entries at most, and drops others "  # noqa: SLF001
            "when more come: results would be lost.",
            hint=f"Set OPTIONS['MAX_ENTRIES'] of CACHES['{config.cache}'] to what results and their "
            "groups may need, 100000 say.",
            id=f"{TAG}.W007",
        )


def broker_class_problems(path: str, candidate: object) -> Iterator[checks.CheckMessage]:
    """Say what the object at `path` lacks to be a broker."""
    if not isinstance(candidate, type) or not issubclass(candidate, Broker):
        yield checks.Error(
            f"Q_CLUSTER['broker_class'] is {path!r}, which is no subclass of djq.brokers.Broker.",
            hint="Derive the class from djq.brokers.Broker or one of its children.",
            id=f"{TAG}.E009",
        )
        return
    needed = ["enqueue", "dequeue", *(["acknowledge"] if candidate.receipts else [])]
    missing = [verb for verb in needed if getattr(candidate, verb) is getattr(Broker, verb)]
    if missing:
        yield checks.Error(
            f"Q_CLUSTER['broker_class'] is {path!r}, which lacks {' and '.join(missing)}.",
            hint="A broker defines enqueue(task) and dequeue(), with receipts acknowledge(id) too.",
            id=f"{TAG}.E010",
        )


def platform_problems(*, can_fork: bool) -> Iterator[checks.CheckMessage]:
    """Say what the platform lacks."""
    if not can_fork:
        yield checks.Warning(
            "This platform has no fork: a cluster cannot run its workers as processes here.",
            hint="Start it with qcluster --threads, or on Linux or another Unix.",
            id=f"{TAG}.W006",
        )


def database_problems(
    config: Config, databases: ConnectionHandler
) -> Iterator[checks.CheckMessage]:
    """Say which of the databases that djq uses do not stand several processes; connect to none."""
    used = dict.fromkeys(alias for alias in (config.orm, RESULTS_ALIAS) if alias is not None)
    for alias in used:
        if alias not in list(databases):
            continue
        # Only SQLite's connections have is_in_memory_db.
        connection: Any = databases[alias]
        if connection.vendor != "sqlite":
            continue
        if not connection.is_in_memory_db():
            yield from _sqlite_advice(alias, connection.settings_dict.get("OPTIONS", {}))
        elif alias == config.orm and not config.sync:
            yield checks.Warning(
                f"Q_CLUSTER['orm'] is {alias!r}, a SQLite database in memory: no other process "
                "sees it, so no cluster will ever find a task that is queued there.",
                hint=f"Give DATABASES['{alias}']['NAME'] a file, or use sync=True in tests.",
                id=f"{TAG}.W005",
            )


def _unknown_alias(
    key: str, alias: str, setting: str, known: Sequence[str], code: str
) -> checks.CheckMessage:
    names = sorted(known)
    near = difflib.get_close_matches(alias, names, n=1)
    return checks.Error(
        f"Q_CLUSTER['{key}'] is {shown(alias)}, which is no alias of {setting}; "
        f"there are: {', '.join(names)}.",
        hint=f"Did you mean '{near[0]}'?"
        if near
        else f"Name one of these, or add the alias to {setting}.",
        id=f"{TAG}.{code}",
    )


def _sqlite_advice(alias: str, options: Mapping[str, Any]) -> Iterator[checks.CheckMessage]:
    lacking = []
    if str(options.get("transaction_mode")).upper() != "IMMEDIATE":
        lacking.append("transaction_mode is not IMMEDIATE")
    if not _WAL.search(str(options.get("init_command") or "")):
        lacking.append("init_command does not set journal_mode=WAL")
    # SQLite's own default is 5 seconds.
    timeout = options.get("timeout", 5)
    if not isinstance(timeout, int | float) or timeout < SQLITE_TIMEOUT_SECONDS_MIN:
        lacking.append(f"timeout is below {SQLITE_TIMEOUT_SECONDS_MIN} seconds")
    if lacking:
        yield checks.Warning(
            f"DATABASES['{alias}'] is SQLite, which the web processes and the cluster write at the "
            f"same time, and it may answer 'database is locked': {', '.join(lacking)}.",
            hint=f"Write in DATABASES['{alias}']: {_SQLITE_OPTIONS}",
            id=f"{TAG}.W004",
        )
