"""The caches that tests run on: one of each kind that Django has, on servers where they are needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from uuid import uuid4

import pytest
import redis
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.memcached import PyMemcacheCache
from django.core.cache.backends.redis import RedisCache
from django.core.management import call_command
from django_redis.cache import RedisCache as DjangoRedisCache

from tests.servers import free_port, knock

LARGE = {"OPTIONS": {"MAX_ENTRIES": 1_000_000}}
REDIS_URL = os.environ.get("DJQ_TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
REDIS_CACHES = {
    "redis": "django.core.cache.backends.redis.RedisCache",
    "django-redis": "django_redis.cache.RedisCache",
}


def refuse_absent(server, hint):
    """Skip where a server is missing; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"CI needs {server}: {hint}", pytrace=False)
    pytest.skip(f"{server} is not here; {hint}")


@contextmanager
def redis_prefix():
    """A prefix for the keys of one test in Redis, of which nothing is left."""
    client = redis.Redis.from_url(REDIS_URL)
    try:
        client.ping()
    except redis.ConnectionError:
        client.close()
        refuse_absent("Redis", f"start it at {REDIS_URL}, or set DJQ_TEST_REDIS_URL")
    prefix = f"djq-test-{uuid4().hex}"
    try:
        yield prefix
    finally:
        keys = list(client.scan_iter(match=f"*{prefix}*", count=10_000))
        if keys:
            client.delete(*keys)
        client.close()


@contextmanager
def _on_redis(kind):
    with redis_prefix() as prefix:
        cache = kind(REDIS_URL, {"KEY_PREFIX": prefix})
        yield cache
        cache.close()
        client = cache._cache if kind is RedisCache else cache.client
        pools = client._pools.values() if kind is RedisCache else []
        for pool in pools:
            pool.disconnect()
        if kind is DjangoRedisCache:
            client.get_client().connection_pool.disconnect()


@contextmanager
def _in_memcached():
    program = shutil.which("memcached")
    if program is None:
        refuse_absent("memcached", "install it; the tests start it themselves")
    port = free_port()
    arguments = ["-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "nobody"]
    with subprocess.Popen([program, *arguments]) as server:
        try:
            knock(port, "memcached")
            cache = PyMemcacheCache(f"127.0.0.1:{port}", {})
            yield cache
            cache.close()
        finally:
            server.kill()


@contextmanager
def _in_database():
    call_command("createcachetable", "djq_test_cache", database="default", verbosity=0)
    yield DatabaseCache("djq_test_cache", LARGE)


@contextmanager
def _in_files(folder):
    yield FileBasedCache(str(folder), LARGE)


@contextmanager
def _in_memory():
    cache = LocMemCache(uuid4().hex, LARGE)
    yield cache
    cache.clear()


def make_cache(kind, folder):
    """A context with an empty cache of a kind."""
    kinds = {
        "memory": _in_memory,
        "files": lambda: _in_files(folder),
        "database": _in_database,
        "redis": lambda: _on_redis(RedisCache),
        "django-redis": lambda: _on_redis(DjangoRedisCache),
        "memcached": _in_memcached,
    }
    return kinds[kind]()


KINDS = ("memory", "files", "database", "redis", "django-redis", "memcached")
