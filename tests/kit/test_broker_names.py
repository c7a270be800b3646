"""What the brokers of a test are called, and what they need."""

from __future__ import annotations

import sys

import pytest

from djq_testing.brokers import brokers_like
from djq_testing.clock import ManualClock

HIDDEN = ("fakeredis", "djq_testing.fakes.redis")


@pytest.fixture
def _without_fakeredis():
    known = {name: sys.modules.pop(name, None) for name in HIDDEN}
    sys.modules["fakeredis"] = None
    yield
    del sys.modules["fakeredis"]
    sys.modules.update({name: module for name, module in known.items() if module is not None})


@pytest.mark.usefixtures("_without_fakeredis")
def test_a_broker_whose_library_is_missing_says_what_to_install():
    with pytest.raises(ModuleNotFoundError, match=r"fakeredis .*pip install 'djq\[testing\]'"):
        brokers_like("redis", ManualClock())


def test_a_library_of_another_extra_is_told_with_that():
    known = {name: sys.modules.pop(name, None) for name in ("mongomock", "djq_testing.fakes.mongo")}
    sys.modules["mongomock"] = None
    try:
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'djq\[testing-mongo\]'"):
            brokers_like("mongo", ManualClock())
    finally:
        del sys.modules["mongomock"]
        sys.modules.update({name: each for name, each in known.items() if each is not None})
