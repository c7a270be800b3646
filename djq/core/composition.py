"""What follows from a task, and the identity of what follows.

The id of a follower is made from the id of its task and the step: a redelivered task, or a second
monitor, makes the same follower again and never a second one.
"""

from __future__ import annotations

import hashlib
import pickle

from djq.core.message import Finished, Kind, TaskMessage
from djq.core.names import name_of


def derived_id(task_id: str, step: str) -> str:
    """32 hex digits, always the same for the same task and step."""
    return hashlib.sha256(f"djq:{task_id}:{step}".encode()).hexdigest()[:32]


def followers(finished: Finished) -> list[TaskMessage]:
    """The messages to enqueue once this outcome is saved: its hook, if it has one."""
    message = finished.message
    if message.hook is None or message.kind is Kind.HOOK:
        return []
    step = "hook:success" if finished.outcome.success else "hook:failure"
    hook_id = derived_id(message.id, step)
    hook = TaskMessage(
        id=hook_id,
        name=name_of(hook_id),
        func=message.hook,
        enqueued_at=finished.outcome.stopped_at,
        body=pickle.dumps(finished, 5),
        kind=Kind.HOOK,
    )
    return [hook]
