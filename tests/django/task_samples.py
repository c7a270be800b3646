"""Functions for the tests of tasks and sync mode: what a user's tasks module may hold."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, connections

from djq.models import Schedule, Task
from djq.tasks import async_task, result

heard: list[Any] = []
"""What the hooks and tasks below were called with; a fixture empties it."""


def note(value: object) -> None:
    heard.append(value)


def keywords(**kwargs: object) -> dict[str, object]:
    return kwargs


def give(value: object) -> object:
    return value


def endless() -> object:
    return (number for number in range(3))


def leave() -> None:
    raise SystemExit(3)


def failing_hook(task: object) -> None:
    heard.append(task)
    raise ValueError("the hook does not like it")


def write(alias: str, name: str) -> None:
    Schedule.objects.using(alias).create(name=name, func="math.floor")


def write_and_fail(alias: str, name: str) -> None:
    write(alias, name)
    raise ValueError("after the writing")


def violate(alias: str) -> None:
    """Break a constraint, outside any block that would mend it."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_content_type (id, app_label, model)"
            " VALUES (9999, 'a', 'b'), (9999, 'c', 'd')"
        )


def violate_and_go_on(alias: str) -> str:
    try:
        violate(alias)
    except IntegrityError:
        return "never mind"
    return "not violated"


def open_transactions(alias: str) -> bool:
    return connections[alias].in_atomic_block


def ask_for_another(value: object) -> object:
    return [result(async_task("tests.django.task_samples.give", value, sync=True))]


def pair(first: object, second: object = None) -> object:
    return [first, second]


def grow(value: object, step: int = 1) -> object:
    """Adds to what the link before gave, which is None after a failure."""
    return (value or 0) + step  # type: ignore[operator]


def fail(*_args: object) -> None:
    raise ValueError("told to")


def count_tasks() -> int:
    return Task.objects.count()


class CountsTasks:
    """Asks the database when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return count_tasks, ()
