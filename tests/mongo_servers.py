"""Servers that speak MongoDB's protocol, started by the tests; MongoDB itself is in no package."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

from tests.caches import refuse_absent
from tests.servers import free_port

SECONDS_MAX = 30
KINDS = ("nx-27017", "secantus")
"""SQLite behind the protocol, and WiredTiger (SecantusDB), which is the nearer to MongoDB and the slower."""

_PROGRAMS = {
    "nx-27017": "from nx_27017.nx_27017 import main; main()",
    "secantus": "from secantus.cli import main; main()",
}

_ENDS_WITH_US = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
"""
"""The server's standard input ends with the process that started it, however that ends."""


@contextmanager
def mongo_server(kind, folder, *options):
    """Start one on a free port, with nothing in it: gives the port."""
    package = _PROGRAMS[kind].split()[1].split(".")[0]
    if importlib.util.find_spec(package) is None:
        refuse_absent(kind, "pip install -e '.[dev]'; the tests start it themselves")
    port = free_port()
    program = _ENDS_WITH_US + _PROGRAMS[kind]
    command = [sys.executable, "-c", program, *_arguments(kind, folder, port), *options]
    piped = {"cwd": folder, "stdin": subprocess.PIPE}
    log = folder / "log.txt"
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=output, **piped) as server,
    ):
        try:
            _wait_for(server, port, log)
            yield port
        finally:
            server.kill()


def _arguments(kind, folder, port):
    here = ["--host", "127.0.0.1", "--port", str(port)]
    if kind == "nx-27017":
        files = ["--log-file", str(folder / "nx.log"), "--pid-file", str(folder / "nx.pid")]
        return [*here, *files, "--data-dir", "memory"]
    store = ["--storage-path", str(folder / "data"), "--cache-size", "64M"]
    return [*here, *store, "--log-level", "WARNING", "--enable-test-commands"]


def _wait_for(server, port, log):
    """Knock until the server that was just started answers."""
    end = time.monotonic() + SECONDS_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), SECONDS_MAX).close()
        except ConnectionRefusedError:
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.02)
            assert server.returncode is None, f"it ended:\n{log.read_text()}"
            assert time.monotonic() < end, f"it does not answer:\n{log.read_text()}"
        else:
            return
