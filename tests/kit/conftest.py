"""Fixtures for the tests of the test kit."""

from __future__ import annotations

import pytest

from tests.kit import samples


@pytest.fixture(autouse=True)
def calls():
    """What the sample tasks were called with, in this test."""
    samples.CALLS.clear()
    return samples.CALLS
