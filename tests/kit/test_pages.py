"""Every example on the page about testing is a test that passes."""

from __future__ import annotations

import re

import pytest

from tests.kit.pages import run_tests, write_project

TESTS_MIN = {"testing": 22}
"""The pages, and so many tests that none was left out by a fence that does not open."""


@pytest.mark.parametrize("page", TESTS_MIN)
def test_the_tests_on_a_page_pass(page, tmp_path):
    write_project(page, tmp_path)

    run = run_tests(tmp_path)

    assert run.returncode == 0, run.stdout + run.stderr
    passed = re.search(r"(\d+) passed", run.stdout)
    assert int(passed[1]) >= TESTS_MIN[page], run.stdout
