"""The documented function that schedules, and what can be done with a schedule that there is.

Whatever can be found wrong with a schedule is found here, a sentence a field, before a row is made.
What it calls is looked for by a worker, as with any task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import ValidationError

from djq import assembly
from djq.brokers import get_broker
from djq.components.sealing import seal_for
from djq.conf import get_config, get_zone, schedule_defaults
from djq.core.frame import pack
from djq.core.literals import write_args, write_keywords
from djq.core.recurrence import CRON, ONCE, first_after
from djq.core.schedule_calls import BROKER, call_of, message_of, queue_of
from djq.core.schedules import SKIP, Run, anchor_of, rule_of, slot_of
from djq.exceptions import DjqError, ScheduleRefused
from djq.schedules.fields import ScheduleChoices
from djq.schedules.rows import row_of
from djq.wiring import wiring

if TYPE_CHECKING:
    from djq.models import Schedule


def schedule(
    func: str,
    /,
    *args: Any,
    name: str | None = None,
    hook: str | None = None,
    schedule_type: str | None = None,
    minutes: int | None = None,
    repeats: int = -1,
    next_run: Any = None,
    q_options: Mapping[str, Any] | None = None,
    cron: str | None = None,
    time_zone: str = "",
    catch_up: bool | None = None,
    overlap: str = ScheduleChoices.ALLOW,
    intended_date_kwarg: str | None = None,
    enabled: bool = True,
    **kwargs: Any,
) -> Schedule:
    """Make a schedule: `func` is called with the arguments that follow, again and again.

    Args:
        func: The function's dotted path.
        *args: Positional arguments for the function; they are kept as literals.
        name: A name that no other schedule has; it is the group of its tasks.
        hook: Dotted path of the function to call with each finished task.
        schedule_type: One of `Schedule.TYPE`; Once when left out, or Cron where there is a `cron`.
        minutes: The step of the type Minutes; 1 when left out.
        repeats: How many times it runs; -1 for ever, 0 never.
        next_run: The first run, a datetime or an Arrow object; now when left out, and for a cron
            schedule the first time that it names.
        q_options: Options of `async_task` for its tasks.
        cron: When the type Cron runs, such as `0 3 * * *`.
        time_zone: Where its wall time is kept; the setting `time_zone` when left out.
        catch_up: Whether each missed run is made up for; the setting `catch_up` when left out.
        overlap: `allow`, or `skip` to make no task while the last one is unfinished.
        intended_date_kwarg: Name of a keyword that tells the function for which time it was meant.
        enabled: Whether it runs.
        **kwargs: Keyword arguments for the function; they are kept as literals.

    Returns:
        The schedule, saved.

    Raises:
        ScheduleRefused: Something is wrong with it; the message has a sentence for each field.
    """
    if schedule_type is None:
        schedule_type = CRON if cron else ONCE
    elif cron and schedule_type != CRON:
        raise ScheduleRefused(
            f"cron is {cron!r:.100} and schedule_type {schedule_type!r:.100}; leave one of them out"
        )
    for field, path in (("func", func), ("hook", hook)):
        if path is not None and not isinstance(path, str):
            raise ScheduleRefused(
                f"{field} is {path!r:.100}; in a schedule it must be a dotted path, as text"
            )
    made = _model()(
        func=func,
        name=name,
        hook=hook,
        args=write_args(args),
        kwargs=write_keywords("kwargs", kwargs),
        q_options=write_keywords("q_options", _writable(q_options)),
        schedule_type=schedule_type,
        minutes=minutes,
        repeats=repeats,
        cron=cron,
        time_zone=time_zone,
        catch_up=catch_up,
        overlap=overlap,
        intended_date_kwarg=intended_date_kwarg,
        enabled=enabled,
    )
    if next_run is not None:
        made.next_run = next_run
    keep = wiring().keep_schedule
    _check(made, among_others=keep is None)
    if keep is None:
        made.save()
    else:
        made.begin_on_the_grid()
        keep(made)
    return made


def pause(schedule: Schedule) -> None:
    """Let a schedule make no tasks until it is resumed."""
    schedule.enabled = False
    schedule.save(update_fields=["enabled"])


def resume(schedule: Schedule) -> None:
    """Let a paused schedule go on, with the next slot of its grid: a pause misses nothing.

    What counts is the row and not the object, which may have been read a while ago: of one that is
    not paused nothing is changed.

    Raises:
        ScheduleRefused: Its type, cron or time zone is wrong.
    """
    rows = _model()._base_manager.filter(pk=schedule.pk)  # noqa: SLF001 - documented all the same
    row = rows.filter(enabled=False).first()
    if row is not None:
        # A paused row is written by nobody else, unless it is still being sent.
        changes = {"enabled": True, **_next_slot(row)}
        rows.filter(enabled=False).update(**changes)
        rows.filter(pending="").update(held_until=None)
    schedule.refresh_from_db(fields=["enabled", "next_run", "anchor", "held_until"])


def _next_slot(schedule: Schedule) -> dict[str, Any]:
    """The columns of the first slot that has not passed; none where the present one will do."""
    custom, now = schedule_defaults(), assembly.surroundings().clock.now()
    row = row_of(schedule)
    rule = rule_of(row, custom, get_zone)
    zone_name = row.time_zone or custom.time_zone
    slot = slot_of(row, rule, zone_name)
    if slot is None or slot.at > now or schedule.schedule_type == ONCE:
        return {}
    later = first_after(rule, slot, now)
    if later is None:
        return {"next_run": None, "anchor": ""}
    # With the wall time that is meant: it may stand in a gap, and be told an hour later for once.
    return {"next_run": later.at, "anchor": anchor_of(later, zone_name)}


def run_now(schedule: Schedule) -> str:
    """Send one more task of a schedule, at once; its slots and `repeats` stay. Gives the task's id.

    Raises:
        ScheduleRefused: The schedule can make no task as it is.
        TaskRefused: The task is too large, or its outcome would go to a cache that nobody shares.
        BrokerUnavailable: The broker did not take it.
    """
    schedule.refuse_unshared_cache()
    row, around, custom = row_of(schedule), assembly.surroundings(), schedule_defaults()
    call, now = call_of(row), around.clock.now()
    broker = get_broker() if call.queue is None else get_broker(call.queue)
    zone = get_zone(row.time_zone or custom.time_zone)
    run = Run(around.ids.task_id(), now)
    message = message_of(row, call, run, zone, now, cached=custom.cached)
    package = seal_for(broker, assembly.make_codec(get_config(), broker.list_key), pack(message))
    rows = _model().objects.filter(pk=schedule.pk)
    before = {name: getattr(schedule, name) for name in ("task", "sent_at", "unfinished")}
    unfinished = message.id if schedule.overlap == SKIP else ""
    # Before it is sent: a worker may be done with it before the next statement here.
    rows.update(task=message.id, sent_at=now, unfinished=unfinished)
    try:
        broker.enqueue(package)
    except DjqError:
        rows.filter(task=message.id).update(**before)
        raise
    schedule.refresh_from_db()
    return message.id


def _model() -> type[Schedule]:
    # Found when it is asked for: this module may be imported before Django has loaded its models.
    return apps.get_model("djq", "Schedule")


def _writable(q_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options that can be written: a broker as the name of its queue, a hook as its path."""
    if q_options is not None and not isinstance(q_options, Mapping):
        raise ScheduleRefused(f"q_options is {q_options!r:.100}; it must be a dict of options")
    given = {key: value for key, value in (q_options or {}).items() if value is not None}
    if BROKER in given:
        given[BROKER] = queue_of(given[BROKER])
    if callable(given.get("hook")):
        given["hook"] = f"{given['hook'].__module__}.{given['hook'].__qualname__}"
    return given


def _check(made: Schedule, *, among_others: bool) -> None:
    try:
        made.full_clean(validate_unique=among_others, validate_constraints=among_others)
    except ValidationError as error:
        sentences = [
            f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()
        ]
        raise ScheduleRefused("; ".join(sentences)) from error
