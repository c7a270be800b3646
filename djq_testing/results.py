"""A result store in memory: the specification of the real ones, in the plainest code there is.

Where a real one and its twin here differ, one of them is wrong; the contract suite and the agreement
test hold them together. It lives in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import attrs

from djq.core.call import load_call, load_value
from djq.core.gathering import Element, Gathered, element_of, gather, refused_iter
from djq.core.message import Finished, Outcome, TaskMessage, plain
from djq.exceptions import StoreRefused
from djq.results.texts import checked_label, id_or_name


@attrs.frozen
class MemoryTask:
    """A task object with the attributes of a `Task` row."""

    id: str
    name: str
    func: str
    hook: str | None
    group: str | None
    body: bytes = attrs.field(repr=False)
    value: bytes | None = attrs.field(repr=False)
    started: datetime
    stopped: datetime
    success: bool
    traceback: str = attrs.field(repr=False)
    attempts: int
    place: int

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return load_call(self.body)[1] if self.body else ()

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments."""
        return load_call(self.body)[2] if self.body else {}

    @property
    def result(self) -> Any:
        """What the function returned; of a failure the line that says why."""
        return None if self.value is None else load_value(self.value)

    def time_taken(self) -> float:
        """Seconds from the call of `async_task` to the outcome."""
        return (self.stopped - self.started).total_seconds()


class MemoryStore:
    """Outcomes in memory."""

    alias: str | None = None

    def __init__(
        self, *, save_limit: int = 250, show: Callable[[Finished], Any] | None = None
    ) -> None:
        """`show` makes the task objects that are given away. None: they are those that are kept."""
        self._save_limit = save_limit
        self._show = show
        self._tasks: dict[str, MemoryTask] = {}
        self._elements: dict[str, dict[int, Element]] = {}
        """The elements of each iter by their places."""
        self._sent: dict[str, int] = {}
        """How many links of each chain have been sent."""

    def limited(self, save_limit: int) -> Self:
        """The same store, under another limit."""
        other = copy(self)
        other._save_limit = save_limit  # noqa: SLF001 - it is one of its own
        return other

    @property
    def tasks(self) -> list[MemoryTask]:
        """All that is kept, newest first."""
        return sorted(self._tasks.values(), key=lambda task: (task.stopped, task.id), reverse=True)

    def save(self, batch: Sequence[Finished]) -> list[Gathered]:
        tasks, elements = dict(self._tasks), dict(self._elements)
        gathered = [
            one for finished in batch if (one := _keep_element(elements, finished)) is not None
        ]
        whole = [finished for finished in batch if finished.message.iter is None]
        gathered = [self._keepable(one) for one in gathered]
        for finished in (*whole, *(one.finished for one in gathered)):
            if self._is_kept(finished):
                task = _task_of(finished)
                _refuse_unfit(task)
                if task.id not in tasks or not tasks[task.id].success:
                    tasks[task.id] = task
        self._tasks.update(tasks)
        self._elements.update(elements)
        if self._save_limit > 0 and any(task.success for task in tasks.values()):
            self._prune()
        return gathered

    def unit(self) -> AbstractContextManager[None]:
        """Nothing to undo: what is saved here stays saved."""
        return nullcontext()

    def kept(self, tasks: Iterable[TaskMessage]) -> dict[str, Finished]:
        """What is kept of these tasks."""
        ids = [message.id for message in tasks]
        return {id: _finished(self._tasks[id]) for id in ids if id in self._tasks}

    def sent(self, links: Iterable[TaskMessage]) -> dict[str, int]:
        """How many links of the chains of these have been sent."""
        chains = {link.chain for link in links}
        return {chain: count for chain, count in self._sent.items() if chain in chains}

    def mark_sent(self, links: Sequence[TaskMessage]) -> None:
        """Remember that these links have been sent."""
        for link in links:
            if link.chain is not None:
                self._sent[link.chain] = max(self._sent.get(link.chain, 0), link.place + 1)

    def present(self, finished: Finished) -> Any:
        """The task object that a hook is called with."""
        return _task_of(finished) if self._show is None else self._show(finished)

    def find(self, task_id_or_name: str | UUID) -> Any | None:
        """The task with this id, otherwise the newest with this name."""
        wanted = id_or_name(task_id_or_name)
        named = [task for task in self.tasks if task.name == wanted]
        found = self._tasks.get(wanted) or (named[0] if named else None)
        return None if found is None else self._shown(found)

    def group_tasks(self, label: str, *, failures: bool = True) -> list[Any]:
        """The tasks of a group, in the order in which they were asked for."""
        return [self._shown(task) for task in self._group(label, failures=failures)]

    def _group(self, label: str, *, failures: bool = True) -> list[MemoryTask]:
        checked_label(label)
        tasks = sorted(self._tasks.values(), key=lambda task: (task.started, task.place, task.id))
        return [task for task in tasks if task.group == label and (failures or task.success)]

    def group_results(self, label: str, *, failures: bool = False) -> list[Any]:
        """Their results alone."""
        return [task.result for task in self._group(label, failures=failures)]

    def group_count(self, label: str, *, failures: bool = False) -> int:
        """How many outcomes there are in a group; with `failures` how many failures."""
        tasks = self._group(label)
        return len([task for task in tasks if not (failures and task.success)])

    def group_counter(self, label: str, *, failures: bool = False) -> Callable[[], int]:
        """A function that counts a group."""
        return lambda: self.group_count(label, failures=failures)

    def group_delete(self, label: str, *, rows: bool = False) -> int:
        """Take the label off the tasks of a group, or delete them; gives how many there were."""
        group = self._group(label)
        for task in group:
            del self._tasks[task.id]
            if not rows:
                self._tasks[task.id] = attrs.evolve(task, group=None)
        return len(group)

    def _shown(self, task: MemoryTask) -> Any:
        return task if self._show is None else self._show(_finished(task))

    def _is_kept(self, finished: Finished) -> bool:
        save = finished.message.save
        wanted = self._save_limit >= 0 if save is None else save
        return wanted or not finished.outcome.success

    def _keepable(self, gathered: Gathered) -> Gathered:
        try:
            _refuse_unfit(_task_of(gathered.finished))
        except StoreRefused as error:
            return refused_iter(gathered, error)
        return gathered

    def _prune(self) -> None:
        successes = [task for task in self.tasks if task.success]
        for task in successes[self._save_limit :]:
            del self._tasks[task.id]


