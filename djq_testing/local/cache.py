"""A Django cache in memory whose entries expire by a clock."""

from __future__ import annotations

import pickle
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from djq.assembly import callers_clock
from djq.ports import Clock


class ClockedCache(BaseCache):
    """Keeps everything, as long as it was told to, by a clock."""

    def __init__(self, clock: Clock | None = None) -> None:
        """`clock` is what it goes by. None: the clock of callers, whichever that is when it is asked."""
        super().__init__({"TIMEOUT": 300})
        self._given = clock
        self._entries: dict[str, tuple[bytes, float | None]] = {}
        """Pickled values, and the monotonic seconds at which they go. None: they stay."""

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> bool:
        """Keep the value, unless there is one."""
        if self._find(key, version) is not None:
            return False
        self.set(key, value, timeout, version)
        return True

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value. `default`: there is none, or none any more."""
        found = self._find(key, version)
        return default if found is None else pickle.loads(found[0])  # noqa: S301 - our own

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> None:
        """Keep the value for `timeout` seconds. None: for ever."""
        entry = pickle.dumps(value, pickle.HIGHEST_PROTOCOL), self.get_backend_timeout(timeout)
        self._entries[self.make_and_validate_key(key, version)] = entry

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Keep what there is for another while."""
        found = self._find(key, version)
        if found is None:
            return False
        entry = found[0], self.get_backend_timeout(timeout)
        self._entries[self.make_and_validate_key(key, version)] = entry
        return True

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Forget the value; whether there was one."""
        there = self._find(key, version) is not None
        self._entries.pop(self.make_and_validate_key(key, version), None)
        return there

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add to a number, which goes when it would have gone anyway."""
        found = self._find(key, version)
        if found is None:
            raise ValueError(f"Key {key!r} not found")
        value: int = pickle.loads(found[0]) + delta  # noqa: S301 - our own
        entry = pickle.dumps(value, pickle.HIGHEST_PROTOCOL), found[1]
        self._entries[self.make_and_validate_key(key, version)] = entry
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> float | None:
        """The monotonic seconds at which an entry goes that is kept from now on. None: it stays."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else self._clock.monotonic() + float(seconds)

    @property
    def _clock(self) -> Clock:
        return self._given or callers_clock()

    def _find(self, key: Any, version: int | None) -> tuple[bytes, float | None] | None:
        found = self._entries.get(self.make_and_validate_key(key, version))
        if found is not None and found[1] is not None and found[1] <= self._clock.monotonic():
            return None
        return found
