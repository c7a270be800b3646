"""What the settings make of a cluster: the values that the sentinel decides by."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from djq.core.lifecycle import Role
from djq.core.settlement import Policy


@attrs.frozen(kw_only=True)
class Plan:
    """What the settings make of a cluster."""

    policy: Policy
    seats: Mapping[Role, int]
    """How many children of each role."""
    queue_limit: int | None
    recycle: int | None
    """Tasks that a worker runs before it is replaced. None: any number."""
    lease_seconds: float
    """The broker's `retry`; leases are renewed three times as often."""
    guard_cycle: float
    stop_timeout: float | None
    run_once: bool
    """Stop when the queue is empty."""