def _keep_element(elements: dict[str, dict[int, Element]], finished: Finished) -> Gathered | None:
    """Put an element to the others of its iter; gives the iter if it was the last."""
    message = finished.message
    if message.iter is None:
        return None
    known = elements.get(message.iter, {})
    is_complete = len(known) == message.total
    elements[message.iter] = {message.place: element_of(finished), **known}
    if is_complete or len(elements[message.iter]) != message.total:
        return None
    return gather(message, [element for _, element in sorted(elements[message.iter].items())])


def _task_of(finished: Finished) -> MemoryTask:
    message, outcome = finished.message, finished.outcome
    return MemoryTask(
        id=message.id,
        name=plain(message.name)[:100],
        func=plain(message.func)[:256],
        hook=message.hook,
        group=message.group,
        body=message.body,
        value=outcome.value,
        started=message.enqueued_at,
        stopped=outcome.stopped_at,
        success=outcome.success,
        traceback=plain(outcome.traceback),
        attempts=finished.attempt,
        place=message.place,
    )


def _finished(task: MemoryTask) -> Finished:
    message = TaskMessage(
        id=task.id,
        name=task.name,
        func=task.func,
        enqueued_at=task.started,
        body=task.body,
        group=task.group,
        hook=task.hook,
        save=True,
        place=task.place,
    )
    assert task.value is not None, "every outcome has a value"
    outcome = Outcome(task.success, task.value, task.traceback, task.stopped, seconds=0.0)
    return Finished(message, outcome, task.attempts)


def _refuse_unfit(task: MemoryTask) -> None:
    texts: Iterable[tuple[str | None, int]] = [(task.group, 100), (task.hook, 256)]
    for text, limit in texts:
        if text is not None and (len(text) > limit or plain(text) != text):
            raise StoreRefused(
                f"{text!r:.300} cannot be kept; at most {limit} plain characters can"
            )
