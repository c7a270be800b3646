"""Where outcomes are kept."""

from __future__ import annotations
