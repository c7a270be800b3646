"""Seeds that once failed, each with what was wrong."""

from __future__ import annotations

import pytest

from djq_testing.sim import simulate

FIXED = {
    899: "a stop that had to kill a pusher said that all went well",
}


@pytest.mark.parametrize("seed", FIXED)
def test_what_was_found_stays_fixed(seed):
    run = simulate(seed)

    assert run.failure is None, run.describe()


# A success is saved, the monitor dies before the hook is on its way, and the deliveries run out: the
# refusal is followed by a hook for a failure, which is not the outcome that is kept.
KEPT_OTHERWISE = (205, 677, 1662, 2215, 2265)


@pytest.mark.xfail(
    reason="the monitor follows the outcome at hand, not the one that the store kept"
)
@pytest.mark.parametrize("seed", KEPT_OTHERWISE)
def test_hook_is_called_with_the_outcome_that_is_kept(seed):
    assert simulate(seed).unfollowed == []
