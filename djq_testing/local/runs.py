"""What was run: one `Run` for each time that a worker had a task in its hands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from djq.components.worker import Worker
from djq.core.call import load_call, load_value
from djq.core.frame import unpack
from djq.core.message import Kind, Outcome, TaskMessage
from djq.core.protocol import Delivery
from djq_testing.sim.faults import KilledError
from djq_testing.sim.spawn import SimProcess


@attrs.frozen(kw_only=True)
class Run:
    """One run of a task, from its beginning to its end; what came of it is told once it is over."""

    task_id: str
    """32 hex digits."""
    name: str
    """The task's name."""
    func: str
    """Dotted path of the function."""
    attempt: int
    """Which delivery this was, from 1."""
    worker: str
    """The worker's name in the log, such as `Process-1:1`."""
    started: datetime
    """When it began, by the clock of the test."""
    seconds: float
    """How long it took."""
    success: bool | None
    """False: it failed, or was ended at its time limit. None: its worker died, and it may run again."""
    error: str
    """Of a failure the line that says why, of a death who did it; empty for a success."""
    frame: bytes = attrs.field(repr=False)
    """The task as it travelled, packed."""
    value: bytes | None = attrs.field(repr=False)
    """What the function returned, pickled. None: it failed, or did not come to its end."""

    @property
    def message(self) -> TaskMessage:
        """The task as it travelled."""
        return unpack(self.frame)

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments. Of a hook there are none to be told."""
        return () if self.is_hook else load_call(self.message.body)[1]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments. Of a hook there are none to be told."""
        return {} if self.is_hook else load_call(self.message.body)[2]

    @property
    def result(self) -> Any:
        """What the function returned. None: it did not come to its end, or failed."""
        return None if self.value is None else load_value(self.value)

    @property
    def is_hook(self) -> bool:
        """It was a hook, called with a finished task."""
        return self.message.kind is Kind.HOOK


class LocalWorker(Worker):
    """The worker, with the outcome of its last task kept for whoever looks on."""

    process: SimProcess
    outcome: Outcome | None = None

    def run(self, delivery: Delivery) -> Outcome:
        """Run one task; if that has killed this very worker, nothing more is heard of it."""
        self.outcome = None
        outcome = super().run(delivery)
        if not self.process.is_alive:
            raise KilledError
        self.outcome = outcome
        return outcome
