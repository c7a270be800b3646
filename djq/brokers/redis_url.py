"""What a URL of the setting `redis` stands for: one server, a Redis Cluster, or what Sentinels name.

redis-py reads the first kind alone. The others are written as the packages redis-sentinel-url and limits
have them: a `+` behind the scheme, and commas between hosts. `rediss` is TLS in each of them.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from redis.connection import SSLConnection, parse_url

from djq.exceptions import ConfigError

__all__ = ["read_url"]

SENTINEL_PORT = 26_379
CLUSTER_PORT = 6_379

_WRONG = (
    "Q_CLUSTER['redis'] is no URL of Redis (it is not shown, it may hold a password). Write "
    "redis://host:6379/0, unix:///path/to/socket?db=0, redis+sentinel://host:26379,host:26379/service/0, "
    "or redis+cluster://host:6379,host:6379; with rediss for redis it is TLS. 0 is the number of the "
    "database. A password with one of / : @ ? # in it has to be percent-encoded."
)


def read_url(url: object) -> dict[str, Any]:
    """Give what the setting would be as a dict.

    Raises:
        ConfigError: It is no such URL.
    """
    try:
        scheme, _, rest = str(url).partition("://")
        scheme, _, kind = scheme.lower().partition("+")
        if kind == "sentinel":
            return _read_sentinels(scheme, rest)
        if kind == "cluster":
            return _read_cluster(scheme, rest)
        return _read_server(str(url))
    except ValueError:
        # Its words may quote a part of the password.
        raise ConfigError(_WRONG) from None


def _read_sentinels(scheme: str, rest: str) -> dict[str, Any]:
    login, hosts, parts = _taken_apart(rest)
    service, _, db = parts.path.strip("/").partition("/")
    named = {"sentinels": _read_hosts(hosts, SENTINEL_PORT), "service_name": unquote(service)}
    return {**_read_rest(scheme, login, db, parts), **named}


def _read_cluster(scheme: str, rest: str) -> dict[str, Any]:
    login, hosts, parts = _taken_apart(rest)
    nodes = {"cluster": True, "startup_nodes": _read_hosts(hosts, CLUSTER_PORT)}
    return {**_read_rest(scheme, login, parts.path.strip("/"), parts), **nodes}


def _taken_apart(rest: str) -> tuple[str, list[str], SplitResult]:
    """Take login and hosts off what stands behind the scheme: some Pythons refuse `a:1,[::1]:2` as one."""
    end = next((place for place, each in enumerate(rest) if each in "/?#"), len(rest))
    login, at, hosts = rest[:end].rpartition("@")
    return login + at, hosts.split(","), urlsplit(f"//host{rest[end:]}")


def _read_hosts(hosts: list[str], port: int) -> list[tuple[str, int]]:
    each = [urlsplit(f"//{host}") for host in hosts]
    return [(one.hostname or "", port if one.port is None else one.port) for one in each]


def _read_rest(scheme: str, login: str, db: str, parts: SplitResult) -> dict[str, Any]:
    """Read all but the hosts, as in a URL of one server."""
    if scheme == "unix":
        raise ValueError("behind a socket there is one server")
    options = _read_server(f"{scheme}://{login}host/{db}?{parts.query}#{parts.fragment}")
    del options["host"]
    return options


def _read_server(url: str) -> dict[str, Any]:
    options = dict(parse_url(url))  # type: ignore[no-untyped-call]
    parts = urlsplit(url)
    if parts.fragment or (parts.scheme != "unix" and not f"0{parts.path.strip('/')}".isdigit()):
        raise ValueError(
            "redis-py takes no notice of a fragment, nor of a database that is no number"
        )
    if issubclass(options.pop("connection_class", object), SSLConnection):
        options["ssl"] = True
    if "path" in options:
        options["unix_socket_path"] = options.pop("path")
    return options
