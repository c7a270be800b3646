"""From the setting `redis` to a client of redis-py that never repeats a command.

redis-py 8 says a command again, up to ten times, when the answer is lost: a package is then sent twice,
or taken off the list twice and worked on once. Here nothing is repeated; the cluster knows what may be.

Nothing connects before a client is used (in a Redis Cluster: made). A `RedisServer` can be pickled, and
each process makes a client of its own from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from djq.brokers.redis import RedisBroker
from djq.brokers.redis_leases import LeasingRedisBroker
from djq.core.config import Config
from djq.exceptions import ConfigError
from djq.ports import Broker, Clock

TIMEOUT_SECONDS = 5.0
"""How long a server may be silent, unless the settings say otherwise. The old redis-py waited for ever."""

_DEFAULTS = {
    "socket_timeout": TIMEOUT_SECONDS,
    "socket_connect_timeout": TIMEOUT_SECONDS,
    "socket_keepalive": True,
}
_OWN_KEYS = ("receipts", "url", "cluster", "sentinels", "service_name", "sentinel_kwargs")
_RETRIES = ("retry", "retry_on_timeout", "retry_on_error")
"""Options of redis-py that have no effect here."""
_SHARED = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "ssl")
"""What begins so holds for the Sentinels too, unless `sentinel_kwargs` says otherwise."""
_OLD_NAMES = {"charset": "encoding", "errors": "encoding_errors"}
"""Options of the manual that redis-py has renamed since."""


def make_broker(config: Config, list_key: str, *, clock: Clock | None) -> Broker:
    """Make the broker of the setting `redis`; with a clock that stands in for the server's, if there is one.

    Raises:
        ConfigError: The setting is wrong.
    """
    options: dict[str, Any] = {"connect": connection_of(config), **timing(clock)}
    if config.keeps_redis_receipts:
        return LeasingRedisBroker(list_key, retry_seconds=config.retry, **options)
    return RedisBroker(list_key, **options)


def connection_of(config: Config) -> RedisServer:
    """What makes clients of the server of the setting `redis`.

    Raises:
        ConfigError: The setting is wrong.
    """
    return read_server(config.redis or {})


def timing(clock: Clock | None) -> dict[str, Any]:
    """Give the options of time: who goes by a clock of their own does not wait at the server meanwhile."""
    return {} if clock is None else {"clock": clock, "wait_seconds": 0.0}


@attrs.frozen(kw_only=True)
class RedisServer:
    """Where the queue is: one server, a Redis Cluster, or what a Sentinel names. Call it for a client."""

    options: Mapping[str, Any] = attrs.field(repr=False)
    """Arguments of redis-py's client."""
    cluster: bool = False
    sentinels: tuple[tuple[str, int], ...] = ()
    service_name: str | None = None
    sentinel_kwargs: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """Arguments of the Sentinels' clients."""

    def __call__(self) -> Any:
        never = {"retry": Retry(NoBackoff(), 0)}
        options = {**self.options, **never}
        if self.cluster:
            return RedisCluster(**options)
        if self.sentinels:
            watchers: Any = Sentinel  # it has no annotations
            shared = {key: options[key] for key in options if key.startswith(_SHARED)}
            watching = {**shared, **self.sentinel_kwargs, **never}
            found = watchers(list(self.sentinels), sentinel_kwargs=watching, **options)
            return found.master_for(self.service_name)
        return Redis(**options)


def read_server(setting: Mapping[str, Any] | str) -> RedisServer:
    """Read the setting `redis`: a URL, or a dict of redis-py's options.

    In the dict, djq's own keys beside `receipts`: `url` for the rest of it as a URL, `cluster` (True: a
    Redis Cluster), or `sentinels` (pairs of host and port) with `service_name` and `sentinel_kwargs`.

    Raises:
        ConfigError: It is no URL of Redis, or has an option that redis-py does not know.
    """
    given = {"url": setting} if isinstance(setting, str) else dict(setting)
    options = {**_DEFAULTS, **_from_url(given.get("url"))}
    options |= {_OLD_NAMES.get(key, key): given[key] for key in given if key not in _OWN_KEYS}
    for key in _RETRIES:
        options.pop(key, None)
    _try_out(options, "Q_CLUSTER['redis']")
    watching = given.get("sentinel_kwargs") or {}
    if not isinstance(watching, Mapping):
        raise ConfigError(
            "Q_CLUSTER['redis']['sentinel_kwargs'] has to be a dict of redis-py's options for the "
            "Sentinels."
        )
    watching = {key: watching[key] for key in watching if key not in _RETRIES}
    _try_out(watching, "Q_CLUSTER['redis']['sentinel_kwargs']")
    server = RedisServer(
        options=options,
        cluster=given.get("cluster") is True,
        sentinels=_pairs(given.get("sentinels") or ()),
        service_name=given.get("service_name"),
        sentinel_kwargs=watching,
    )
    if bool(server.sentinels) != bool(server.service_name):
        raise ConfigError(
            "Q_CLUSTER['redis'] needs 'sentinels' and 'service_name' together: a list of "
            "(host, port), and the name of the server that they watch."
        )
    if server.cluster and server.sentinels:
        raise ConfigError("Q_CLUSTER['redis'] has 'cluster' and 'sentinels'; remove one of them.")
    return server


def _try_out(options: Mapping[str, Any], place: str) -> None:
    """Make a client, which does not connect; it says what it does not know."""
    try:
        Redis(**options).close()
    except (TypeError, ValueError) as error:
        words = str(error).replace("AbstractConnection.__init__() ", "")
        raise ConfigError(f"{place} has an option that is wrong: {words}") from None


def _from_url(url: object) -> dict[str, Any]:
    """Give the options that a URL stands for."""
    if url is None:
        return {}
    try:
        options = dict(parse_url(str(url)))  # type: ignore[no-untyped-call]
    except ValueError:
        # Its words may quote a part of the password.
        raise ConfigError(
            "Q_CLUSTER['redis'] is no URL of Redis (it is not shown, it may hold a password). Write "
            "redis://host:6379/0, rediss:// for TLS, or unix:///path/to/socket?db=0; a password "
            "with one of / : @ ? # in it has to be percent-encoded."
        ) from None
    kind = options.pop("connection_class", None)
    if kind is not None and issubclass(kind, SSLConnection):
        options["ssl"] = True
    if "path" in options:
        options["unix_socket_path"] = options.pop("path")
    return options


def _pairs(sentinels: Any) -> tuple[tuple[str, int], ...]:
    try:
        return tuple((str(host), int(port)) for host, port in sentinels)
    except (TypeError, ValueError):
        raise ConfigError(
            "Q_CLUSTER['redis']['sentinels'] has to be a list of (host, port)."
        ) from None
