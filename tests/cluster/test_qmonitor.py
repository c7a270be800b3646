"""`manage.py qmonitor` on a real terminal, with a real cluster to show."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from contextlib import contextmanager

import pytest
from django.db import connections

from tests.cluster.harness import ALIAS, GRACE_SECONDS, START_SECONDS_MAX, wait_until

ALTERNATE_SCREEN, USUAL_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


class Terminal:
    """80 columns and 24 lines, and the program that it was given to."""

    def __init__(self, project):
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(self.theirs)
        self.written = b""
        self.process = subprocess.Popen(
            [sys.executable, "in_terminal.py", "qmonitor"],
            cwd=project.folder,
            env={**project.environment, "TERM": "xterm-256color"},
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
        )

    def press(self, keys):
        os.write(self._ours, keys)

    def read(self):
        while select.select([self._ours], [], [], 0)[0]:
            self.written += os.read(self._ours, 65_536)
        return self.written

    def wait_for(self, words, seconds=START_SECONDS_MAX):
        wait_until(
            lambda: words in self.read(), seconds, f"{words!r} shown", lambda: str(self.read())
        )

    def wait_for_exit(self, seconds=5):
        """A program may not end before what it has written is read."""
        wait_until(
            lambda: (self.read(), self.process.poll())[1] is not None,
            seconds + GRACE_SECONDS,
            "its end",
            lambda: str(self.read()),
        )
        self.read()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
        os.close(self.theirs)


@contextmanager
def qmonitor_of(project):
    terminal = Terminal(project)
    try:
        terminal.wait_for(ALTERNATE_SCREEN)
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize("leave", ["q", "SIGTERM"])
def test_a_running_cluster_is_shown_and_the_terminal_is_left_as_it_was(
    make_project, tmp_path, leave
):
    in_files = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(tmp_path / "cache"),
        }
    }
    project = make_project(caches=in_files)
    cluster = project.start()

    with qmonitor_of(project) as terminal:
        terminal.wait_for(str(cluster.pid).encode())
        terminal.wait_for(b"Idle")
        terminal.press(b"\r")
        for pid in cluster.pids("worker"):
            terminal.wait_for(str(pid).encode())
        if leave == "q":
            terminal.press(b"q")
        else:
            os.kill(terminal.process.pid, signal.SIGTERM)
        code = terminal.wait_for_exit()

        assert code == 0
        assert terminal.written.endswith(USUAL_SCREEN) or USUAL_SCREEN in terminal.written[-200:]
        assert termios.tcgetattr(terminal.theirs) == terminal.modes
        assert b"Traceback" not in terminal.written


def test_keys_are_alive_while_the_database_hangs(make_project):
    project = make_project("sqlite-defaults")

    with connections[ALIAS].cursor() as cursor:
        # Nobody else reads or writes meanwhile, and each waits for five seconds.
        cursor.execute("BEGIN EXCLUSIVE")
        with qmonitor_of(project) as terminal:
            terminal.wait_for(b"Queued ?")
            terminal.press(b"f")
            terminal.wait_for(b"not read yet")
            terminal.press(b"q")

            assert terminal.wait_for_exit() == 0
        cursor.execute("ROLLBACK")
