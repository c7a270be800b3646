"""Results of a test that uses no database: in memory, and looked at as anywhere else."""

from __future__ import annotations

from typing import Any

from djq import assembly
from djq.conf import get_config
from djq_testing.local.cache import ClockedCache
from djq_testing.memory import MemoryStore


def memory_store() -> MemoryStore:
    """A store in memory that gives `Task` objects, as one in a database does; they were never saved."""
    config = get_config()
    unsaved = assembly.make_database_store(config).unsaved
    return MemoryStore(save_limit=config.save_limit, show=unsaved)


def parts_in_memory() -> dict[str, Any]:
    """What is wired where a test keeps its results in memory, the cached ones too."""
    return {"store": memory_store(), "cache": ClockedCache()}
