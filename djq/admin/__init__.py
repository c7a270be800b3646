"""The admin's pages: clusters, successful and failed tasks, schedules, and the queue of the ORM broker."""

from __future__ import annotations

from djq.admin.clusters import ClustersAdmin
from djq.admin.queue import QueueAdmin
from djq.admin.schedules import ScheduleAdmin
from djq.admin.tasks import FailureAdmin, SuccessAdmin

__all__ = ["ClustersAdmin", "FailureAdmin", "QueueAdmin", "ScheduleAdmin", "SuccessAdmin"]
