"""The tutorial, from its first command to its last: a new project, its real cluster, a shell."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cluster import pages
from tests.cluster.harness import ROOT, Project

pytestmark = pytest.mark.thorough

PAGE = ROOT / "docs" / "tutorial.md"
SECONDS_MAX = 60

# The environment of the tests stands for what these make.
MADE = {"python3 -m venv .venv", ". .venv/bin/activate", "pip install path/to/djq"}
PROGRAMS = {"python": [sys.executable], "django-admin": [sys.executable, "-m", "django"]}

IN_SHELL = f"""
from pathlib import Path
from tests.cluster import pages
pages.run(Path({str(PAGE)!r}))
"""


class Tutorial(Project):
    """The project that a reader makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = uuid4().hex
        self.clusters = []

    @property
    def environment(self):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        # The project's own manage.py knows its settings.
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        return environment

    def command(self, line, stdin):
        """Run a command to its end; give what it wrote."""
        program, *arguments = shlex.split(line)
        done = subprocess.run(
            [*PROGRAMS[program], *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{self.tails()}"
        return done.stdout


@pytest.fixture
def project(tmp_path):
    tutorial = Tutorial(tmp_path)
    yield tutorial
    tutorial.end()


def test_tutorial_can_be_followed_to_its_end(project):
    commands = []
    for block in pages.blocks_of(PAGE):
        if block.file is not None:
            pages.write_file(block, project.folder / block.file, project.folder)
        if block.language != "sh":
            continue
        printed = ""
        for line in block.text.splitlines():
            commands.append(line)
            if line == "python manage.py qcluster":
                printed += project.start().log
            elif line not in MADE:
                printed += project.command(line, stdin=IN_SHELL if line.endswith("shell") else "")
        assert pages.is_as_said(block, printed), printed
    (cluster,) = project.clusters
    cluster.signal(signal.SIGINT)

    assert cluster.wait_for_exit(SECONDS_MAX) == 0, cluster.tail()
    assert commands[-1] == "python manage.py shell"
    assert set(commands) > MADE
