"""The pytest plugin of djq: what a project's tests may ask for by name.

Installing djq makes pytest load this module in every run, so it imports neither Django nor djq
before a test asks for something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from djq_testing.clock import ManualClock


def pytest_configure(config: pytest.Config) -> None:
    """Make the plugin's marker known, so that `--strict-markers` accepts it."""
    config.addinivalue_line(
        "markers",
        "djq_clock(start): the moment, an aware datetime, at which djq_manual_clock starts",
    )


@pytest.fixture
def djq_manual_clock(request: pytest.FixtureRequest) -> ManualClock:
    """A clock that stands still until the test moves it."""
    from djq_testing.clock import ManualClock  # noqa: PLC0415 - not before a test asks

    marker = request.node.get_closest_marker("djq_clock")
    if marker is None:
        return ManualClock()
    return ManualClock(*marker.args, **marker.kwargs)
