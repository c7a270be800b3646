"""The runtime contract, filled in for processes, for threads and for the simulator."""

from __future__ import annotations

import contextlib

import pytest

from djq_testing.contract.runtime import RuntimeContract
from djq_testing.sim.timeline import SimClock, Timeline
from tests.contract.runtimes import ForkRuntime, SimRuntime, ThreadRuntime


@pytest.fixture
def open_runtime():
    """Open a runtime, and close it after the test."""
    with contextlib.ExitStack() as stack:

        def opened(runtime):
            return stack.enter_context(contextlib.closing(runtime))

        yield opened


class TestForkRuntime(RuntimeContract):
    @pytest.fixture
    def make_runtime(self, open_runtime):
        return lambda make: open_runtime(ForkRuntime(make))


class TestThreadRuntime(RuntimeContract):
    @pytest.fixture
    def make_runtime(self, open_runtime):
        return lambda make: open_runtime(ThreadRuntime(make))


class TestSimRuntime(RuntimeContract):
    @pytest.fixture
    def timeline(self):
        return Timeline()

    @pytest.fixture
    def clock(self, timeline):
        return SimClock(timeline)

    @pytest.fixture
    def make_runtime(self, timeline, open_runtime):
        return lambda make: open_runtime(SimRuntime(timeline, make))
