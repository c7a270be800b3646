"""What becomes of a task: of its return, its worker's death, its overrun, its too many deliveries.

The rules, in one place:

- A success is saved and acknowledged.
- A failure is an outcome as good as any: saved and acknowledged. With `ack_failures` off it is left
  to the broker, which presents it again after the lease, until `max_attempts` is reached.
- A task that overran its time is a failure. It is not run again for that.
- A task whose worker died is handed back while the broker gives receipts and `max_attempts`
  allows; otherwise it is a failure that says how the worker died and how often it was tried.
- Where the broker does not count, nobody would know when to end: no task is tried a second time
  there. (One that takes its whole cluster along comes back by itself; nobody is left to judge.)
- A task that arrives with more than `max_attempts` deliveries has killed whole clusters: a failure.
"""

from __future__ import annotations

import pickle
import signal
from collections.abc import Iterable
from datetime import datetime

import attrs

from djq.core.call import load_value
from djq.core.message import Finished, Outcome, TaskMessage
from djq.core.protocol import Delivery, Verdict

EXIT_UNKNOWN = 256
"""In place of an exit code, of which there are 256: the process is gone, and nobody knows how."""

EXIT_ABANDONED = 257
"""In place of an exit code: the child is a thread, which nobody can end; nobody listens to it any more."""


@attrs.frozen(kw_only=True)
class Policy:
    """What the settings say about the ends of tasks."""

    receipts: bool
    """The broker keeps a package until it is acknowledged."""

    ack_failures: bool = True
    """A failed task counts as delivered."""

    max_attempts: int = 3
    """Deliveries of one task without an outcome before it is recorded as a failure."""

    timeout: float | None = None
    """Seconds for one run of a task that says nothing itself. None: no limit."""


def failure(line: str, now: datetime, seconds: float = 0.0, traceback: str = "") -> Outcome:
    """Make the outcome of a task that did not come to a result; `line` is what its reader sees."""
    return Outcome(False, pickle.dumps(line, 5), traceback, now, seconds)


def attempts_allowed(delivery: Delivery, policy: Policy) -> int:
    return policy.max_attempts if delivery.max_attempts is None else delivery.max_attempts


def time_allowed(delivery: Delivery, policy: Policy) -> float | None:
    """Seconds that this run may take. None: no limit."""
    return policy.timeout if delivery.timeout is None else delivery.timeout


def after_return(delivery: Delivery, outcome: Outcome, policy: Policy) -> Verdict:
    """What to do with a task that came back from its worker with an outcome, or overran its time."""
    if outcome.success or policy.ack_failures or not _may_come_again(delivery, policy):
        return Verdict.SAVE
    return Verdict.SAVE_AND_LEAVE


def runs_again_after_death(delivery: Delivery, policy: Policy) -> bool:
    """Whether a task whose worker died is handed back to the broker."""
    return _may_come_again(delivery, policy)


def death_line(delivery: Delivery, code: int) -> str:
    """The failure's line for a task whose worker died for good."""
    tried = _attempts(delivery.attempt) if delivery.counted else NOT_COUNTED
    return f"WorkerDied: worker died: {describe_exit(code)}, {tried}"


NOT_COUNTED = "and not tried again, since its broker does not count deliveries"
STOPPED_LINE = "WorkerDied: ended by the stop of its cluster, when stop_timeout had passed"


def timeout_line(seconds: float) -> str:
    return f"TaskTimedOut: timed out after {seconds:g} s"


def bare(message: TaskMessage) -> TaskMessage:
    """What is kept of a task that a store refuses, whatever came of it: which task it was."""
    return attrs.evolve(message, body=b"", group=None, hook=None)


STOPPED_LINK = "ChainStopped"


def stopped_line(message: TaskMessage) -> str:
    """The failure's line for a link that will not run, since this one before it failed."""
    return (
        f"{STOPPED_LINK}: not run, since link {message.place + 1} of {message.total} "
        f"({message.func}, task {message.id}) failed"
    )


def was_stopped(finished: Finished) -> bool:
    """Whether this is the failure of a link that never ran.

    A task may raise an error that is called so; but then it was delivered.
    """
    outcome = finished.outcome
    if outcome.success or finished.attempt:
        return False
    return str(load_value(outcome.value)).startswith(f"{STOPPED_LINK}: ")


def winners(batch: Iterable[Finished]) -> list[Finished]:
    """One outcome a task, in the order of ids: its first success, otherwise its last failure."""
    first: dict[str, Finished] = {}
    for finished in batch:
        earlier = first.get(finished.message.id)
        if earlier is None or not earlier.outcome.success:
            first[finished.message.id] = finished
    return [first[id] for id in sorted(first)]


def refusal_line(delivery: Delivery, policy: Policy) -> str | None:
    """Why this delivery must not be run any more. None: it may run."""
    if delivery.attempt <= attempts_allowed(delivery, policy):
        return None
    tried = _attempts(delivery.attempt - 1)
    return (
        f"TooManyAttempts: no outcome after {tried}: each time its cluster was gone before the end"
    )


def describe_exit(code: int) -> str:
    """Say how a process ended: `code` is its exit code, a signal's number being negative."""
    if code == EXIT_UNKNOWN:
        return "exit code unknown, since something else in its parent collected it"
    if code == EXIT_ABANDONED:
        return "its thread left to itself, since a thread cannot be killed"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"signal {-code}"


def _may_come_again(delivery: Delivery, policy: Policy) -> bool:
    counts = policy.receipts and delivery.counted
    return counts and delivery.attempt < attempts_allowed(delivery, policy)


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
