"""What a schedule calls: the text of its row read as function, arguments and options, or refused.

The group of a scheduled task is what its options say, else the schedule's name, else its primary key;
its hook is the row's, else what the options say. Options are those of `async_task`. Two of them say
nothing here: `sync` and `on_commit` are about whoever asks for a task, and that is the scheduler,
which runs none and has no transaction of yours. `broker` is the name of a queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

import attrs

from djq.core.call import dump_call, func_path
from djq.core.literals import read_args, read_keywords
from djq.core.message import TaskMessage
from djq.core.names import name_of
from djq.core.options import LABEL_CHARACTERS_MAX, Q_OPTIONS, Options, split
from djq.core.schedules import Run, ScheduleRow, intended
from djq.exceptions import ScheduleRefused, TaskRefused

BROKER = "broker"
CARRIED = ("hook", "group", "save", "timeout", "max_attempts")
"""The options that travel with a task as they are."""


@attrs.frozen(kw_only=True)
class ScheduledCall:
    """A row's call, read."""

    func: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: Options
    queue: str | None
    """Name of the queue that its tasks go to. None: the cluster's own."""


def call_of(row: ScheduleRow) -> ScheduledCall:
    """Read what a row calls.

    Raises:
        ScheduleRefused: One of its texts cannot be read; the message names the field.
    """
    kwargs = read_keywords("kwargs", row.kwargs or "")
    # Rows of the predecessor have their options there.
    inner = kwargs.pop(Q_OPTIONS, None) or {}
    given = {**_mapping(inner), **read_keywords(Q_OPTIONS, row.q_options)}
    if row.hook:
        given["hook"] = row.hook
    queue = queue_of(given.pop(BROKER, None))
    try:
        options, _ = split({Q_OPTIONS: given})
        func = func_path(row.func)
    except TaskRefused as error:
        raise ScheduleRefused(str(error)) from error
    if options.group is None:
        options = attrs.evolve(options, group=row.name or str(row.id))
    args = read_args(row.args or "")
    return ScheduledCall(func=func, args=args, kwargs=kwargs, options=options, queue=queue)


def message_of(
    row: ScheduleRow,
    call: ScheduledCall,
    run: Run,
    zone: tzinfo,
    now: datetime,
    *,
    cached: bool | float,
) -> TaskMessage:
    """Make the task of one slot; `cached` is what the settings say where its options say nothing.

    Raises:
        TaskRefused: It cannot be packed.
    """
    kwargs = call.kwargs
    if row.intended_date_kwarg:
        kwargs = {**kwargs, row.intended_date_kwarg: intended(run.at, zone)}
    options = call.options
    return TaskMessage(
        id=run.task_id,
        name=name_of(run.task_id) if options.task_name is None else options.task_name,
        func=call.func,
        enqueued_at=now,
        body=dump_call(call.func, call.args, kwargs),
        schedule=row.id,
        cached=cached if options.cached is None else options.cached,
        **{name: getattr(options, name) for name in CARRIED},
    )


def queue_of(broker: object) -> str | None:
    """The queue that the option `broker` names: its name, or a broker of it. None: the cluster's own.

    Raises:
        ScheduleRefused: It names none.
    """
    name = broker if broker is None else getattr(broker, "list_key", broker)
    if name is None or (isinstance(name, str) and 0 < len(name) <= LABEL_CHARACTERS_MAX):
        return name
    raise ScheduleRefused(
        f"the option broker is {name!r:.100}; in a schedule it must be the name of a queue, of at "
        f"most {LABEL_CHARACTERS_MAX} characters, or left out"
    )


def _mapping(options: object) -> Mapping[str, Any]:
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise ScheduleRefused(f"q_options is {options!r:.100}; it must be a dict of options")
    return options
