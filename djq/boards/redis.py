"""Statistics straight in Redis: a hash of texts by cluster, and beside it when each of them ends.

Each verb is one script, so that a text and its end are never apart. Whoever comes by takes away what
has ended, and both keys end with the last text. Their names have the queue's in braces, so that a
Redis Cluster has both in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from redis.exceptions import RedisClusterException, RedisError

from djq.exceptions import BoardUnavailable
from djq.ports import Clock

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

_SWEEP = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
for _, place in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('HDEL', KEYS[1], place)
  redis.call('ZREM', KEYS[2], place)
end
"""
"""What each script begins with. Its first argument is the moment in milliseconds, '': the server's own."""

_PUT = """
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), ARGV[2])
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2]
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, string.format('%.0f', last - now)) end
"""
"""A place, its text, and for how many milliseconds."""

_READ = "return redis.call('HVALS', KEYS[1])"


class RedisBoard:
    """The board of one queue's clusters in Redis."""

    cycle_seconds: ClassVar[float] = 0.0

    def __init__(
        self, list_key: str, *, connect: Callable[[], Any], clock: Clock | None = None
    ) -> None:
        """Make a board; it does not connect yet.

        Args:
            list_key: The queue's name.
            connect: Makes a client of redis-py that repeats nothing.
            clock: Tells when texts end. None: the server's time, which all hosts share.
        """
        self._keys = [f"djq:{{{list_key}}}:stats", f"djq:{{{list_key}}}:stats:until"]
        self._connect = connect
        self._clock = clock
        self._client: Any = None

    def put(self, place: str, text: str, seconds: float) -> None:
        self._run(_PUT, place, text.encode(), round(seconds * 1000))

    def read(self) -> list[str]:
        texts = self._run(_READ)
        return [text if isinstance(text, str) else text.decode() for text in texts]

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()

    def _run(self, script: str, *values: Any) -> Any:
        now = "" if self._clock is None else (self._clock.now() - EPOCH) // MILLISECOND
        with self._served() as client:
            return client.register_script(_SWEEP + script)(keys=self._keys, args=[now, *values])

    @contextmanager
    def _served(self) -> Iterator[Any]:
        try:
            if self._client is None:
                self._client = self._connect()
            yield self._client
        except (RedisError, RedisClusterException, OSError) as error:
            # An answer that was not waited for must not be taken for the next one.
            self.close()
            raise BoardUnavailable(f"Redis: {type(error).__name__}: {error}") from error
