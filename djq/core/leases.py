"""Leases that are extended one by one: what had changed before an error is not lost with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from djq.exceptions import BrokerUnavailable

__all__ = ["extended_one_by_one"]


def extended_one_by_one(
    receipts: Iterable[str],
    extend: Callable[[str], str],
    *,
    alone: tuple[type[BrokerUnavailable], ...] = (),
) -> dict[str, str]:
    """Extend leases in turn; give the receipts that changed, old to new.

    Args:
        receipts: By what the leases are known.
        extend: Extends one, and gives its receipt from now on.
        alone: Errors that are about one lease, so that the others are extended all the same. After any
            other, no more is asked.

    Raises:
        BrokerUnavailable: Not all were extended; it says how many, and has those that changed.
    """
    asked = list(receipts)
    changed: dict[str, str] = {}
    failed: BrokerUnavailable | None = None
    missed = 0
    for place, receipt in enumerate(asked):
        try:
            new = extend(receipt)
        except BrokerUnavailable as error:
            failed = failed or error
            if isinstance(error, alone):
                missed += 1
                continue
            missed += len(asked) - place
            break
        if new != receipt:
            changed[receipt] = new
    if failed is not None:
        words = f"{failed} ({missed} of {len(asked)} leases were not extended)"
        raise BrokerUnavailable(words, changed=changed) from failed
    return changed
