"""A project as users have it is tested with what the plugin gives alone, in a process of its own."""

from __future__ import annotations

import shutil

import pytest

from tests.house.source import ROOT
from tests.kit.pages import run_tests

pytestmark = pytest.mark.thorough


@pytest.fixture
def shop(tmp_path):
    """A copy of the project: what its tests write stays out of the checkout."""
    leavings = shutil.ignore_patterns("__pycache__", ".pytest_cache", "*.sqlite3*")
    return shutil.copytree(ROOT / "tests" / "sample", tmp_path / "shop", ignore=leavings)


def test_its_tests_pass(shop):
    run = run_tests(shop, "--import-mode=importlib")

    assert run.returncode == 0, run.stdout + run.stderr
    assert list(shop.glob("*sqlite3*")) == []
