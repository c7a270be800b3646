"""Runs the user's functions, one at a time, and says what came of each.

Each task takes two steps: one that tells the sentinel that it begins, one that runs it. Whoever
drives the worker can therefore stand between the two; the simulator lets time pass there. Outcomes
are sent together with the next beginning, in one write, before any user code runs: when a worker is
killed, the sentinel knows exactly what it had finished and what it had started.
"""

from __future__ import annotations

import traceback as tracebacks
from collections import deque
from collections.abc import Callable
from typing import Any

from djq.core import call
from djq.core.events import ChildStopped
from djq.core.frame import unpack
from djq.core.lifecycle import Role
from djq.core.message import (
    ERROR_CHARACTERS_MAX,
    TRACEBACK_CHARACTERS_MAX,
    Finished,
    Kind,
    Outcome,
    cut,
)
from djq.core.protocol import Assign, Delivery, Ready, Retire, Returned, Started, Stop, StopLevel
from djq.core.report import report_facts
from djq.core.settlement import failure
from djq.ports import Link, Surroundings, TaskScope, Wait


class Worker:
    """Steps through the deliveries that the sentinel assigns to it."""

    def __init__(
        self,
        *,
        link: Link,
        around: Surroundings,
        scope: TaskScope,
        present: Callable[[Finished], object],
        label: str,
        pid: int,
        max_payload: int,
        memory: Callable[[], float] | None = None,
        memory_max: float | None = None,
    ) -> None:
        """`present` makes the object that hooks get; `memory` gives MiB, `memory_max` their limit."""
        self._link = link
        self._around = around
        self._scope = scope
        self._present = present
        self._label = label
        self._pid = pid
        self._max_payload = max_payload
        self._memory = memory
        self._memory_max = memory_max
        self._assigned: deque[tuple[int, Delivery]] = deque()
        self._outbox: list[object] = []
        self._raised: tuple[BaseException, Delivery] | None = None
        """What the last task failed with, until its outcome is on its way."""
        self._stop: StopLevel | None = None
        self._greeted = False
        self.current: tuple[int, Delivery] | None = None
        """The task that the next step runs. None: nothing has begun."""

    def step(self) -> Wait | None:
        """Begin a task or run it. None: told to leave, and done; or the sentinel is gone."""
        if not self._greeted:
            self._greeted = True
            self._link.send(Ready(self._pid))
        if self.current is not None:
            self._finish(self.current)
            self.current = None
        self._hear()
        if self._link.ended:
            return None
        goes_on = self._stop in (None, StopLevel.GENTLE)
        if goes_on and not self._assigned:
            offered = self._link.take()
            if offered is not None:
                self._assigned.append(offered)
        if self._assigned and goes_on:
            self.current = self._assigned.popleft()
            self._outbox.append(Started(self.current[0]))
        self._link.send(*self._outbox)
        self._outbox.clear()
        self._report()
        if self.current is not None:
            return Wait(0.0)
        if self._stop is not None:
            self._around.observer.notify(ChildStopped(Role.WORKER, self._label, self._pid))
            return None
        return Wait(None)

    def _hear(self) -> None:
        for message in self._link.receive():
            match message:
                case Assign(items):
                    self._assigned.extend(items)
                case Stop(level):
                    self._stop = level

    def _finish(self, current: tuple[int, Delivery]) -> None:
        ticket, delivery = current
        self._outbox.append(Returned(ticket, self.run(delivery)))
        if self._memory is not None and self._memory_max is not None:
            used = self._memory()
            if used > self._memory_max:
                self._memory_max = None
                self._outbox.append(Retire(f"{used:.0f} MiB of memory in use"))

    def _report(self) -> None:
        """Hand over the error of a task, now that no report can keep its outcome back."""
        raised, self._raised = self._raised, None
        reporter = self._around.reporter
        if raised is not None and reporter is not None:
            error, delivery = raised
            reporter.report(error, report_facts(unpack(delivery.frame), delivery.attempt))

    def run(self, delivery: Delivery) -> Outcome:
        """Run one task to its outcome: whatever the function does short of ending the process."""
        clock = self._around.clock
        began = clock.monotonic()
        try:
            with self._scope():
                value = self._call(delivery)
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like are outcomes too
            if self._around.reporter is not None:
                self._raised = error, delivery
            line, trace = describe_error(error)
            return failure(line, clock.now(), clock.monotonic() - began, trace)
        return Outcome(True, value, "", clock.now(), clock.monotonic() - began)

    def _call(self, delivery: Delivery) -> bytes:
        message = unpack(delivery.frame)
        function: Callable[..., Any]
        if message.kind is Kind.HOOK:
            finished = call.load_value(message.body)
            call.resolve(message.func)(self._present(finished))
            return call.dump_value(None)
        target, args, kwargs = call.load_call(message.body)
        function = call.resolve(target) if isinstance(target, str) else target
        value = call.dump_value(function(*args, **kwargs))
        if len(value) > self._max_payload:
            raise call.ResultTooLarge(
                f"the result has {len(value):,} bytes, more than the {self._max_payload:,} that "
                "max_payload in Q_CLUSTER allows; return a reference to the data instead "
                "(a primary key, a file name)"
            )
        return value


def describe_error(error: BaseException) -> tuple[str, str]:
    """Give the one line `ExceptionClass: message` and the traceback, both cut to their bounds.

    Works for exceptions that cannot be printed.
    """
    try:
        text = _message_of(error)
    except BaseException as second:  # noqa: BLE001 - the user's __str__ may raise anything
        text = f"(its message cannot be had: {type(second).__name__})"
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    try:
        trace = "".join(tracebacks.format_exception(error))
    except BaseException as second:  # noqa: BLE001 - as above
        trace = f"(the traceback cannot be had: {type(second).__name__})"
    one_line = " ".join(line.splitlines())
    return cut(one_line, ERROR_CHARACTERS_MAX), cut(trace, TRACEBACK_CHARACTERS_MAX)


def _message_of(error: BaseException) -> str:
    """Give the exception's own message; those that say too little by themselves get a sentence."""
    text = str(error)
    match error:
        case SystemExit():
            return f"{text} (the function asked its process to exit)".lstrip()
        case KeyboardInterrupt() if not text:
            return "the function was interrupted"
        case MemoryError() if not text:
            return "the worker's process got no more memory"
    return text
