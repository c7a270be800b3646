"""What a worker may use of the machine: which processors, how much memory."""

from __future__ import annotations

from collections.abc import Sequence

import psutil

MIB = 1024 * 1024


def processors_for(slot: int, per_worker: int, allowed: Sequence[int]) -> list[int]:
    """The processors of the worker in this slot (from 0), as the manual's 1.2.28 deals them.

    `allowed` are those that the cluster may use, in a container perhaps few of the machine's. An
    empty list: no affinity, since every worker may use them all.
    """
    if per_worker <= 0 or per_worker >= len(allowed):
        return []
    first = slot * per_worker
    return [allowed[(first + offset) % len(allowed)] for offset in range(per_worker)]


def pin(slot: int, per_worker: int) -> list[int]:
    """Bind this process to its processors; gives them, or an empty list when it is bound to none."""
    process = psutil.Process()
    if not hasattr(process, "cpu_affinity"):
        return []
    processors = processors_for(slot, per_worker, sorted(process.cpu_affinity() or ()))
    if processors:
        process.cpu_affinity(processors)
    return processors


def memory_mib() -> float:
    """Resident memory of this process in MiB."""
    return float(psutil.Process().memory_info().rss) / MIB
