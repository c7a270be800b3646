"""What schedules are told of their tasks."""

from __future__ import annotations

from collections.abc import Sequence

from djq.core.call import load_value
from djq.core.message import Finished
from djq.core.schedules import ScheduleEnd, error_text


def ends_of(batch: Sequence[Finished]) -> list[ScheduleEnd]:
    """How the tasks of schedules among these ended."""
    return [
        ScheduleEnd(
            one.message.schedule,
            one.message.id,
            "" if one.outcome.success else error_text(str(load_value(one.outcome.value))),
        )
        for one in batch
        if one.message.schedule is not None
    ]
