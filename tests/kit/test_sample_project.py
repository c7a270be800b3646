"""A project as users have it is tested with what the plugin gives alone, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from tests.house.source import ROOT

INSTALLED = bool(entry_points(group="pytest11", name="djq"))
PLUGIN = () if INSTALLED else ("-p", "djq_testing.plugin")


@pytest.fixture
def shop(tmp_path):
    """A copy of the project: what its tests write stays out of the checkout."""
    leavings = shutil.ignore_patterns("__pycache__", ".pytest_cache", "*.sqlite3*")
    return shutil.copytree(ROOT / "tests" / "sample", tmp_path / "shop", ignore=leavings)


def test_its_tests_pass(shop):
    # This run's own choices, such as DJANGO_SETTINGS_MODULE, are not the project's.
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DJANGO_", "DJQ_", "PYTEST_", "COV_"))
    }

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", *PLUGIN],
        cwd=shop,
        env={**env, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert list(shop.glob("*sqlite3*")) == []
