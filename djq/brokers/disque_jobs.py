"""Jobs of Disque: their ids, the receipts that are made of these, and what nodes answer about them.

A receipt is `<job>:<delivery>`. The delivery has a name that is drawn when it is taken: a count of the node's
would come twice, since another node counts anew after a failover, and a word about the one delivery would be
taken for a word about the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import uuid4

from djq.core.received import Received

__all__ = ["ONE_CALL_MAX", "in_parts", "is_short", "job_of", "received", "unknown", "working"]

ONE_CALL_MAX = 1_000
"""Most jobs in one command: nobody else is served meanwhile."""

_JOB_ID = re.compile(r"D-.{8}-.{24}-.{4}", re.DOTALL)


def received(job: Sequence[Any]) -> Received:
    """Read what GETJOB gives: queue, id, package, and two counters behind their names."""
    _, id, package, _, nacks, _, additional = job
    return Received(f"{id.decode()}:{uuid4().hex}", package, 1 + nacks + additional)


def job_of(receipt: str) -> str:
    """The job of a receipt, or of a tracking id."""
    return receipt.partition(":")[0]


def in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """Commands for so many jobs; what is no id of a job would make Disque refuse the whole command."""
    known = [id for id in ids if _JOB_ID.fullmatch(id)]
    for start in range(0, len(known), ONE_CALL_MAX):
        yield known[start : start + ONE_CALL_MAX]


def working(ids: Iterable[str]) -> list[tuple[str, str]]:
    """Commands that let the leases of these jobs begin now."""
    return [("WORKING", id) for id in ids]


def unknown(ids: Sequence[str], answers: Sequence[Any]) -> list[str]:
    """Those of which the node has never heard, or hears no more."""
    pairs = zip(ids, answers, strict=True)
    return [id for id, answer in pairs if str(answer).startswith("NOJOB")]


def is_short(answer: Any) -> bool:
    """Whether ADDJOB did nothing, since too few nodes live for the copies."""
    return str(answer).startswith("NOREPL Not enough reachable")
