"""From the setting `redis` to a client of redis-py that never repeats a command.

redis-py 8 says a command again, up to ten times, when the answer is lost: a package is then sent twice,
or taken off the list twice and worked on once. Here nothing is repeated; the cluster knows what may be.

Nothing connects before a client is used (in a Redis Cluster: made). A `RedisServer` can be pickled, and
each process makes a client of its own from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from djq.brokers.redis import RedisBroker
from djq.brokers.redis_leases import LeasingRedisBroker
from djq.brokers.redis_options import check_options
from djq.brokers.redis_url import read_url
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
_OWN_KEYS = (
    "receipts",
    "cluster",
    "startup_nodes",
    "sentinels",
    "service_name",
    "sentinel_kwargs",
)
_MAY_BE_NONE = (
    "url",
    "host",
    "port",
    "db",
    "startup_nodes",
    "sentinels",
    "service_name",
    "sentinel_kwargs",
)
"""Where None is as good as nothing."""
_FORCED = ("retry", "retry_on_timeout", "retry_on_error", "decode_responses")
"""Options of redis-py that have no effect here: answers stay bytes, as foreign ones may be no text."""
_SHARED = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "ssl")
"""What begins so holds for the Sentinels too, unless `sentinel_kwargs` says otherwise."""
_OLD_NAMES = {"charset": "encoding", "errors": "encoding_errors"}
"""Options of the manual that redis-py has renamed since."""


def make_broker(config: Config, list_key: str, *, clock: Clock | None) -> Broker:
    """Make the broker of the setting `redis`; with a clock that stands in for the server's, if there is one.

    Raises:
        ConfigError: The setting is wrong, or a Redis Cluster can have no queue of this name.
    """
    server = connection_of(config)
    if server.startup_nodes and set("{}") & set(list_key):
        raise ConfigError(
            f"The queue {list_key!r} has braces in its name. A Redis Cluster takes them for the place "
            "of a key, and would part the keys of the queue; choose a name without braces."
        )
    options: dict[str, Any] = {"connect": server, **timing(clock)}
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
    startup_nodes: tuple[tuple[str, int], ...] = ()
    """Some hosts of a Redis Cluster, which know the others. Empty: it is none."""
    sentinels: tuple[tuple[str, int], ...] = ()
    service_name: str | None = None
    sentinel_kwargs: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """Arguments of the Sentinels' clients."""

    def __call__(self) -> Any:
        never = {"retry": Retry(NoBackoff(), 0)}
        options = {**self.options, **never}
        if self.startup_nodes:
            node: Any = ClusterNode  # it has no annotations
            nodes = [node(host, port) for host, port in self.startup_nodes]
            if not hasattr(Retry, "get_retries"):  # redis-py 5 has a number beside it, and repeats
                options["cluster_error_retry_attempts"] = 0
            return RedisCluster(startup_nodes=nodes, **options)
        if self.sentinels:
            watchers: Any = Sentinel  # nor has it
            shared = {key: options[key] for key in options if key.startswith(_SHARED)}
            watching = {**shared, **self.sentinel_kwargs, **never}
            found = watchers(list(self.sentinels), sentinel_kwargs=watching, **options)
            return found.master_for(self.service_name)
        return Redis(**options)


def read_server(setting: Mapping[str, Any] | str) -> RedisServer:
    """Read the setting `redis`: a URL, or a dict of redis-py's options.

    In the dict, djq's own keys beside `receipts`: `url` for the rest of it as a URL; `cluster` (True: a
    Redis Cluster) and `startup_nodes` (pairs of host and port); or `sentinels` (such pairs) with
    `service_name` and `sentinel_kwargs`.

    Raises:
        ConfigError: It is no URL of Redis, or an option is wrong or not known.
    """
    given: dict[str, Any] = {"url": setting} if isinstance(setting, str) else dict(setting)
    given = {key: given[key] for key in given if key not in _MAY_BE_NONE or given[key] is not None}
    if "url" in given:
        given = {**read_url(given.pop("url")), **given}
    check_options(given, "Q_CLUSTER['redis']")
    options = {_OLD_NAMES.get(key, key): given[key] for key in given if key not in _OWN_KEYS}
    options = {**_DEFAULTS, **_unforced(options, "Q_CLUSTER['redis']", "url", *_OWN_KEYS)}
    _check_together(given, options)
    watching = given.get("sentinel_kwargs", {})
    check_options(watching, "Q_CLUSTER['redis']['sentinel_kwargs']")
    nodes = given.get("startup_nodes", [])
    if given.get("cluster"):
        options.pop("db", None)  # there is one, and redis-py does not want to hear of it
        if not nodes or "host" in options:
            nodes = [*nodes, (options.pop("host", "localhost"), options.pop("port", 6379))]
    return RedisServer(
        options=options,
        startup_nodes=_pairs(nodes),
        sentinels=_pairs(given.get("sentinels", ())),
        service_name=given.get("service_name"),
        sentinel_kwargs=_unforced(watching, "Q_CLUSTER['redis']['sentinel_kwargs']"),
    )


def _unforced(options: Mapping[str, Any], place: str, *own_keys: str) -> dict[str, Any]:
    """Leave out what djq decides itself; redis-py says what it does not know of the rest."""
    options = {key: options[key] for key in options if key not in _FORCED}
    try:
        client = Redis(**options)
        client.connection_pool.make_connection()  # it does not connect
        client.close()
    except (TypeError, ValueError, RedisError) as error:
        words = re.sub(r"\w+\.__init__\(\) ", "", str(error)).rstrip(".")
        known = ", ".join(("those of redis-py's Redis", *own_keys))
        raise ConfigError(
            f"{place} has an option that is wrong: {words}. There are {known}."
        ) from None
    return options


def _check_together(given: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse options that are right each for itself, and of which one would not be heard."""
    named = {key for key in ("sentinels", "service_name") if key in given}
    if len(named) == 1:
        raise ConfigError(
            "Q_CLUSTER['redis'] needs 'sentinels' and 'service_name' together: a list of "
            "(host, port), and the name of the server that they watch."
        )
    if given.get("sentinel_kwargs") and not named:
        raise ConfigError(
            "Q_CLUSTER['redis'] has 'sentinel_kwargs' and no 'sentinels'; remove it, or name them."
        )
    if "startup_nodes" in given and not given.get("cluster"):
        raise ConfigError(
            "Q_CLUSTER['redis'] has 'startup_nodes', which are for a Redis Cluster; set 'cluster' to "
            "True, or remove them."
        )
    if given.get("cluster") and named:
        raise ConfigError("Q_CLUSTER['redis'] has 'cluster' and 'sentinels'; remove one of them.")
    if given.get("cluster") and int(options.get("db", 0)):
        raise ConfigError(
            f"Q_CLUSTER['redis'] has the database {options['db']} in a Redis Cluster, which has 0 "
            "alone; leave it out. Queues are told apart by Q_CLUSTER['name']."
        )
    if (given.get("cluster") or named) and options.get("unix_socket_path") is not None:
        raise ConfigError(
            "Q_CLUSTER['redis'] has 'unix_socket_path', which is for a server of this machine, beside "
            "a Redis Cluster or Sentinels; remove one of them."
        )


def _pairs(hosts: Sequence[Sequence[Any]]) -> tuple[tuple[str, int], ...]:
    return tuple((host, int(port)) for host, port in hosts)
