"""Tasks for the tests of the test kit."""

from __future__ import annotations

from django.db import transaction

from djq.tasks import async_task

CALLS = []
"""What was called, with what."""


def note(*args, **kwargs):
    CALLS.append((args, kwargs))
    return len(CALLS)


def add(first, second):
    return first + second


def fail(text="it does not work"):
    raise LookupError(text)


def stop():
    raise StopIteration


def hear(task):
    CALLS.append((task.id, task.success, task.result))


def count_its_group(task):
    CALLS.append(("count", task.group_count(), len(task.group_result())))


def chain_of_two():
    return async_task(note, "first", hook=hear)


def again(times):
    if times:
        async_task(again, times - 1)


def for_ever():
    async_task(for_ever)


def when_committed(*args):
    """As a view does: the task is sent when its data is there for all to see."""
    with transaction.atomic():
        transaction.on_commit(lambda: async_task(note, *args))


def commit_and_fail(*args):
    """What was committed before a failure is sent all the same."""
    when_committed(*args)
    raise LookupError
