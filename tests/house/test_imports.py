"""What `import djq` does in a fresh interpreter: nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.source import ROOT

# The audit hook hears what the interpreter itself cannot hide: files opened for writing, sockets,
# processes. Modules are files opened for reading, and are not counted.
PROBE = """
import sys, threading
acts = []
def hear(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        acts.append(f"{{event}} {{args[0]}}")
    elif event.startswith(("socket.", "subprocess.", "os.fork", "os.posix_spawn", "sqlite3.")):
        acts.append(event)
sys.dont_write_bytecode = True
sys.addaudithook(hear)
before = set(sys.modules)
import {module}
heavy = sorted({{name.split(".")[0] for name in set(sys.modules) - before}} & {{{unwanted}}})
print(acts, heavy, threading.active_count())
"""


def probe(module: str, *unwanted: str) -> str:
    code = PROBE.format(module=module, unwanted=", ".join(map(repr, unwanted)))
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_importing_djq_does_nothing():
    assert probe("djq", "django", "logging", "multiprocessing", "psutil") == "[] [] 1"


@pytest.mark.parametrize("module", ["djq.ports", "djq.core.lifecycle", "djq_testing.plugin"])
def test_engine_room_imports_without_django(module):
    assert probe(module, "django") == "[] [] 1"


def test_probe_hears_what_an_import_does():
    heard = probe("socket; socket.socket(); import django", "django")

    assert heard == "['socket.__new__'] ['django'] 1"
