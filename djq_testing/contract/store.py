"""What every result store has to do; its author runs this against it.

class TestMyStore(ResultStoreContract):
    @pytest.fixture
    def make_store(self):
        return lambda save_limit: MyStore(save_limit=save_limit)
"""

from __future__ import annotations

from djq_testing.contract.chains import ChainContract
from djq_testing.contract.gathering import GatheringContract
from djq_testing.contract.groups import GroupContract
from djq_testing.contract.limits import LimitContract
from djq_testing.contract.outcomes import OutcomeContract

__all__ = ["ResultStoreContract"]


class ResultStoreContract(
    OutcomeContract, LimitContract, GatheringContract, GroupContract, ChainContract
):
    """All of it."""
