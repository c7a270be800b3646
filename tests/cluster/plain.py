"""A broker as the manual has it: receipts, and plain pairs that say nothing of attempts."""

from __future__ import annotations

from django.db import router

from djq.brokers.orm import OrmBroker, ServerClock
from djq.models import OrmQ
from djq.runtime.clock import SystemClock


class PlainPairs(OrmBroker):
    def __init__(self, list_key):
        alias = router.db_for_write(OrmQ)
        clock = ServerClock(alias, SystemClock())
        super().__init__(list_key, alias=alias, clock=clock, retry_seconds=60)

    def dequeue(self, limit=1):
        return [tuple(received) for received in super().dequeue(limit)]
