"""The documented functions (the manual, 1.4): ask for a task, and get what came of it."""

from __future__ import annotations

from djq.tasks.reading import fetch, queue_size, result
from djq.tasks.scheduling import schedule
from djq.tasks.sending import async_task

__all__ = ["async_task", "fetch", "queue_size", "result", "schedule"]
