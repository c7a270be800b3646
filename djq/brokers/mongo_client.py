"""From the settings `mongo` and `mongo_db` to a client of pymongo that never repeats a command.

pymongo says a write or a read again when its answer is lost, unless it is told not to. Here nothing is
repeated; the cluster knows what may be. Nothing connects before a `MongoServer` is called.

All threads of a process that were told the same options share one client, which has a pool of connections
for them. The last one that closes it ends it; one that is never closed lives as long as the process. A child
makes clients of its own, since pymongo's, with its threads, is of no use after a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs
from pymongo import MongoClient
from pymongo.errors import InvalidName, PyMongoError

from djq.brokers.mongo import MongoBroker
from djq.core.config import Config
from djq.exceptions import ConfigError
from djq.ports import Broker, Clock

DATABASE = "django-q"
"""Where queues are if neither the settings nor the URI name a database; as in the manual."""

TIMEOUT_MS = 5_000
"""How long a server may be silent, unless the settings say otherwise. pymongo waits half a minute for one."""

_DEFAULTS = {
    "serverSelectionTimeoutMS": TIMEOUT_MS,
    "connectTimeoutMS": TIMEOUT_MS,
    "socketTimeoutMS": TIMEOUT_MS,
}
_NO_RETRIES = {"retryWrites": False, "retryReads": False}
_SRV = "mongodb+srv://"


def make_broker(
    config: Config, list_key: str, *, clock: Clock | None, host_clock: Clock | None = None
) -> Broker:
    """Make the broker of the setting `mongo`; with a clock that stands in for the server's, if there is one.

    `host_clock` is what the server's time is counted on by, between one measuring and the next.

    Raises:
        ConfigError: The setting is wrong.
    """
    server = read_server(config.mongo or {}, config.mongo_db)
    around: dict[str, Any] = {"clock": clock, "host_clock": host_clock}
    return MongoBroker(list_key, connect=server, retry_seconds=config.retry, **around)


class SharedClient(MongoClient[dict[str, Any]]):
    """A client of all in this process who have the same options; `close` says that one needs it no more."""

    users = 0

    def close(self) -> None:
        if _clients_here().leave(self):
            super().close()


class _Clients:
    """The clients of one process that are in use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: list[tuple[Mapping[str, Any], SharedClient]] = []

    def join(self, options: Mapping[str, Any]) -> SharedClient:
        """Give the client with these options; for each time it is to be closed once."""
        with self._lock:
            client = next((client for given, client in self._open if given == options), None)
            if client is None:
                client = SharedClient(**options)
                self._open.append((options, client))
            client.users += 1
            return client

    def leave(self, client: SharedClient) -> bool:
        """One needs it no more; give whether nobody does."""
        with self._lock:
            client.users -= 1
            if client.users > 0:
                return False
            # By identity: to pymongo all clients of one server are equal.
            self._open = [pair for pair in self._open if pair[1] is not client]
            return True


_CLIENTS: dict[int, _Clients] = {}
"""By process: what a child has inherited is kept, and never touched."""


def _clients_here() -> _Clients:
    return _CLIENTS.setdefault(os.getpid(), _Clients())


@attrs.frozen(kw_only=True)
class MongoServer:
    """Where the queue is. Call it for the database, over the client of this process, and close that once."""

    options: Mapping[str, Any] = attrs.field(repr=False)
    """Arguments of pymongo's client."""
    database: str | None = None
    """None: the one that the URI names, or `DATABASE`."""

    def __call__(self) -> Any:
        return self.database_of(_clients_here().join(self.options))

    def database_of(self, client: MongoClient[dict[str, Any]]) -> Any:
        """The database at this client."""
        if self.database is not None:
            return client.get_database(self.database)
        return client.get_default_database(DATABASE)


def read_server(setting: Mapping[str, Any] | str, database: str | None = None) -> MongoServer:
    """Read the setting `mongo`: a dict of MongoClient's options, or a URI of MongoDB.

    Raises:
        ConfigError: It is no URI of MongoDB, or has an option that pymongo does not know.
    """
    given = {"host": setting} if isinstance(setting, str) else dict(setting)
    given = {key: given[key] for key in given if key.lower() not in map(str.lower, _NO_RETRIES)}
    named = {key.lower() for key in (*given, *_uri_options(given.get("host")))}
    defaults = {key: value for key, value in _DEFAULTS.items() if key.lower() not in named}
    server = MongoServer(options={**defaults, **given, **_NO_RETRIES}, database=database)
    _try(server, given)
    return server


def _try(server: MongoServer, given: Mapping[str, Any]) -> None:
    """Make a client that does not connect, to hear what pymongo says."""
    options = {**server.options, "connect": False}
    if any(host.startswith(_SRV) for host in _hosts(options.get("host"))):
        # pymongo may ask the name server for these at once.
        options = {
            key: options[key] for key in options if not key.lower().startswith(("host", "srv"))
        }
    try:
        database = server.database_of(MongoClient(**options))
    except InvalidName:
        raise ConfigError(
            f"Q_CLUSTER['mongo_db'] = {server.database!r:.80} cannot be the name of a database: MongoDB "
            'takes none with a space or one of . / \\ $ " in it. Choose another.'
        ) from None
    except (PyMongoError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(_words(error, given)) from None
    acknowledged = database.write_concern.acknowledged
    database.client.close()
    if not acknowledged:
        raise ConfigError(
            "Q_CLUSTER['mongo'] has the option w=0, with which the server does not say what it did; leave "
            "it out, or write 1 or 'majority'."
        )


def _words(error: Exception, given: Mapping[str, Any]) -> str:
    """Say what is wrong; in pymongo's words, unless they quote a value, which may be a password."""
    if any("://" in host for host in _hosts(given.get("host"))):
        return (
            "Q_CLUSTER['mongo'] has a URI or an option that pymongo does not take (it is not shown, it may "
            "hold a password). Write mongodb://user:password@host:27017/database; a password with one of "
            "/ : @ ? # % in it has to be percent-encoded. The options are those of pymongo's MongoClient."
        )
    # With what is unknown pymongo names the option alone.
    unknown = str(error).startswith("Unknown option")
    values = filter(None, map(str, given.values()))
    if not unknown and any(value in str(error) for value in values):
        return (
            f"Q_CLUSTER['mongo'] has an option whose value pymongo does not take: {type(error).__name__}. "
            "The options are those of pymongo's MongoClient."
        )
    return (
        f"Q_CLUSTER['mongo'] has an option that is wrong: {str(error).rstrip('.')}. "
        "The options are those of pymongo's MongoClient."
    )


def _hosts(host: object) -> list[str]:
    hosts = host if isinstance(host, list | tuple) else [host]
    return [each for each in hosts if isinstance(each, str)]


def _uri_options(host: object) -> Iterator[str]:
    """Name the options that a URI has of its own: they are not to be overruled."""
    for each in _hosts(host):
        if "://" in each:
            yield from (name for name, _ in parse_qsl(each.partition("?")[2]))
