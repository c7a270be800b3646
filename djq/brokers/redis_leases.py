"""The broker in Redis that keeps receipts: a package stays until its outcome is saved and acknowledged.

Not a stream with a consumer group: that hands out by age of the entry, knows no place in front of the
queue, no count that can be taken back, and no acknowledgement that is void once another has the package;
each had to be kept beside it. Here a sorted set is the queue and the leases in one. Its members are ids,
its scores the moment from which each may be taken, in microseconds: a package that waits has the moment
when it was sent, or until which it is held back, one that is out the end of its lease, one that was given
back 0. Ids begin with the moment too, and all have sixteen digits, so that equal scores keep the order of
sending. A second set has what is held back, so that it is not taken for what is out.

The receipt is `<id>:<deliveries>`. The count never goes back, so that the receipt of a lost lease fits no
delivery any more; beside it stand how many deliveries were given back unbegun, and whether the package is
out or back. Every verb is one script, which nothing else comes between, by the server's own clock. Nothing
of an acknowledged package is left.

Who finds nothing waits at a list, the bell, for at most a second, or until the next lease ends. Who sends
puts one token there; who leaves packages behind, another. There is never more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from djq.brokers.redis import ONE_CALL_MAX, ConnectedToRedis
from djq.core.received import Received, Waiting

__all__ = ["LeasingRedisBroker"]

_COMMON = """
local due, packages, counts, later, bell, last =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local function ring()
  if redis.call('EXISTS', bell) == 0 then redis.call('RPUSH', bell, '') end
end
local function call(command, key, values)
  if #values > 0 then return redis.call(command, key, unpack(values)) end
  return {}
end
local function remove(ids)
  call('ZREM', due, ids)
  call('ZREM', later, ids)
  call('HDEL', packages, ids)
  call('HDEL', counts, ids)
