"""The words that the boxes of a cluster say to one another over their links.

Every word is a frozen value of plain fields, so that a link can carry it between processes and a
test can compare it. The sentinel reads these words and nothing deeper: `Delivery.frame` and
`Outcome.value` pass through it unopened.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any

import attrs

from djq.core.message import Outcome
from djq.core.tally import NONE, Count


class Word:
    """Pickles as its class and its fields in order: half the cost of attrs' own way."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple([getattr(self, name) for name in self.__match_args__])


@attrs.frozen
class Delivery(Word):
    """A task in our hands, until its outcome is saved or it is handed back."""

    task_id: str
    name: str
    func: str
    timeout: float | None
    """Seconds for one run, as the task says. None: the cluster's."""
    max_attempts: int | None
    """As the task says. None: the cluster's."""
    receipt: str | None
    """What the broker wants back to acknowledge. None: the broker gives no receipts."""
    attempt: int
    """1 for the first delivery; counted by the broker."""
    frame: bytes
    """The packed `TaskMessage`, signature checked, body unopened."""
    counted: bool = True
    """False: the broker gives receipts and does not count, so `attempt` is 1 each time."""


class Verdict(enum.Enum):
    """What the monitor has to do with a task that is over for the sentinel."""

    SAVE = "save the outcome, then acknowledge"
    SAVE_AND_LEAVE = "save the outcome; the broker presents the task again after its lease"
    HAND_BACK = "give the task back to the broker, to be delivered again at once"
    HAND_BACK_UNBEGUN = "the same, and this delivery does not count: nothing of the task has run"

    @property
    def hands_back(self) -> bool:
        """The task goes back to the broker without an outcome."""
        return self in {Verdict.HAND_BACK, Verdict.HAND_BACK_UNBEGUN}


@attrs.frozen
class Settled(Word):
    """A delivery with what is to become of it. `outcome` is None when it is handed back."""

    ticket: int
    delivery: Delivery
    verdict: Verdict
    outcome: Outcome | None
    death: str = ""
    """How its worker died, where it is handed back for that. Empty: no worker did, or a stop ended it."""


# From the sentinel to every child, and from the command to the sentinel.


class StopLevel(enum.IntEnum):
    """How soon a stop has to end; each signal raises it by one."""

    GENTLE = 1
    """Work off what is in memory, then leave."""
    HASTY = 2
    """Finish what runs; what has not started is handed back."""
    AT_ONCE = 3
    """Everything ends now."""


@attrs.frozen
class Stop(Word):
    level: StopLevel


# From every child.


@attrs.frozen
class Ready(Word):
    pid: int


@attrs.frozen
class Health(Word):
    """Since when a service does not answer this child; said when that changes. None: it does."""

    broker: datetime | None = None
    store: datetime | None = None
    """The database or cache of results, or the database of schedules."""


# Pusher.


@attrs.frozen
class Credit(Word):
    """The pusher may fetch this many deliveries more."""

    count: int


@attrs.frozen
class Probe(Word):
    """Ask the pusher to say `Empty` after a fetch begun from now on that finds nothing."""

    serial: int


@attrs.frozen
class Empty(Word):
    serial: int


@attrs.frozen
class Deliveries(Word):
    items: tuple[Delivery, ...]


# Worker.


@attrs.frozen
class Assign(Word):
    """Run these, in this order: (ticket, delivery) pairs."""

    items: tuple[tuple[int, Delivery], ...]


@attrs.frozen
class Started(Word):
    ticket: int


@attrs.frozen
class Returned(Word):
    ticket: int
    outcome: Outcome


@attrs.frozen
class Retire(Word):
    """The worker wants to be replaced: it holds too much memory, say."""

    reason: str


# Monitor.


@attrs.frozen
class Keep(Word):
    items: tuple[Settled, ...]


@attrs.frozen
class Kept(Word):
    """These are saved, acknowledged or handed back: the sentinel may forget them."""

    tickets: tuple[int, ...]


@attrs.frozen
class Renew(Word):
    """Extend the leases of these receipts."""

    receipts: tuple[str, ...]


@attrs.frozen
class Renewed(Word):
    """Receipts that changed when their lease was extended: (old, new) pairs."""

    pairs: tuple[tuple[str, str], ...]


# From the sentinel to the command.


@attrs.frozen
class Running(Word):
    """A task that runs."""

    id: str
    name: str
    func: str
    """The dotted path of the function."""
    worker: int
    """The process id of the worker; the thread's, where workers are threads."""
    since: datetime
    """When it began, as the sentinel heard of it; aware, UTC."""
    attempt: int
    """1 for the first; counted by the broker."""


@attrs.frozen
class FuncTotal(Word):
    """Outcomes of one function that are kept; what is presented again counts each time."""

    func: str
    """The dotted path of the function; of those that are not told one by one, all together: "other"."""
    succeeded: int
    failed: int
    seconds: float
    """How long they ran in their workers, all together."""
    durations: tuple[int, ...]
    """How many of them took so long: a number for each of `totals.DURATION_BOUNDS`, and one for the rest.
    Each is in one of these only. Empty: written by a djq that has other bounds."""


@attrs.frozen
class Restarts(Word):
    """How many children were followed by another in their seat, by the reason: see `Cause`."""

    recycle: int = 0
    max_rss: int = 0
    timeout: int = 0
    death: int = 0
    start: int = 0
    stop: int = 0

    def __add__(self, other: Restarts) -> Restarts:
        ours, theirs = attrs.astuple(self), attrs.astuple(other)
        return Restarts(*[one + more for one, more in zip(ours, theirs, strict=True)])

    @property
    def total(self) -> int:
        """All together."""
        return sum(attrs.astuple(self))


NO_RESTARTS = Restarts()


@attrs.frozen
class Report(Word):
    """A picture of the cluster, each `guard_cycle` and whenever its state changes."""

    state: str
    """The name of a `ClusterState`."""
    idle: bool
    pids: tuple[tuple[str, int], ...]
    """(role, pid) of every living child."""
    task_queue: int
    result_queue: int
    reincarnations: int
    cut_short: bool
    """True once a stop had to end work before its time."""
    running: tuple[Running, ...] = ()
    """At most as many as the workers can run at a time, the oldest first."""
    ended: Count = NONE
    """Outcomes kept since this sentinel began."""
    health: Health = attrs.field(factory=Health)
    """The earliest that a child has said of each service."""
    counted: tuple[FuncTotal, ...] = ()
    """The same by function, since the last report that had any: at most once each `guard_cycle`. Whoever adds
    this up loses nothing with a sentinel."""
    restarts: Restarts | None = None
    """Since the last report. None: nobody was replaced, as a rule, and there is nothing to be sent."""
    at: float = attrs.field(default=0.0, eq=False)
    """When it was made, monotonic; says nothing of the cluster."""
