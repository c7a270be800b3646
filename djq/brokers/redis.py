"""The default broker: a list in Redis, and what it shares with its twin that keeps receipts.

A package is appended with RPUSH, and is gone from the server when it is taken from the other end: at most
once. One script takes many; who finds nothing waits, by BLMPOP, which takes many too, or by BLPOP on
Redis 6. What is held back is in a sorted set beside the list, by the moment when it is due, and goes
first then. The name of that set has the list's in braces, so that a Redis Cluster has both in one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

from djq.brokers.one_client import OneClient
from djq.brokers.portions import CHARACTERS_MAX, parted
from djq.core.received import Received, Waiting
from djq.exceptions import BrokerUnavailable
from djq.ports import Broker, Clock

__all__ = ["ConnectedToRedis", "RedisBroker"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
WAIT_SECONDS = 1.0
"""How long an empty `dequeue` waits; a stop of the cluster waits as long."""

COMMON = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local unpack = unpack or table.unpack
local function digits(number) return string.format('%016.0f', number) end
"""
"""What each script begins with. Its first argument is the moment in microseconds, '': the server's own."""

# Keys of both: the list, what is held back, and the number of the last package held back. A package that
# is held back has its number before it, so that no two are the same, and what is due at once keeps its order.
# Numbers go on from the moment, so that none comes again when the last is forgotten.

_HOLD = """
local number = math.max(tonumber(redis.call('GET', KEYS[3]) or '0'), now)
local held = {}
for place = 3, #ARGV do
  number = number + 1
  held[#held + 1] = digits(now + tonumber(ARGV[2]))
  held[#held + 1] = digits(number) .. ARGV[place]
end
redis.call('ZADD', KEYS[2], unpack(held))
redis.call('SET', KEYS[3], digits(number), 'EX', 86400)
return digits(number)
"""
"""For how long to hold them back, and packages; gives the number of the last."""

_TAKE_BACK = """
local number = tonumber(ARGV[2])
for place = #ARGV, 3, -1 do
  if number then
    redis.call('ZREM', KEYS[2], digits(number - #ARGV + place) .. ARGV[place])
  else
    redis.call('LREM', KEYS[1], -1, ARGV[place])
  end
end
"""
"""The number of the last, '' for those that were not held back; and packages, as they were sent."""

_TAKE = """
local limit = tonumber(ARGV[2])
local held = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', digits(now), 'LIMIT', 0, limit)
local rest = {}
if #held < limit then rest = redis.call('LRANGE', KEYS[1], 0, limit - #held - 1) end
-- Nothing is removed before all is read: an error ends a script, and undoes nothing.
local taken = {}
for _, package in ipairs(held) do taken[#taken + 1] = string.sub(package, 17) end
for _, package in ipairs(rest) do taken[#taken + 1] = package end
if #held > 0 then redis.call('ZREM', KEYS[2], unpack(held)) end
if #rest > 0 then redis.call('LTRIM', KEYS[1], #rest, -1) end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {first[2] and digits(math.max(tonumber(first[2]) - now, 0)) or '', taken}
"""
"""A limit; gives the pause until the next that is held back is due, and what was taken."""

_COUNT = "return redis.call('LLEN', KEYS[1]) + redis.call('ZCOUNT', KEYS[2], '-inf', digits(now))"

_PEEK = """
local held = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', digits(now), 'WITHSCORES', 'LIMIT', 0, 1)
local first = redis.call('LINDEX', KEYS[1], 0)
if not held[1] then return {false, false, first} end
return {string.sub(held[1], 17), digits(now - tonumber(held[2])), first}
"""
"""Gives what was held back and is due, since when, and the head of the list; nil for what is not there."""

ONE_CALL_MAX = 1_000
"""Most packages in one script: it holds up everybody else on the server, and Lua's stack has an end."""


