"""freezegun, that leaves pytest's own measure of time alone."""

from __future__ import annotations

import freezegun
from freezegun import freeze_time

freezegun.configure(extend_ignore_list=["_pytest.timing"])

__all__ = ["freeze_time"]
