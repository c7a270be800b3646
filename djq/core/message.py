"""What a task is on its way: a small header that everybody may read, and a body for the worker alone.

The header says what must happen around the call (identity, limits, what follows); the body is the
pickled call. Only a worker unpickles the body: a class that no longer imports is then a failed task
with a traceback, and never a dead pusher.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import attrs


class Kind(enum.Enum):
    """What a worker has to do with the body."""

    TASK = "task"
    HOOK = "hook"
    """The body is a pickled `Finished`; the function named in `func` is called with its task object."""


@attrs.frozen(kw_only=True)
class TaskMessage:
    """One task as it travels: the header's fields, and the body unopened."""

    id: str
    """32 hex digits."""

    name: str
    """Four words made from the id, or what the caller chose; at most 100 characters."""

    func: str
    """Dotted path of the function, for people, logs and the admin; at most 256 characters."""

    enqueued_at: datetime
    """When the task was asked for; aware, UTC."""

    body: bytes
    """The pickled (function or dotted path, args, kwargs)."""

    kind: Kind = Kind.TASK

    timeout: float | None = None
    """Seconds that one run may take. None: the cluster's own timeout."""

    group: str | None = None

    hook: str | None = None
    """Dotted path of the function to call with the stored task. None: no hook."""

    save: bool | None = None
    """Whether a success is kept. None: as `save_limit` says."""

    max_attempts: int | None = None
    """Deliveries without an outcome before the task is recorded as failed. None: as configured."""

    cached: bool | float = False
    """Whether the outcome goes to the cache instead of the database; a number: for how many seconds."""

    place: int = 0
    """Its place among what was asked for at the same moment, from 0; of an iter's element the index,
    of a chain's link too. Lists of tasks are in this order."""

    total: int | None = None
    """How many elements its iter has, or links its chain. None: it belongs to neither. With neither `iter`
    nor `chain` it is the record of a whole iter."""

    iter: str | None = None
    """The id of the iter whose element this is: 32 hex digits. The name, group, `save` and `cached`
    are those of the iter then, since an element's outcome is not kept by itself. None: no element."""

    chain: str | None = None
    """The id of the chain whose link this is: 32 hex digits. None: no link."""

    rest: bytes = b""
    """The frame of the chain's next link, which holds the one after it. Empty: nothing follows."""

    goes_on: bool = False
    """Whether the chain goes on after this link has failed."""

    hands_on: bool = False
    """Whether the next link gets this one's result as its first argument."""

    schedule: int | None = None
    """Primary key of the schedule that made it, and is told of its end. None: nobody's."""


@attrs.frozen
class Outcome:
    """What happened to a task: exactly one is kept for each task."""

    success: bool

    value: bytes
    """The pickled return value; of a failure the pickled line `ExceptionClass: message`."""

    traceback: str
    """Empty when there is none; cut at `TRACEBACK_CHARACTERS_MAX`."""

    stopped_at: datetime
    """When the outcome was known; aware, UTC."""

    seconds: float
    """How long the task ran, without its wait in the queue."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Outcome, (
            self.success,
            self.value,
            self.traceback,
            self.stopped_at,
            self.seconds,
        )


@attrs.frozen
class Finished:
    """A task with its outcome: what a store keeps and what a hook is called with."""

    message: TaskMessage
    outcome: Outcome
    attempt: int
    """How often the task had been delivered, this time included."""


ERROR_CHARACTERS_MAX = 1_000
TRACEBACK_CHARACTERS_MAX = 20_000


def cut(text: str, limit: int) -> str:
    """Give `text` with at most `limit` characters; the middle goes, since the ends tell most."""
    if len(text) <= limit:
        return text
    mark = f"\n[... {len(text) - limit} characters left out ...]\n"
    half = (limit - len(mark)) // 2
    return text[:half] + mark + text[-half:]


def first_line(text: str, limit: int) -> str:
    """The first line of a text, plain, with at most `limit` characters; `…` behind it where there is more."""
    whole = plain(text)
    short = whole.partition("\n")[0][:limit]
    return short if short == whole else f"{short}…"


def plain(text: str) -> str:
    """Spell out what no database keeps in a text: zero bytes and halves of characters."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
