"""Fixtures for the tests of the test kit."""

from __future__ import annotations

import pytest

from djq_testing.cluster import LocalCluster
from tests.kit import local_samples, samples


@pytest.fixture(autouse=True)
def calls():
    """What the sample tasks were called with, in this test."""
    samples.CALLS.clear()
    return samples.CALLS


@pytest.fixture(autouse=True)
def _nothing_heard():
    local_samples.heard.clear()
    local_samples.acts.clear()


@pytest.fixture
def cluster():
    """Without a database, unless the test has asked for one."""
    with LocalCluster() as cluster:
        yield cluster
