"""Runs the tests that a page shows, as a reader would: in a project of their own, by pytest alone.

The sample project is run in the same way.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points

from tests.house.source import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w/]+\.py)\n")
PLUGIN = () if entry_points(group="pytest11", name="djq") else ("-p", "djq_testing.plugin")
"""What lends djq's plugin to a project, installed or not."""
SETTINGS = """
SECRET_KEY = "of a page"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "djq"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "page.sqlite3",
        "TEST": {"NAME": "test.sqlite3"},
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
Q_CLUSTER = {"orm": "default"}
"""
OPTIONS = """
[pytest]
DJANGO_SETTINGS_MODULE = page_settings
addopts = --strict-markers --strict-config -p no:randomly -p no:cacheprovider
filterwarnings = error
"""


def write_project(page, folder):
    """Write the files that the page shows; its other blocks become one module of tests, in order."""
    tests = []
    for block in BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text("utf-8")):
        named = FILE.match(block)
        if named is None:
            tests.append(block)
            continue
        path = folder / named[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    (folder / "test_page.py").write_text("\n\n".join(tests))
    (folder / "page_settings.py").write_text(SETTINGS)
    (folder / "pytest.ini").write_text(OPTIONS)


def run_tests(folder, *arguments):
    """Run pytest in a project: the finished process, with what it wrote."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *PLUGIN, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
