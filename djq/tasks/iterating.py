"""Many calls of one function that give one list of results (the manual, 1.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import attrs

from djq import assembly
from djq.core.call import dump_call, dump_value, func_path
from djq.core.composition import derived_id
from djq.core.frame import pack
from djq.core.gathering import iter_message
from djq.core.joined import ElementFailed
from djq.core.message import Finished, Outcome, TaskMessage
from djq.core.names import name_of
from djq.core.options import Options, split
from djq.exceptions import TaskRefused
from djq.ports import Broker
from djq.tasks.reading import fetch
from djq.tasks.road import Road
from djq.tasks.sending import Func, given_of, naming
from djq.tasks.snapshot import Snapshot

if TYPE_CHECKING:
    from djq.models import Task

T = TypeVar("T")


def async_iter(func: Func, args_iter: Iterable[Any], /, **kwargs: Any) -> str:
    """Call a function once for each element, and keep the list of what it returned as one result.

    Args:
        func: The function, or its dotted path.
        args_iter: Arguments for one call each: a tuple stands for several. Any iterable will do, and
            the list of results has its order.
        **kwargs: Keywords for the function, and options as of `async_task`. `hook` is ignored, as
            documented; `timeout` and `max_attempts` hold for each element; `group`, `save`,
            `task_name` and `cached` for the one result.

    Returns:
        The id of the result, for `result` and `fetch`. With no elements it is there at once. If an
        element fails, so has the whole; its result is a list all the same, which has for each failed
        element an `ElementFailed`, a text with the line that says why.

    Raises:
        TaskRefused: An element cannot be queued as it is; nothing was sent. The message says which.
        BrokerUnavailable: The broker did not take them. A queue in a database has none of them then.
    """
    options, keywords = split(kwargs)
    return send_iter(func, args_iter, keywords, options)


def send_iter(
    func: Func, elements: Iterable[Any], kwargs: Mapping[str, Any], options: Options
) -> str:
    """As `async_iter`, with the options taken out of the keywords."""
    road = Road.of(options)
    around = assembly.surroundings()
    iter_id = around.ids.task_id()
    first = TaskMessage(
        id=iter_id,
        name=name_of(iter_id) if options.task_name is None else options.task_name,
        func=func_path(func),
        enqueued_at=around.clock.now(),
        body=b"",
        timeout=options.timeout,
        group=options.group,
        save=options.save,
        max_attempts=options.max_attempts,
        cached=road.cached,
        iter=iter_id,
    )
    # What can be gone through twice is: so that no second copy of it all is held.
    bodies: Iterable[bytes] = _Bodies(func, elements, kwargs)
    if not isinstance(elements, Sequence):
        bodies = elements = list(bodies)
    if not elements:
        _keep_nothing(road, first, dump_call(func, (), kwargs))
        return iter_id
    first = attrs.evolve(first, total=len(elements))
    _refuse_oversized(road, first, bodies)
    road.send(pack(_element(first, place, body)) for place, body in enumerate(bodies))
    return iter_id


@attrs.frozen
class _Bodies:
    """The pickled calls of the elements; pickled each time that they are asked for."""

    func: Func
    elements: Iterable[Any]
    kwargs: Mapping[str, Any]

    def __iter__(self) -> Iterator[bytes]:
        for place, element in enumerate(self.elements):
            args = element if isinstance(element, tuple) else (element,)
            with naming("element", place):
                body = dump_call(self.func, args, self.kwargs)
            yield body


def _element(first: TaskMessage, place: int, body: bytes) -> TaskMessage:
    id = derived_id(first.id, f"element:{place}")
    return attrs.evolve(first, id=id, body=body, place=place)


def _refuse_oversized(road: Road, first: TaskMessage, bodies: Iterable[bytes]) -> None:
    """Refuse an element that is too large, or that does not pickle: nothing has been sent yet."""
    largest, its_place = b"", 0
    for place, body in enumerate(bodies):
        if len(body) >= len(largest):
            largest, its_place = body, place
        if road.config.compress:
            # The largest need not be the largest any more.
            _check(road, first, place, body)
    _check(road, first, its_place, largest)


def _check(road: Road, first: TaskMessage, place: int, body: bytes) -> None:
    with naming("element", place):
        road.check(pack(_element(first, place, body)))


def _keep_nothing(road: Road, message: TaskMessage, body: bytes) -> None:
    """Keep the result of no elements: there is no task that could bring it about."""
    outcome = Outcome(True, dump_value([]), "", message.enqueued_at, seconds=0.0)
    finished = Finished(iter_message(message, body), outcome, attempt=1)
    road.when_committed(lambda: assembly.make_store(road.config).save([finished]))


class Iter(Generic[T]):
    """The arguments of many calls of one function, and the list of results once they have run.

    A change of the function, the arguments, the keywords or an option makes the result void: there
    is none until it is run again.
    """

    func: Callable[..., T] | str | None
    args: list[Any]
    kwargs: dict[str, Any]
    cached: bool | float | None
    sync: bool | None
    broker: Broker | None
    id: str | None
    """The id of the result. None: it has not been run."""

    @overload
    def __init__(
        self: Iter[Any],
        func: str | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        cached: bool | float | None = None,
        sync: bool | None = None,
        broker: Broker | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self,
        func: Callable[..., T],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        cached: bool | float | None = None,
        sync: bool | None = None,
        broker: Broker | None = None,
    ) -> None: ...

    def __init__(
        self,
        func: Callable[..., T] | str | None = None,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        cached: bool | float | None = None,
        sync: bool | None = None,
        broker: Broker | None = None,
    ) -> None:
        """Make it; nothing is sent yet.

        Args:
            func: The function, or its dotted path.
            args: Arguments for one call each: a tuple stands for several.
            kwargs: Keywords for the function, and options as of `async_iter`.
            cached: Whether the result goes to the cache. None: as the setting says.
            sync: True runs the calls in `run`. None: as the setting says.
            broker: The broker to send by. None: this process' own.
        """
        self.func = func
        self.args = [] if args is None else list(args)
        self.kwargs = {} if kwargs is None else dict(kwargs)
        self.cached = cached
        self.sync = sync
        self.broker = broker
        self.id = None
        self._ran: Snapshot | None = None

    @property
    def started(self) -> bool:
        """Whether it has been run as it is now."""
        return self._ran is not None and self._ran == self._snapshot()

    def append(self, *args: Any) -> int:
        """Add the arguments of one more call; gives how many calls there are."""
        self.args.append(args)
        return len(self.args)

    def run(self) -> str:
        """Send the calls; gives the id of the result.

        Raises:
            TaskRefused: There is no function, or as by `async_iter`.
        """
        if self.func is None:
            raise TaskRefused("this Iter has no function; give one: Iter('math.floor', [1.5, 2.5])")
        options, keywords = split(self.kwargs)
        own = {"cached": self.cached, "sync": self.sync, "broker": self.broker}
        # The options are checked as any others; what is not set here leaves those of `kwargs`.
        options = attrs.evolve(options, **given_of(split(own)[0]))
        self.id = send_iter(self.func, self.args, keywords, options)
        self._ran = self._snapshot()
        self._cached = options.cached
        return self.id

    def result(self, wait: float = 0) -> list[T | ElementFailed]:
        """Give the list of results, in the order of the arguments.

        Without `wait` this never returns where no result will be kept: with `save=False`, with the
        setting `save_limit` below 0, or inside the transaction whose commit is to send the calls
        (`on_commit`, or a queue in that database).

        Args:
            wait: Most milliseconds to wait for it. 0 and -1: until it is there.

        Returns:
            For each element what its call returned, or an `ElementFailed`. Empty when it was not run
            as it is now, or the wait has ended.
        """
        task = self._fetch(wait)
        return [] if task is None else self._outcomes(task)

    def fetch(self, wait: float = 0) -> list[Task]:
        """Give a task object for each element, in the order of the arguments.

        Without `wait` this never returns where no result will be kept, as by `result`.

        Args:
            wait: Most milliseconds to wait for them. 0 and -1: until they are there.

        Returns:
            Unsaved tasks, which have the times of the whole; the one task that is stored is had by
            `fetch(iter.id)`. Empty when it was not run as it is now, or the wait has ended.
        """
        task = self._fetch(wait)
        if task is None:
            return []
        _options, keywords = split(self.kwargs)
        return [
            _task_of_element(task, place, args, keywords, outcome)
            for place, (args, outcome) in enumerate(
                zip(self.args, self._outcomes(task), strict=True)
            )
        ]

    def length(self) -> int:
        """Say how many calls there are."""
        return len(self.args)

    def _fetch(self, wait: float) -> Task | None:
        if self.id is None or not self.started:
            return None
        return fetch(self.id, wait or -1, self._cached)

    def _outcomes(self, task: Task) -> list[Any]:
        outcomes = task.result
        if isinstance(outcomes, list):
            return outcomes
        # They could not be kept together, and this line says why.
        return [ElementFailed(outcomes) for _ in self.args]

    def _snapshot(self) -> Snapshot:
        own = (self.func, self.cached, self.sync, self.broker)
        return Snapshot().add(own).add(self.args).add_keywords(self.kwargs)


def _task_of_element(
    whole: Task, place: int, element: Any, kwargs: Mapping[str, Any], outcome: Any
) -> Task:
    args = element if isinstance(element, tuple) else (element,)
    task = type(whole)(
        id=derived_id(whole.id, f"element:{place}"),
        name=whole.name,
        func=whole.func,
        group=whole.group,
        body=dump_call(whole.func, args, kwargs),
        value=dump_value(str(outcome) if isinstance(outcome, ElementFailed) else outcome),
        started=whole.started,
        stopped=whole.stopped,
        success=not isinstance(outcome, ElementFailed),
        place=place,
    )
    return task  # noqa: RET504 - named for what it is: unsaved
