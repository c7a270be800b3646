"""What the adapters on a Django cache do alike when a call fails: the cache may be in a database."""

from __future__ import annotations

from contextlib import suppress

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.db import BaseDatabaseCache
from django.db import Error, connections, router


def drop_broken_connections(cache: BaseCache) -> None:
    """Have the next call open a new connection, where a cache in a database has lost the one it had."""
    if not isinstance(cache, BaseDatabaseCache):
        return
    model = cache.cache_model_class
    for alias in {router.db_for_read(model), router.db_for_write(model)}:
        connection = connections[alias]
        if not connection.in_atomic_block:
            with suppress(Error):
                connection.close_if_unusable_or_obsolete()