end
local function due_at(moment, ids, key)
  local places = {}
  for _, id in ipairs(ids) do
    places[#places + 1] = digits(moment)
    places[#places + 1] = id
  end
  call('ZADD', key or due, places)
end
-- A server whose memory is full refuses what may add to it, but no script that has written before; else
-- nobody could empty the queue.
local function even_if_full() redis.call('ZREM', due, '') end
-- The ids of the packages that the receipts from this argument on hold; how often each was delivered, and
-- how often given back unbegun.
local function held(from)
  local named, wanted = {}, {}
  for place = from, #ARGV do
    local id, count = string.match(ARGV[place], '^(%d+):(%d+)$')
    if id then
      named[#named + 1] = id
      wanted[#wanted + 1] = count
    end
  end
  local ids, deliveries, unbegun = {}, {}, {}
  for place, value in ipairs(call('HMGET', counts, named)) do
    local count, uncounted = string.match(value or '', '^(%d+) (%d+) out$')
    if count == wanted[place] then
      ids[#ids + 1] = named[place]
      deliveries[#ids], unbegun[#ids] = count, uncounted
    end
  end
  return ids, deliveries, unbegun
end
"""

_VERBS = {
    # For how long to hold them back, and packages; gives their ids.
    "send": """
local id = math.max(tonumber(redis.call('GET', last) or '0'), now)
local ids, kept = {}, {}
for place = 3, #ARGV do
  id = id + 1
  ids[#ids + 1] = digits(id)
  kept[#kept + 1] = digits(id)
  kept[#kept + 1] = ARGV[place]
end
call('HSET', packages, kept)
due_at(now + tonumber(ARGV[2]), ids)
if tonumber(ARGV[2]) > 0 then due_at(now + tonumber(ARGV[2]), ids, later) end
redis.call('SET', last, digits(id), 'EX', 86400)
ring()
return ids
""",
    # A limit and the length of a lease; gives the pause until the next lease ends, and what was taken.
    "take": """
redis.call('ZREMRANGEBYSCORE', later, '-inf', digits(now))  -- for a full server too
local ids = redis.call('ZRANGEBYSCORE', due, '-inf', digits(now), 'LIMIT', 0, ARGV[2])
local bodies, before = call('HMGET', packages, ids), call('HMGET', counts, ids)
local taken, values = {}, {}
for place, id in ipairs(ids) do
  local count, unbegun = string.match(before[place] or '0 0 ', '^(%d+) (%d+) ')
  count = string.format('%d', count + 1)
  values[#values + 1] = id
  values[#values + 1] = count .. ' ' .. unbegun .. ' out'
  taken[place] = {id .. ':' .. count, bodies[place], count - unbegun}
end
call('HSET', counts, values)
due_at(now + tonumber(ARGV[3]), ids)
local first = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
local pause = first[2] and math.max(tonumber(first[2]) - now, 0)
if pause == 0 then ring() else redis.call('DEL', bell) end
return {pause and digits(pause) or '', taken}
""",
    # Receipts.
    "finish": "remove((held(2)))",
    # The length of a lease, and receipts.
    "lease": "even_if_full() due_at(now + tonumber(ARGV[2]), (held(3)))",
    # How much of a delivery is not to be counted, and receipts.
    "give_back": """
even_if_full()
local ids, deliveries, unbegun = held(3)
local values = {}
for place, id in ipairs(ids) do
  values[#values + 1] = id
  values[#values + 1] = string.format('%d %d back', deliveries[place], unbegun[place] + ARGV[2])
end
call('HSET', counts, values)
due_at(0, ids)
if #ids > 0 then ring() end
""",
    # Ids.
    "delete": "remove({unpack(ARGV, 2)})",
    # Gives what comes next, and since when it is due, '' if it was given back.
    "peek": """
local first = redis.call('ZRANGEBYSCORE', due, '-inf', digits(now), 'WITHSCORES', 'LIMIT', 0, 1)
if not first[1] then return {} end
local since = tonumber(first[2])
return {redis.call('HGET', packages, first[1]), since > 0 and digits(now - since) or ''}
""",
    # Gives how many wait, and how many are out.
    "count": """
local waiting = redis.call('ZCOUNT', due, '-inf', digits(now))
local held_back = redis.call('ZCOUNT', later, '(' .. digits(now), '+inf')
return {waiting, redis.call('ZCARD', due) - waiting - held_back}
""",
}

_SCRIPTS = {verb: _COMMON + script for verb, script in _VERBS.items()}


class LeasingRedisBroker(ConnectedToRedis):
    """Packages in a sorted set, by the moment from which each may be taken; delivers at least once."""

    receipts: ClassVar[bool] = True
    delays: ClassVar[bool] = True

    def __init__(
        self,
        list_key: str = "default",
        *,
        connect: Callable[[], Any],
        retry_seconds: float,
        **options: Any,
    ) -> None:
        """Make a broker; it does not connect yet.

        Args:
            list_key: The queue's name.
            connect: Makes a client of redis-py that repeats nothing.
            retry_seconds: How long a lease lasts.
            options: As `ConnectedToRedis` has them.
        """
        super().__init__(list_key, connect=connect, **options)
        self._lease = round(retry_seconds * 1_000_000)
        # What stands in braces decides on the place in a Redis Cluster: one for all keys of a queue.
        names = ("due", "packages", "counts", "later", "bell", "last")
        self._keys = [f"djq:{{{list_key}}}:{name}" for name in names]
        self._bell = self._keys[4]

    def enqueue(self, task: str) -> str | None:
        return self.enqueue_many([task])[0]

    def enqueue_many(self, tasks: Sequence[str]) -> list[str | None]:
        """Send packages in order, one script for hundreds."""
        return self.enqueue_later(tasks, 0)

    def enqueue_later(self, tasks: Sequence[str], seconds: float) -> list[str | None]:
        """As `enqueue_many`, for packages that are due so many seconds from now."""
        delay = round(seconds * 1_000_000)
        sent = self._send(tasks, lambda packages: self._verb("send", delay, *packages))
        return [_text(id) for ids in sent for id in ids]

    def dequeue(self, limit: int = 1) -> list[Received]:
        pause, taken = self._take(limit)
        if taken or not self._wait_seconds:
            return taken
        with self._served() as client:
            wait = self._patience(client)
            # Zero would be for ever.
            told = client.blpop([self._bell], max(min(wait, pause), 0.001))
        return self._take(limit)[1] if told or pause <= wait else []

    def acknowledge(self, id: str) -> None:
        self.acknowledge_many([id])

    def acknowledge_many(self, ids: Iterable[str]) -> None:
        self._run_on(ids, "finish")

    def extend(self, id: str) -> str:
        self.extend_many([id])
        return id

    def extend_many(self, ids: Iterable[str]) -> dict[str, str]:
        """Extend many leases; receipts stay the same for the whole delivery."""
        self._run_on(ids, "lease", self._lease)
        return {}

    def release(self, id: str, *, begun: bool = True) -> None:
        self.release_many([id], begun=begun)

    def release_many(self, ids: Iterable[str], *, begun: bool = True) -> None:
        """Give packages back; what was not begun is not counted."""
        self._run_on(ids, "give_back", 0 if begun else 1)

    def fail(self, id: str) -> None:
        self.acknowledge(id)

    def delete(self, id: str) -> None:
        """Delete the package with this tracking id, or the one that this receipt stands for."""
        self._verb("finish" if ":" in id else "delete", id)

    def purge_queue(self) -> None:
        with self._served() as client:
            client.delete(*self._keys[:-1])  # ids go on where they were

    def delete_queue(self) -> None:
        with self._served() as client:
            client.delete(*self._keys)

    def queue_size(self) -> int:
        return int(self._verb("count")[0])

    def peek(self) -> Sequence[Waiting]:
        told = self._verb("peek")
        return [Waiting(told[0], int(told[1]) / 1_000_000 if told[1] else None)] if told else []

    def lock_size(self) -> int | None:
        return int(self._verb("count")[1])

    def _take(self, limit: int) -> tuple[float, list[Received]]:
        pause, taken = self._verb("take", min(limit, ONE_CALL_MAX), self._lease)
        seconds = int(pause) / 1_000_000 if pause else self._wait_seconds + 1
        return seconds, [
            Received(_text(receipt), package, int(count)) for receipt, package, count in taken
        ]

    def _take_back(self, told: list[Any]) -> None:
        self._verb("delete", *told)

    def _run_on(self, receipts: Iterable[str], verb: str, *values: object) -> None:
        held = list(receipts)
        for start in range(0, len(held), ONE_CALL_MAX):
            self._verb(verb, *values, *held[start : start + ONE_CALL_MAX])

    def _verb(self, verb: str, *values: Any) -> Any:
        return self._run(_SCRIPTS[verb], self._keys, *values)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()
