"""djq, a task queue for Django: the version, and nothing that happens at import."""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
