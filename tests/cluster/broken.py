"""A class that the caller can import and a worker cannot: it depends on who asks."""

from __future__ import annotations

import os

if "DJQ_TEST_CALLER" not in os.environ:
    raise ImportError("this module cannot be imported in a worker")


class Only:
    """Pickles by reference to this module."""
