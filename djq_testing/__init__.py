"""What a project needs to test its tasks, and an author to test a broker or a store."""

from __future__ import annotations
