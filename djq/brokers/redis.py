"""The default broker: a list in Redis, and what it shares with its twin that keeps receipts.

A package is appended with RPUSH, and is gone from the server when it is taken from the other end: at most
once. Where the server has BLMPOP (Redis 7, Valkey), one command waits for packages and takes many; on
Redis 6 a transaction of two takes many, and BLPOP waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from djq.brokers.portions import CHARACTERS_MAX, parted
from djq.exceptions import BrokerUnavailable
from djq.ports import Broker, Received

__all__ = ["ConnectedToRedis", "RedisBroker"]

WAIT_SECONDS = 1.0
"""How long an empty `dequeue` waits; a stop of the cluster waits as long."""


class ConnectedToRedis(Broker):
    """A broker whose client is made when it is first needed, in each process anew."""

    blocks: ClassVar[bool] = True

    def __init__(
        self,
        list_key: str = "default",
        *,
        connect: Callable[[], Any],
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Make a broker; it does not connect yet.

        Args:
            list_key: The queue's name.
            connect: Makes a client of redis-py that repeats nothing. For a broker that is to be pickled,
                something that can be.
            wait_seconds: How long an empty `dequeue` waits for a package. 0: not at all.
        """
        super().__init__(list_key)
        self.blocks = wait_seconds > 0  # type: ignore[misc]  # of the class, for those that wait
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._client: Any = None

    def ping(self) -> bool:
        """Whether the server answers."""
        try:
            with self._served() as client:
                return bool(client.ping())
        except BrokerUnavailable:
            return False

    def info(self) -> str:
        """Name and version of the server, as far as it tells them."""
        try:
            with self._served() as client:
                told = client.info("server")
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, ResponseError):
                return "Redis"  # a server that keeps them to itself
            raise
        version = told.get("valkey_version")
        return f"Valkey {version}" if version else f"Redis {told.get('redis_version', '')}".strip()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_client": None}

    @contextmanager
    def _served(self, *, taken_max: int | None = None) -> Iterator[Any]:
        """The client; a driver's error is turned into `BrokerUnavailable`."""
        try:
            if self._client is None:
                self._client = self._connect()
            yield self._client
        except (RedisError, RedisClusterException, OSError) as error:
            raise BrokerUnavailable(
                f"Redis did not serve the queue {self.list_key!r}: {type(error).__name__}: {error}",
                taken_max=0 if isinstance(error, ResponseError) else taken_max,
            ) from error

    def _patience(self, client: Any) -> float:
        """How long a command may wait: never so long that the client takes the server for dead."""
        holder = getattr(client, "connection_pool", None) or client.nodes_manager
        timeout = holder.connection_kwargs.get("socket_timeout")
        return min(self._wait_seconds, timeout / 2) if timeout else self._wait_seconds


class RedisBroker(ConnectedToRedis):
    """Packages in a list; delivers at most once."""

    def __init__(self, list_key: str = "default", **options: Any) -> None:
        super().__init__(list_key, **options)
        self._key = f"djq:{list_key}:q"
        self._takes_many = True
        """Whether the server has LMPOP, as far as is known."""

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, one command for hundreds; a list has no tracking ids."""
        with self._served() as client:
            for portion in parted(tasks, CHARACTERS_MAX, len):
                client.rpush(self._key, *[task.encode() for task in portion])
        return [None] * len(tasks)

    def dequeue(self, limit: int = 1) -> list[Received]:
        with self._served(taken_max=0) as client:
            _connect(client)
        with self._served(taken_max=limit) as client:
            return [Received(None, package, 1) for package in self._take(client, limit)]

    def purge_queue(self) -> None:
        with self._served() as client:
            client.delete(self._key)

    def delete_queue(self) -> None:
        self.purge_queue()

    def queue_size(self) -> int:
        with self._served() as client:
            return int(client.llen(self._key))

    def _take(self, client: Any, limit: int) -> Sequence[bytes]:
        if limit < 1:
            return []
        wait = self._patience(client)
        if self._takes_many:
            try:
                return self._pop_many(client, limit, wait)
            except ResponseError as error:
                if not str(error).lower().startswith("unknown command"):
                    raise
                self._takes_many = False
        with client.pipeline(transaction=True) as both:
            both.lrange(self._key, 0, limit - 1).ltrim(self._key, limit, -1)
            taken: Sequence[bytes] = both.execute()[0]
        if taken or not wait:
            return taken
        popped = client.blpop([self._key], wait)
        return [popped[1]] if popped else []

    def _pop_many(self, client: Any, limit: int, wait: float) -> Sequence[bytes]:
        options = {"direction": "LEFT", "count": limit}
        if wait:
            taken = client.blmpop(wait, 1, self._key, **options)
        else:
            taken = client.lmpop(1, self._key, **options)
        return taken[1] if taken else []


def _connect(client: Any) -> None:
    """Connect, if it is not: a server that cannot be reached has taken nothing off a list."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return  # a Redis Cluster has one for each server
    try:
        connection = pool.get_connection()
    except TypeError:  # redis-py 5 wants the name of a command
        connection = pool.get_connection("_")
    pool.release(connection)
