"""Lends djq's own pytest plugin to its own tests, installed or not."""

from __future__ import annotations

import pytest

from djq_testing import plugin


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin, unless its entry point has done so; bear with a process of pytest-xdist."""
    if not config.pluginmanager.is_registered(plugin):
        config.pluginmanager.register(plugin, "djq")
    if hasattr(config, "workerinput"):
        # pytest-xdist has a thread beside the tests, and a test that forks is warned of it.
        config.addinivalue_line("filterwarnings", "ignore:This process .* is multi-threaded")
