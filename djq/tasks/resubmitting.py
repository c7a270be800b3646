"""Sends failed tasks once more, as they were asked for: call, options, hook, group, queue and id.

The id stays, so whoever waits for the task finds its new outcome, and a schedule its last run. The
failure's row goes as the task is sent.

A link that failed takes its chain up again: the links behind it, which never ran, go on with it. What
cannot be sent as it was is refused, with a sentence: the record of a whole iter, whose elements are
gone, and a link that waits for one before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs
from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.utils import Error

from djq import assembly
from djq.brokers import get_broker
from djq.core.call import dump_call, func_path, load_text
from djq.core.composition import derived_id
from djq.core.frame import pack, with_options
from djq.core.message import TaskMessage
from djq.core.options import Options
from djq.core.settlement import STOPPED_LINK
from djq.exceptions import BrokerUnavailable, DjqError, StoreUnavailable, TaskRefused
from djq.models import Task
from djq.tasks.road import Road

ROWS_MAX = 500
"""Most ids in one statement."""


@attrs.frozen
class Resubmitted:
    """What came of it."""

    sent: list[Task] = attrs.Factory(list)
    """Whose tasks are on their way, the links that follow included. Their rows are gone."""
    refused: list[tuple[Task, str]] = attrs.Factory(list)
    """Those that stayed as they were, each with the reason."""


@attrs.frozen
class _Package:
    """What one frame stands for."""

    message: TaskMessage
    rows: list[Task]
    """The task, and the links that are to follow it."""


def resubmit(failures: Iterable[Task]) -> Resubmitted:
    """Send failed tasks once more; what is refused keeps none of the others back."""
    done, messages = Resubmitted(), dict[str, TaskMessage]()
    tasks = sorted(failures, key=lambda task: (task.place, task.id))
    for task in tasks:
        try:
            messages[task.id] = _message_of(task)
        except DjqError as error:
            done.refused.append((task, str(error)))
    links = _links_behind(tasks, messages)
    follow = {row.id for rows in links.values() for row in rows}
    queues: dict[str, list[_Package]] = defaultdict(list)
    for task in tasks:
        if task.id not in messages or task.id in follow:
            continue
        rows = [task, *links.get(task.id, ())]
        try:
            queues[task.queue].append(_Package(_whole(rows, messages), rows))
        except DjqError as error:
            done.refused.append((task, str(error)))
    for queue, packages in queues.items():
        _send(queue, packages, done)
    return done


def _message_of(task: Task) -> TaskMessage:
    """The message as it was, asked for now.

    Raises:
        TaskRefused: Its call is not there any more, or never was one.
        BadPackage: Its options cannot be read.
    """
    message = with_options(
        TaskMessage(
            id=task.id,
            name=task.name,
            func=task.func,
            enqueued_at=assembly.surroundings().clock.now(),
            body=bytes(task.body),
            group=task.group,
            hook=task.hook,
            place=task.place,
        ),
        task.options,
    )
    if message.total is not None and message.chain is None:
        raise TaskRefused(
            f"it stands for an iter of {message.total} elements, which are not kept one by one; "
            "call async_iter again"
        )
    if not message.body:
        if _error_of(task).startswith("StoreRefused: "):
            raise TaskRefused("its call was never kept, since the store refused it")
        message = attrs.evolve(message, body=dump_call(func_path(task.func), (), {}))
    if message.chain is None or not message.goes_on:
        return message
    # Its chain went on without it: by itself it has nothing behind it.
    return attrs.evolve(message, chain=None, total=None, goes_on=False, hands_on=False)


def _links_behind(
    tasks: Iterable[Task], messages: Mapping[str, TaskMessage]
) -> dict[str, list[Task]]:
    """For each link that failed those that it stopped, in order, up to the first whose row is gone."""
    ids: dict[str, list[str]] = {}
    for task in tasks:
        message = messages.get(task.id)
        if message is not None and message.chain is not None and not _never_ran(task):
            places = range(message.place + 1, message.total or 0)
            ids[task.id] = [derived_id(message.chain, f"link:{place}") for place in places]
    wanted = [id for each in ids.values() for id in each]
    rows: dict[str, Task] = {}
    for start in range(0, len(wanted), ROWS_MAX):
        some = Task.objects.using(assembly.result_alias()).filter(
            id__in=wanted[start : start + ROWS_MAX], success=False
        )
        rows |= {row.id: row for row in some if _never_ran(row)}
    links: dict[str, list[Task]] = {first: [] for first in ids}
    for first, behind in ids.items():
        for id in behind:
            if id not in rows:
                break
            links[first].append(rows[id])
    return links


def _whole(rows: Sequence[Task], messages: Mapping[str, TaskMessage]) -> TaskMessage:
    """The message of a task, with the links that follow it inside.

    Raises:
        TaskRefused: It is a link that waits for another, or one of those behind it cannot be sent.
    """
    first, *behind = rows
    if messages[first.id].chain is not None and _never_ran(first):
        raise TaskRefused(
            "a link before it in its chain has failed: resubmit that one, and this will follow"
        )
    frame = b""
    for row in reversed(behind):
        try:
            frame = pack(attrs.evolve(_message_of(row), rest=frame))
        except DjqError as error:
            raise type(error)(f"link {row.place + 1}, behind it: {error}") from error
    return attrs.evolve(messages[first.id], rest=frame)


def _send(queue: str, packages: Sequence[_Package], done: Resubmitted) -> None:
    """Send what goes to one queue, all or none but for what can never be sent."""
    sendable: list[_Package] = []
    try:
        broker = get_broker(queue or None)
        road = Road.of(Options(broker=broker, cached=False, on_commit=False))
        for package in packages:
            try:
                if package.message.cached:
                    assembly.refuse_unshared_cache(road.config, sync=road.broker is None)
                road.check(pack(package.message))
                sendable.append(package)
            except TaskRefused as error:
                done.refused.append((package.rows[0], str(error)))
        if sendable:
            _replace(road, sendable)
    except (DjqError, Error) as error:
        # A broker that is asked in portions may have taken some of them.
        places = set(getattr(error, "sent", ()))
        for place, package in enumerate(sendable or packages):
            if place in places:
                done.sent.extend(package.rows)
            else:
                done.refused.append((package.rows[0], str(error)))
    else:
        done.sent.extend(row for package in sendable for row in package.rows)


def _replace(road: Road, packages: Sequence[_Package]) -> None:
    """Delete the rows and send their tasks; where some cannot be sent their rows stay.

    The rows go first: the new outcome has the same key, and may be there before this has ended. If
    the process dies in between they are there still, and the outcome takes their place.

    Raises:
        BrokerUnavailable: It did not take them all; those at the places in `sent` are on their way.
        TaskRefused: One of them cannot be sent; the same.
        StoreUnavailable: Some of the rows are not there any more, so nothing was sent.
    """
    alias = assembly.result_alias()
    failed: BrokerUnavailable | TaskRefused | None = None
    with transaction.atomic(using=alias):
        _hold(alias, packages)
        try:
            with transaction.atomic(using=alias):
                _delete(alias, packages)
                road.send([pack(package.message) for package in packages])
        except (BrokerUnavailable, TaskRefused) as error:
            _delete(alias, [packages[place] for place in sorted(error.sent)])
            failed = error
    if failed is not None:
        raise failed


def _hold(alias: str, packages: Sequence[_Package]) -> None:
    """Lock the rows until all is known: what is sent now must not be kept before its row is gone.

    SQLite holds the whole database as soon as something is written, and a read before that may be in its way.
    """
    if connections[alias].features.has_select_for_update:
        for some in _portions(alias, packages):
            list(some.select_for_update().order_by("id").values_list("id"))


def _delete(alias: str, packages: Sequence[_Package]) -> None:
    deleted = sum(some.delete()[0] for some in _portions(alias, packages))
    if deleted != sum(len(package.rows) for package in packages):
        raise StoreUnavailable(
            "of these failures some were resubmitted or deleted meanwhile, so nothing was sent; "
            "choose again from those that are left"
        )


def _portions(alias: str, packages: Sequence[_Package]) -> Iterator[QuerySet[Task]]:
    """The rows of these that are failures still, by as many as a statement may name."""
    ids = sorted(row.id for package in packages for row in package.rows)
    for start in range(0, len(ids), ROWS_MAX):
        yield Task.objects.using(alias).filter(id__in=ids[start : start + ROWS_MAX], success=False)


def _never_ran(task: Task) -> bool:
    """Whether this is the row of a link that another one stopped."""
    return not task.attempts and _error_of(task).startswith(f"{STOPPED_LINK}: ")


def _error_of(task: Task) -> str:
    return "" if task.value is None else load_text(bytes(task.value)) or ""
