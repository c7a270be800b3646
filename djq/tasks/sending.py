"""The documented functions that send: ask for a task.

Whatever can be found wrong with a task is found here, before anything is sent: an option, a call
that does not pickle, a size. What happens after that is an outcome, and never an error here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import transaction

from djq import assembly, inline
from djq.brokers import get_broker
from djq.components.sealing import seal_for
from djq.conf import get_config
from djq.core.call import dump_call, func_path
from djq.core.frame import pack
from djq.core.message import TaskMessage
from djq.core.names import name_of
from djq.core.options import Options, split
from djq.exceptions import TaskRefused
from djq.ports import Broker, Surroundings


def async_task(func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> str:
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
        cached: Not there yet.
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
    config = get_config()
    refuse_cached(config.cached if options.cached is None else options.cached)
    message = _message(func, args, keywords, options, assembly.surroundings())
    frame = pack(message)
    if config.sync if options.sync is None else options.sync:
        # A task that is too large for a queue is refused here too.
        assembly.make_codec(config).seal(frame)
        inline.run(frame)
        return message.id
    broker: Broker = get_broker() if options.broker is None else options.broker
    package = seal_for(broker, assembly.make_codec(config, broker.list_key), frame)
    if config.on_commit if options.on_commit is None else options.on_commit:
        _send_on_commit(broker, package)
    else:
        broker.enqueue(package)
    return message.id


def _message(
    func: Callable[..., Any] | str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: Options,
    around: Surroundings,
) -> TaskMessage:
    path = func_path(func)
    task_id = around.ids.task_id()
    return TaskMessage(
        id=task_id,
        name=name_of(task_id) if options.task_name is None else options.task_name,
        func=path,
        enqueued_at=around.clock.now(),
        body=dump_call(func, args, kwargs),
        timeout=options.timeout,
        group=options.group,
        hook=options.hook,
        save=options.save,
        max_attempts=options.max_attempts,
    )


def _send_on_commit(broker: Broker, package: str) -> None:
    """Send when the transaction of the default database has committed, and the broker's own too.

    Outside a transaction Django runs what is given to `on_commit` at once.
    """
    send: Callable[[], object] = partial(broker.enqueue, package)
    if broker.database is not None:
        send = partial(transaction.on_commit, send, using=broker.database)
    transaction.on_commit(send)


def refuse_cached(cached: float) -> None:
    if cached:
        raise TaskRefused(
            f"cached={cached!r} is not there yet: results are kept in the database; leave it out"
        )
