"""Suites that say what a part of djq has to do: subclass one, tell it how to make your part, run it."""

from __future__ import annotations

import pkgutil

import pytest

# So that a failure shows what was compared, in a project that djq is installed in by whatever way.
pytest.register_assert_rewrite(
    *(f"{__name__}.{each.name}" for each in pkgutil.iter_modules(__path__))
)
