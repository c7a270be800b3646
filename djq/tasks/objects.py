"""A task as an object (the manual, 1.4.2): parameters to change, to run, to ask for the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from djq.core.options import Q_OPTIONS, split
from djq.ports import Broker
from djq.tasks.reading import Cached, fetch, fetch_group, result_group
from djq.tasks.sending import Func, async_task
from djq.tasks.snapshot import Snapshot

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from djq.models import Task

T = TypeVar("T")
V = TypeVar("V")


class _Option(Generic[V]):
    """An option as an attribute: it stands in `kwargs`, or in its `q_options` if there are any."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, task: None, owner: type) -> _Option[V]: ...

    @overload
    def __get__(self, task: AsyncTask[Any], owner: type) -> V | None: ...

    def __get__(self, task: AsyncTask[Any] | None, owner: type) -> _Option[V] | V | None:
        if task is None:
            return self
        return cast("V | None", (task.kwargs.get(Q_OPTIONS) or task.kwargs).get(self._name))

    def __set__(self, task: AsyncTask[Any], value: V | None) -> None:
        options = task.kwargs.get(Q_OPTIONS)
        if options:
            # A dict of the caller is never changed.
            task.kwargs[Q_OPTIONS] = {**options, self._name: value}
        else:
            task.kwargs[self._name] = value


class AsyncTask(Generic[T]):
    """A task in one object.

    Any parameter may be changed, before and after it has run. Then the result is void: there is none
    until it is run again. A value that is itself changed (a list that gets one item more) goes
    unnoticed; replace it.
    """

    id: str | None
    """The id of the task. None: it has not been run."""
    func: Callable[..., T] | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    """Keywords of the function, and options, directly or in `q_options`."""

    broker = _Option[Broker]()
    sync = _Option[bool]()
    save = _Option[bool]()
    hook = _Option[Func]()
    group = _Option[str]()
    cached = _Option[bool | float]()
    timeout = _Option[float]()
    task_name = _Option[str]()
    on_commit = _Option[bool]()
    max_attempts = _Option[int]()

    @overload
    def __init__(self: AsyncTask[Any], func: str, /, *args: Any, **kwargs: Any) -> None: ...

    @overload
    def __init__(self, func: Callable[..., T], /, *args: Any, **kwargs: Any) -> None: ...

    def __init__(self, func: Callable[..., T] | str, /, *args: Any, **kwargs: Any) -> None:
        """Make it; nothing is sent yet. The arguments are those of `async_task`."""
        self.id = None
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self._ran: Snapshot | None = None

    @property
    def started(self) -> bool:
        """Whether it has been run as it is now."""
        return self._ran is not None and self._ran == self._snapshot()

    def run(self) -> str:
        """Send it; gives its id, a new one each time.

        Raises:
            TaskRefused: It cannot be queued as it is.
            BrokerUnavailable: The broker did not take it.
        """
        self.id = async_task(self.func, *self.args, **self.kwargs)
        self._ran = self._snapshot()
        return self.id

    def result(self, wait: float = 0) -> T | None:
        """Give what the function returned; of a failed task the line that says why.

        Args:
            wait: Most milliseconds to wait for the outcome; -1 for as long as it takes.

        Returns:
            None also when it was not run as it is now, or there is no outcome by the end of the wait.
        """
        task = self.fetch(wait)
        return None if task is None else cast("T", task.result)

    def fetch(self, wait: float = 0) -> Task | None:
        """Give the task with its outcome, or None as `result`."""
        if self.id is None or not self.started:
            return None
        return fetch(self.id, wait, self._cached())

    def result_group(
        self,
        failures: bool = False,
        wait: float = 0,
        count: int | None = None,
    ) -> list[Any]:
        """Give the results of this task's group, as the function `result_group`; [] without a group."""
        label = self._group()
        if label is None:
            return []
        return result_group(label, failures, wait, count, self._cached())

    def fetch_group(
        self,
        failures: bool = True,
        wait: float = 0,
        count: int | None = None,
    ) -> QuerySet[Task] | list[Task]:
        """Give the tasks of this task's group, as the function `fetch_group`; [] without a group."""
        label = self._group()
        if label is None:
            return []
        return fetch_group(label, failures, wait, count, self._cached())

    def _group(self) -> str | None:
        return split(self.kwargs)[0].group

    def _cached(self) -> Cached:
        return split(self.kwargs)[0].cached

    def _snapshot(self) -> Snapshot:
        return Snapshot().add([self.func]).add(self.args).add_keywords(self.kwargs)


Async = AsyncTask
