"""A temporary Django project in a folder of its own, and the cluster that runs in it.

The cluster is `manage.py qcluster` as anybody would start it, in a session of its own: Ctrl-C in
the terminal reaches the demo alone, which stops the cluster in turn, and whatever process is left
of it can be found.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import string
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

import djq

STOP_SECONDS = (20.0, 10.0)
"""How long the cluster may take after the first and after the second request to stop."""
GONE_SECONDS_MAX = 2.0
KILL_ROUNDS_MAX = 5
TAIL_LINES = 20

SETTINGS = string.Template('''\
"""Settings of the project that `python -m djq demo` made."""

from pathlib import Path

SECRET_KEY = "$secret_key"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["djq"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).resolve().parent / "db.sqlite3",
        # SQLite has one writer at a time; with these, several processes take turns.
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    },
}

Q_CLUSTER = {
    "name": "demo",
    "orm": "default",  # the queue is a table of the database above
    "workers": $workers,
    "max_attempts": $max_attempts,  # of a task whose worker dies
    "save_limit": 0,  # keep every result, to check them all; without this, the newest 250
}
''')

MANAGE = string.Template('''\
"""Runs Django's commands in this project."""

import os
import sys

for folder in [$djq_folder, os.path.dirname(os.path.abspath(__file__))]:
    if folder not in sys.path:
        sys.path.insert(0, folder)

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
''')


class Project:
    """The folder of the demo's project."""

    def __init__(self, *, workers: int, max_attempts: int) -> None:
        """Make the folder and its files; `remove` is the caller's to call."""
        self.folder = Path(tempfile.mkdtemp(prefix="djq-demo-")).resolve()
        self.log = self.folder / "cluster.log"
        self.log.touch()
        self._write(
            "settings.py",
            SETTINGS.substitute(
                secret_key=secrets.token_urlsafe(50), workers=workers, max_attempts=max_attempts
            ),
        )
        # In a checkout that is not installed, djq is found where this very file is.
        djq_folder = Path(djq.__file__).resolve().parents[1]
        self._write("manage.py", MANAGE.substitute(djq_folder=repr(str(djq_folder))))

    def remove(self) -> None:
        """Delete the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def read_lines(self, name: str) -> list[str]:
        """Give the lines of a file in the folder; none when there is no such file."""
        path = self.folder / name
        return path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []

    def log_tail(self) -> list[str]:
        """Give the last lines of the cluster's log."""
        return self.read_lines(self.log.name)[-TAIL_LINES:]

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, "utf-8")


class ClusterProcess:
    """`manage.py qcluster` of a project, with every process that comes of it."""

    def __init__(self, project: Project) -> None:
        """Start the cluster; what it says goes to the project's log."""
        with project.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster"],
                cwd=project.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """How the cluster ended. None: it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """Ask the cluster to stop, wait for its end and give its exit code; kill it in the end.

        Whatever interrupts the waiting, a second Ctrl-C for example, kills it at once.
        """
        try:
            for seconds in STOP_SECONDS:
                if self.exit_code is None:
                    self._process.send_signal(signal.SIGTERM)
                try:
                    return self._process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue
        except BaseException:
            self.kill()
            raise
        self.kill()
        return self._process.wait()

    def left_over(self) -> list[psutil.Process]:
        """Find the cluster's processes that are still there, a moment after its end."""
        _, alive = psutil.wait_procs(self._members(), timeout=GONE_SECONDS_MAX)
        return alive

    def kill(self) -> None:
        """End every process of the cluster now."""
        for _ in range(KILL_ROUNDS_MAX):
            # What is killed may have forked since it was looked for.
            members = self._members()
            for process in members:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            self._process.poll()
            psutil.wait_procs(members, timeout=GONE_SECONDS_MAX)
            if not members:
                break

    def _members(self) -> list[psutil.Process]:
        """Every living process of the session that the cluster was started in."""
        found = []
        for pid in psutil.pids():
            try:
                if os.getsid(pid) == self._process.pid:
                    process = psutil.Process(pid)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        found.append(process)
            except (psutil.Error, OSError):
                # It has ended meanwhile, or belongs to somebody else.
                continue
        return found