class ConnectedToRedis(OneClient, Broker):
    """A broker whose client is made when it is first needed, in each process anew."""

    blocks: ClassVar[bool] = True

    def __init__(
        self,
        list_key: str = "default",
        *,
        connect: Callable[[], Any],
        clock: Clock | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Make a broker; it does not connect yet.

        Args:
            list_key: The queue's name.
            connect: Makes a client of redis-py that repeats nothing. For a broker that is to be pickled,
                something that can be.
            clock: The time that the queue keeps. None: the server's, which all hosts share.
            wait_seconds: How long an empty `dequeue` waits for a package. 0: not at all.
        """
        super().__init__(list_key)
        self.blocks = wait_seconds > 0  # type: ignore[misc]  # of the class, for those that wait
        self._connect = connect
        self._clock = clock
        self._wait_seconds = wait_seconds
        self._scripts: dict[str, Any] = {}

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
        self._scripts = {}
        with suppress(RedisError, OSError):
            super().close()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_scripts": {}}

    @contextmanager
    def _served(self, *, taken_max: int | None = None) -> Iterator[Any]:
        """The client; a driver's error is turned into `BrokerUnavailable`."""
        try:
            if self._client is None:
                self._client = self._connect()
            yield self._client
        except MasterNotFoundError as error:
            # Its words show the whole clients of the Sentinels.
            words = re.sub(r"<redis\..*> - ", "", str(error))
            raise BrokerUnavailable(
                f"Redis did not serve the queue {self.list_key!r}: {words}", taken_max=0
            ) from None
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

    def _run(
        self, script: str, keys: Sequence[str], *values: Any, taken_max: int | None = None
    ) -> Any:
        """Run a script that begins with `COMMON`, now."""
        with self._served(taken_max=taken_max) as client:
            if script not in self._scripts:
                self._scripts[script] = client.register_script(COMMON + script)
            return self._scripts[script](keys=keys, args=[self._now(), *values])

    def _send(self, tasks: Sequence[str], send: Callable[[list[bytes]], Any]) -> list[Any]:
        """Send portions, all or none: gives what `send` told of each.

        Where the server refuses one or is gone, those before it are taken back, as far as they still wait.
        """
        told: list[Any] = []
        sent = [0]
        """How many packages there were before the first portion, before the second, and so on."""
        try:
            for portion in parted(tasks, CHARACTERS_MAX, len):
                told.append(send([task.encode() for task in portion]))
                sent.append(sent[-1] + len(portion))
        except BrokerUnavailable as error:
            try:
                while told:
                    self._take_back(told.pop())
                    sent.pop()
            except BrokerUnavailable:
                words = f"{error}; the first {sent[-1]:,} of {len(tasks):,} packages were sent"
                # The last portion of these may have been taken back all the same.
                raise BrokerUnavailable(words, sent=range(sent[-2])) from error
            raise
        return told

    def _take_back(self, told: Any) -> None:
        """Remove a portion by what sending it told."""
        raise NotImplementedError

    def _now(self) -> int | str:
        return "" if self._clock is None else (self._clock.now() - EPOCH) // MICROSECOND


class RedisBroker(ConnectedToRedis):
    """Packages in a list; delivers at most once."""

    delays: ClassVar[bool] = True

    def __init__(self, list_key: str = "default", **options: Any) -> None:
        super().__init__(list_key, **options)
        self._key = f"djq:{list_key}:q"
        self._keys = [self._key, f"{{{self._key}}}:later", f"{{{self._key}}}:number"]
        self._waits_for_many = True
        """Whether the server has BLMPOP, as far as is known."""

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, one command for hundreds; a list has no tracking ids."""
        self._send(tasks, self._push)
        return [None] * len(tasks)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """As `enqueue_many`, for packages that are due so many seconds from now."""
        delay = round(seconds * 1_000_000)

        def hold(packages: list[bytes]) -> tuple[Any, list[bytes]]:
            return self._run(_HOLD, self._keys, delay, *packages), packages

        self._send(tasks, hold)
        return [None] * len(tasks)

    def dequeue(self, limit: int = 1) -> list[Received]:
        if limit < 1:
            return []
        with self._served(taken_max=0) as client:
            _connect(client)
        pause, packages = self._take(limit)
        if not packages and self._wait_seconds:
            with self._served(taken_max=limit) as client:
                wait = self._patience(client)
                # Zero would be for ever.
                packages = self._wait(client, limit, max(min(wait, pause), 0.001))
            if not packages and pause <= wait:
                packages = self._take(limit)[1]
        return [Received(None, package, 1) for package in packages]

    def purge_queue(self) -> None:
        with self._served() as client:
            client.delete(*self._keys)

    def delete_queue(self) -> None:
        self.purge_queue()

    def queue_size(self) -> int:
        return int(self._run(_COUNT, self._keys))

    def peek(self) -> Sequence[Waiting]:
        """What was held back and is due goes first, whatever waits in the list: so both are shown."""
        held, since, first = self._run(_PEEK, self._keys)
        found = [] if held is None else [Waiting(held, int(since) / 1_000_000)]
        return found if first is None else [*found, Waiting(first)]

    def _push(self, packages: list[bytes]) -> tuple[Any, list[bytes]]:
        with self._served() as client:
            client.rpush(self._key, *packages)
        return "", packages

    def _take_back(self, told: tuple[Any, list[bytes]]) -> None:
        number, packages = told
        self._run(_TAKE_BACK, self._keys, number, *packages)

    def _take(self, limit: int) -> tuple[float, Sequence[bytes]]:
        most = min(limit, ONE_CALL_MAX)
        pause, packages = self._run(_TAKE, self._keys, most, taken_max=most)
        return (int(pause) / 1_000_000 if pause else self._wait_seconds + 1), packages

    def _wait(self, client: Any, limit: int, seconds: float) -> Sequence[bytes]:
        if self._waits_for_many:
            try:
                taken = client.blmpop(seconds, 1, self._key, direction="LEFT", count=limit)
            except RedisError as error:
                if not _is_unknown(error):
                    raise
                self._waits_for_many = False
            else:
                return taken[1] if taken else []
        popped = client.blpop([self._key], seconds)
        return [popped[1]] if popped else []


def _is_unknown(error: RedisError) -> bool:
    """Whether the server does not know a command; in a Redis Cluster redis-py has asked it beforehand."""
    words = str(error).lower()
    return words.startswith("unknown command") or "command doesn't exist in redis" in words


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
