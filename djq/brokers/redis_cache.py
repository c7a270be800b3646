"""From the setting `django_redis` to the connections of a cache."""

from __future__ import annotations

from typing import Any

import attrs
from django.core.cache import InvalidCacheBackendError
from django_redis import get_redis_connection

from djq.brokers.redis import RedisBroker
from djq.brokers.redis_client import timing
from djq.core.config import Config
from djq.exceptions import ConfigError
from djq.ports import Broker, Clock


def make_broker(config: Config, list_key: str, *, clock: Clock | None) -> Broker:
    """Make the broker of the setting `django_redis`; `clock` as in `redis_client.make_broker`.

    Raises:
        ConfigError: The setting is wrong.
    """
    return RedisBroker(list_key, connect=connection_of(config), **timing(clock))


def connection_of(config: Config) -> DjangoRedisServer:
    """What gives clients of the cache of the setting `django_redis`.

    Raises:
        ConfigError: The setting is wrong.
    """
    return find_cache(str(config.django_redis))


@attrs.frozen
class DjangoRedisServer:
    """The connections of a django-redis cache; they and their options stay the cache's own."""

    alias: str

    def __call__(self) -> Any:
        return get_redis_connection(self.alias)


def find_cache(alias: str) -> DjangoRedisServer:
    """Find the cache of the setting `django_redis`.

    Raises:
        ConfigError: It is no cache of django-redis.
    """
    server = DjangoRedisServer(alias)
    try:
        server()  # it does not connect
    except (InvalidCacheBackendError, NotImplementedError, AttributeError) as error:
        raise ConfigError(
            f"Q_CLUSTER['django_redis'] is {alias!r}, and CACHES[{alias!r}] is no cache of "
            "django-redis. Name one whose BACKEND is django_redis.cache.RedisCache, or set 'redis' "
            "to the URL of the server."
        ) from error
    return server
