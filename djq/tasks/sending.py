"""The documented functions that send: ask for a task, or for many.

Whatever can be found wrong with a task is found here, before anything is sent: an option, a call
that does not pickle, a size. What happens after that is an outcome, and never an error here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from typing import Any

import attrs

from djq import assembly
from djq.core.call import dump_call, func_path
from djq.core.frame import pack
from djq.core.message import TaskMessage
from djq.core.names import name_of
from djq.core.options import OF_THE_ROAD, Options, split
from djq.exceptions import TaskRefused
from djq.tasks.road import Road

Func = Callable[..., Any] | str
Call = Func | Sequence[Any]
"""A function, or (function,), (function, args), (function, args, kwargs)."""

_places = count()
PLACES = 2**31


def async_task(func: Func, /, *args: Any, **kwargs: Any) -> str:
    """Put a task in the queue: `func` is called by a worker with the arguments that follow.

    Args:
        func: The function, or its dotted path; one that a worker can find again by its module and
            name.
        *args: Positional arguments for the function; they are pickled.
        **kwargs: Keyword arguments for the function, and the options below. Options may be put
            into one dict, `q_options`, instead: they come from it alone then, and every other
            keyword goes to the function.

    Keyword Args:
        hook: Function, or its dotted path, to call with the finished task, in a worker.
        group: Label of a group of tasks, at most 100 characters.
        save: Whether a success is kept; by default as `save_limit` says. Failures always are.
        timeout: Seconds that one run may take; by default the cluster's own.
        sync: True runs the task here and now; by default as the setting `sync` says.
        cached: True keeps the outcome in the cache instead of the database, a number for so many
            seconds; by default as the setting `cached` says.
        broker: The broker to send by; by default this process' own, which is kept open.
        task_name: Name of the task, 1 to 100 characters; by default four words.
        on_commit: True sends it when the present transaction commits, and not at all when that is
            rolled back; by default as the setting `on_commit` says.
        max_attempts: Deliveries without an outcome before it is recorded as failed.

    Returns:
        The task's id, 32 hex digits.

    Raises:
        TaskRefused: The task cannot be queued as it is; nothing was sent. The caller's mistake.
        BrokerUnavailable: The broker did not take it.
    """
    options, keywords = split(kwargs)
    road = Road.of(options)
    message = message_of(func, args, keywords, options, road.cached)
    road.send([pack(message)])
    return message.id


def async_tasks(calls: Iterable[Call], /, **options: Any) -> list[str]:
    """Put many tasks in the queue at once: hundreds cost one round trip to the broker.

    Args:
        calls: What is to be called, each as in a chain: a function, or (function, args, kwargs)
            with the latter two left out or not. The kwargs may have options of their own.
        **options: Options as of `async_task`, for all of them; those of a call win. `sync`, `broker`
            and `on_commit` can only be given here.

    Returns:
        The ids of the tasks, in order.

    Raises:
        TaskRefused: One of them cannot be queued as it is; nothing was sent. The message says which. Where
            only the broker's server knows that it takes no such task, others may have been sent by then:
            the error has their places, as `sent`.
        BrokerUnavailable: The broker did not take them. A queue in a database has none of them then;
            another may have some, if they are more than fit in one call. It says how many, and has the
            places of those that surely were sent, as `sent`.
    """
    common, rest = split(options)
    if rest:
        raise TaskRefused(
            f"{', '.join(rest)}: no option of async_tasks; keywords of the functions belong into "
            "their calls, as in [(func, args, kwargs)]"
        )
    road = Road.of(common)
    now = assembly.surroundings().clock.now()
    messages = []
    for number, call in enumerate(calls):
        with naming("call", number):
            func, args, own, keywords = read_call(call)
            chosen = attrs.evolve(common, **given_of(own))
            cached = road.cached if own.cached is None else own.cached
            messages.append(message_of(func, args, keywords, chosen, cached, now=now))
    if any(message.cached for message in messages):
        assembly.refuse_unshared_cache(road.config, sync=road.broker is None)
    frames = [pack(message) for message in messages]
    for number, frame in enumerate(frames):
        with naming("call", number):
            road.check(frame)
    road.send(frames)
    return [message.id for message in messages]


@contextmanager
def naming(part: str, number: int) -> Iterator[None]:
    """Let a refusal say which of many it is about."""
    try:
        yield
    except TaskRefused as error:
        raise TaskRefused(f"{part} {number}: {error}") from error


def read_call(call: Call) -> tuple[Func, tuple[Any, ...], Options, dict[str, Any]]:
    """Take a call of a list apart: function, arguments, its own options, keywords.

    Raises:
        TaskRefused: It has another form, or an option that is not for a single call.
    """
    func, args, kwargs = parts_of(call)
    if not isinstance(args, tuple | list) or not isinstance(kwargs, Mapping):
        raise TaskRefused(
            f"{call!r:.200} is no call; its arguments must be a tuple and its keywords a dict, as in "
            "('math.pow', (2, 3), {})"
        )
    options, keywords = split(kwargs)
    for key in OF_THE_ROAD:
        if getattr(options, key) is not None:
            raise TaskRefused(
                f"the option {key} is for all calls together, and not for a single one"
            )
    return func, tuple(args), options, keywords


def parts_of(call: Call) -> tuple[Any, Any, Any]:
    """A call as function, arguments and keywords, whatever these are.

    Raises:
        TaskRefused: It is neither a function nor a sequence of one to three parts.
    """
    match call:
        case str():
            return call, (), {}
        case [func]:
            return func, (), {}
        case [func, args]:
            return func, args, {}
        case [func, args, kwargs]:
            return func, args, kwargs
        case _ if callable(call):
            return call, (), {}
    raise TaskRefused(
        f"{call!r:.200} is no call; write (func, args, kwargs), the latter two may be left out"
    )


def given_of(options: Options) -> dict[str, Any]:
    """The options that are set."""
    return {
        key: value
        for key, value in attrs.asdict(options, recurse=False).items()
        if value is not None
    }


def message_of(
    func: Func,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
    cached: bool | float,
    *,
    now: datetime | None = None,
    task_id: str | None = None,
) -> TaskMessage:
    """Write a call down.

    Raises:
        TaskRefused: The function is none, or something of the call does not pickle.
    """
    around = assembly.surroundings()
    path = func_path(func)
    id = around.ids.task_id() if task_id is None else task_id
    return TaskMessage(
        id=id,
        name=name_of(id) if options.task_name is None else options.task_name,
        func=path,
        enqueued_at=around.clock.now() if now is None else now,
        body=dump_call(func, args, kwargs),
        timeout=options.timeout,
        group=options.group,
        hook=options.hook,
        save=options.save,
        max_attempts=options.max_attempts,
        cached=cached,
        # Of two calls at one moment, by a clock that stands still say, the first comes first.
        place=next(_places) % PLACES,
    )
