"""What a cluster in process has still to do, and how it is."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import attrs
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from djq import assembly
from djq.components.command import Command
from djq.components.sentinel import Sentinel
from djq.core.lifecycle import Role
from djq.core.totals import Totals
from djq.monitor import Stat, counted, told
from djq.ports import ScheduleStore
from djq_testing.local.stage import LocalStage, Services
from djq_testing.schedules import MemoryScheduleStore


def uses_database() -> bool:
    """Whether the test may use the database that results go to."""
    try:
        with connections[assembly.result_alias()].cursor():
            return True
    except (RuntimeError, AssertionError, ImproperlyConfigured):
        # pytest-django's word for no, and those of Django's SimpleTestCase and of no DATABASES.
        return False


def pending(stage: LocalStage) -> Iterator[str]:
    """Why the clusters on a stage have not come to rest. Nothing: they have."""
    for process in list(stage.processes.values()):
        component = process.component
        if isinstance(component, Sentinel):
            yield from _pending_in(component)
        elif isinstance(component, Command) and component.report is None:
            yield "a sentinel is being started"
    yield from _pending_at(stage.services)


def _pending_in(sentinel: Sentinel) -> Iterator[str]:
    book = sentinel.book
    if book.entries:
        yield (
            f"{len(book.entries)} tasks in the hands of a cluster: {book.running} run, "
            f"{book.waiting} wait, {book.unsaved} are to be saved"
        )
    if sentinel.closing.level is not None:
        yield "a cluster stops"
    elif not sentinel.supervision.all_ready:
        yield "a process is being replaced"


def _pending_at(services: Services) -> Iterator[str]:
    # Past the troubles: what waits there waits also while nobody is answered.
    if waiting := services.broker.inner.queue_size():
        yield f"{waiting} tasks in the queue"
    if held := services.broker.inner.lock_size():
        yield f"{held} tasks taken from the queue and not acknowledged"
    if services.config.scheduler:
        due = services.schedules.next_due()
        if due is not None and due <= services.schedules.now():
            yield f"schedules are due, since {due}"
        if sending := _sending(services.schedules):
            yield f"{sending} schedules are being sent"


def _sending(store: ScheduleStore) -> int:
    if isinstance(store, MemoryScheduleStore):
        return len([each for each in store.rows.values() if each.row.pending])
    rows = apps.get_model("djq", "Schedule")._base_manager.using(store.alias)  # noqa: SLF001 - documented
    return int(rows.exclude(pending="").count())


def stat_of(stage: LocalStage) -> Stat:
    """The status of the cluster that was started first and runs yet."""
    command = next(iter(stage.living(None)), None)
    now = stage.clock.now()
    if command is None or not isinstance(command.component, Command):
        return Stat(cluster_id=0, host=socket.gethostname(), tob=None, now=now)
    children = [p for p in stage.living(Role.SENTINEL) if p.cluster == command.cluster]
    sentinel = children[0].component if children else None
    report = command.component.report
    stat = Stat(
        cluster_id=command.pid,
        host=socket.gethostname(),
        tob=stage.born.get(command.cluster),
        now=now,
        status="Starting",
    )
    stat = counted(stat, command.component, stage.clock.monotonic())
    if report is None or not isinstance(sentinel, Sentinel):
        return stat
    stat = told(stat, report, children[0].pid)
    # Reports are rare here: the book says how it is now.
    book = sentinel.book
    totals = Totals()
    for total in (*stat.by_func, *book.totals.all()):
        totals.add(total)
    return attrs.evolve(
        stat, task_q_size=book.waiting, done_q_size=book.unsaved, by_func=totals.all()
    )
