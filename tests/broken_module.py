"""A module that raises something else than ImportError when it is imported."""

from __future__ import annotations

raise RuntimeError("the settings of this module are wrong")
