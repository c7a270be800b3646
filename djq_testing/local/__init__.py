"""The inside of the cluster in process: its stage, its timeline, and the ports that can fail."""

from __future__ import annotations
