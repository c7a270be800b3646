"""From the settings `disque_nodes`, `disque_auth` and `disque_fastack` to a connection that repeats nothing.

Disque speaks Redis' protocol of 2016. redis-py 8 greets a server in a way that Disque's HELLO refuses,
unless it is told to speak the old protocol; and it says a command again when the answer is lost: a package
would be sent twice. So here a connection of redis-py is used without its client.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import attrs
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from djq.brokers.disque import RETRY_SECONDS_MAX, Client, DisqueBroker
from djq.core.config import Config
from djq.exceptions import ConfigError
from djq.ports import Broker, Clock

__all__ = ["DisqueClient", "DisqueNodes", "make_broker", "read_nodes"]

TIMEOUT_SECONDS = 5.0
"""How long a node may be silent."""
OTHERS_SECONDS = 1.0
"""How long a node may be silent that is only asked whether it knows more."""
SHUN_SECONDS = 60.0
PORT_MAX = 65_535

_HOST = re.compile(r"[^\[\]@/:\s]+|\[[^\[\]@/\s]+\]")

Address = tuple[str, int]


def make_broker(
    config: Config, list_key: str, *, clock: Clock | None, host_clock: Clock | None = None
) -> Broker:
    """Make the broker of the settings; it does not connect yet.

    On a clock that stands in for the server's, it does not wait at the server.

    Raises:
        ConfigError: A node is no host and port, or `retry` is more than Disque can reckon with.
    """
    if config.retry > RETRY_SECONDS_MAX:
        raise ConfigError(
            f"Q_CLUSTER['retry'] is {config.retry}; on Disque it can be {RETRY_SECONDS_MAX:,} seconds "
            "at most. Make it smaller: leases are renewed while a task runs."
        )
    waiting: dict[str, Any] = {} if clock is None else {"wait_seconds": 0.0}
    return DisqueBroker(
        list_key,
        nodes=DisqueNodes(
            read_nodes(config.disque_nodes or ()),
            password=config.disque_auth,
            host_clock=host_clock,
        ),
        retry_seconds=config.retry,
        fast_acknowledge=config.disque_fastack,
        **waiting,
    )


def read_nodes(setting: Sequence[str]) -> tuple[Address, ...]:
    """Read the setting `disque_nodes`: hosts and ports; an IPv6 address stands in brackets.

    Raises:
        ConfigError: One is no host and port.
    """
    nodes: dict[Address, None] = {}
    for number, node in enumerate(setting, start=1):
        host, colon, port = node.strip().rpartition(":")
        fault = _fault(host, port) if colon else "has no port"
        if fault:
            raise ConfigError(
                f"Node {number} of Q_CLUSTER['disque_nodes'] {fault} (it is not shown, it may hold a "
                "password). Write 'host:port', for IPv6 '[::1]:7711'; Disque's own port is 7711, and a "
                "password goes into 'disque_auth'."
            )
        nodes[host.strip("[]"), int(port)] = None
    return tuple(nodes)


def _fault(host: str, port: str) -> str:
    """What is wrong with the address of a node. Empty: nothing is."""
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= PORT_MAX:
        return f"has a port that is no number from 1 to {PORT_MAX}"
    if not _HOST.fullmatch(host):
        return "has no host before its port: a name, an IPv4 address, or an IPv6 one in brackets"
    return ""


class DisqueClient:
    """A connection to one node."""

    def __init__(
        self, address: Address, password: str | None, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """Connect, and see that it is a Disque that lets us in. Raises RedisError or OSError if not."""
        self.address = address
        host, port = address
        make: Any = Connection  # it has no annotations
        self._connection = make(
            host=host,
            port=port,
            password=password,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            socket_keepalive=True,
        )
        try:
            self._connection.connect()
        except UnicodeError:
            raise NoConnection(f"{host!r} is no name of a host") from None
        (hello,) = self.ask(["HELLO"])
        if isinstance(hello, ResponseError):
            self.close()
            raise hello

    def ask(self, *commands: Sequence[Any]) -> list[Any]:
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        return [self._answer() for _ in commands]

    def is_open(self) -> bool:
        # A look for data sees the end of the stream as well; between two commands there is no data.
        try:
            return not self._connection.can_read(0)
        except (RedisError, OSError):
            return False

    def close(self) -> None:
        with suppress(RedisError, OSError):
            self._connection.disconnect()

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error


def _shuffled(nodes: Sequence[Address]) -> list[Address]:
    return random.SystemRandom().sample(nodes, len(nodes))


@attrs.define
class DisqueNodes:
    """The nodes of one Disque, in an order that each process draws for itself.

    Each connection begins at the node behind the last one's, so that after a failure another is tried.
    """

    addresses: tuple[Address, ...]
    password: str | None = attrs.field(default=None, kw_only=True, repr=False)
    shuffled: Callable[[Sequence[Address]], list[Address]] = attrs.field(
        default=_shuffled, kw_only=True, repr=False
    )
    host_clock: Clock | None = attrs.field(default=None, kw_only=True, repr=False, eq=False)
    """Measures how long a node has been left out. None: none is."""
    _order: list[Address] = attrs.field(factory=list, init=False, repr=False, eq=False)
    _drawn_by: int | None = attrs.field(default=None, init=False, repr=False, eq=False)
    """The process that drew the order: a child after a fork draws its own."""
    _next: int = attrs.field(default=0, init=False, repr=False, eq=False)
    _shunned: dict[Address, float] = attrs.field(factory=dict, init=False, repr=False, eq=False)
    """When a node failed that was asked besides."""

    def __reduce__(self) -> tuple[Callable[[], DisqueNodes], tuple[()]]:
        """Travel without what this process has drawn, and seen of the nodes: each begins anew."""
        given = partial(
            DisqueNodes,
            self.addresses,
            password=self.password,
            shuffled=self.shuffled,
            host_clock=self.host_clock,
        )
        return given, ()

    def connect(self) -> DisqueClient:
        """Connect to the next node that answers; raise what the last one raised if none does."""
        if self._drawn_by != os.getpid():
            self._order, self._next = self.shuffled(self.addresses), 0
            self._drawn_by = os.getpid()
        error: Exception = NoConnection("there is no node")
        for _ in self._order:
            address = self._order[self._next % len(self._order)]
            self._next += 1
            try:
                return DisqueClient(address, self.password)
            except (RedisError, OSError) as failed:
                error = failed
        raise error

    def each(self) -> Iterator[DisqueClient]:
        """Connect to every node that answers, one after the other; raise if none does."""
        error: Exception | None = NoConnection("there is no node")
        for address in self.addresses:
            try:
                client = DisqueClient(address, self.password)
            except (RedisError, OSError) as failed:
                error = failed if error else None
                continue
            error = None
            try:
                yield client
            finally:
                client.close()
        if error is not None:
            raise error

    def others(self, than: Client | None) -> Iterator[Client]:
        """Connect to the other nodes that have not failed lately, one after the other; raises nothing."""
        for address in self.addresses:
            if address == getattr(than, "address", None) or self._is_shunned(address):
                continue
            try:
                client = DisqueClient(address, self.password, timeout_seconds=OTHERS_SECONDS)
            except (RedisError, OSError):
                self._shun(address)
                continue
            try:
                yield client
            finally:
                client.close()

    def shun(self, client: Client) -> None:
        """Leave the node of this connection out of `others` for a minute."""
        self._shun(cast("DisqueClient", client).address)

    def _shun(self, address: Address) -> None:
        if self.host_clock is not None:
            self._shunned[address] = self.host_clock.monotonic()

    def _is_shunned(self, address: Address) -> bool:
        failed_at = self._shunned.get(address)
        if failed_at is None or self.host_clock is None:
            return False
        return 0 <= self.host_clock.monotonic() - failed_at < SHUN_SECONDS
