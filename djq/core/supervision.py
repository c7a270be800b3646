"""Who is alive, and what to do about it.

Each role has a number of seats, and in each seat lives one child after another: generations. This
module answers what happens to a child with its next state and the orders to carry out; the table is
in `lifecycle`. It does not know what a process is: `runtime.spawn` does.

A vacant seat is filled at once, with two exceptions. A child that could not even start, or a pusher
or monitor that ended within `SETTLED_SECONDS`, is followed after a pause that doubles each time, up
to `PAUSE_SECONDS_MAX`: what cannot live must not eat the machine. (A worker that was ready and then
died was killed by its task, and tasks have `max_attempts`.) And a seat whose role nobody wants any
more (a stop has begun) stays vacant.

A child that retires shares its seat with its successor: the successor starts first, the old one
finishes what it holds and leaves then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs

from djq.core.lifecycle import (
    CHILD_TRANSITIONS,
    Cause,
    ChildEvent,
    ChildId,
    ChildState,
    Order,
    Role,
    move,
)

SETTLED_SECONDS = 1.0
PAUSE_SECONDS_FIRST = 0.1
PAUSE_SECONDS_MAX = 10.0
START_SECONDS_MAX = 60.0


@attrs.define
class Child:
    """One living child."""

    id: ChildId
    number: int
    """The how-manieth child of this sentinel; the manual prints it as Process-1:number."""
    since: float
    """Monotonic seconds of its start."""
    state: ChildState = ChildState.STARTING
    pid: int | None = None
    """None until it said that it is ready."""
    kill_sent: bool = False


@attrs.define
class Vacancy:
    """A seat without a child that will work on."""

    due: float
    reason: str
    """How the last one ended; empty for the first generation."""
    cause: Cause | None = None
    """The same as one of a few words. None: the first generation."""


@attrs.frozen
class Hiring:
    """A child to be spawned now."""

    child: ChildId
    number: int
    reason: str
    cause: Cause | None

    @property
    def recycled(self) -> bool:
        """Whether the last one leaves on purpose."""
        return self.cause in {Cause.RECYCLE, Cause.MAX_RSS}


class Supervision:
    """The children of one sentinel: events in, orders out."""

    def __init__(self, seats: Mapping[Role, int]) -> None:
        self._seats = [(role, slot) for role, count in seats.items() for slot in range(count)]
        self.children: dict[ChildId, Child] = {}
        self._vacancies: dict[tuple[Role, int], Vacancy] = {
            seat: Vacancy(0.0, "") for seat in self._seats
        }
        self._generations = dict.fromkeys(self._seats, 0)
        self._short_lives = dict.fromkeys(self._seats, 0)
        self._numbers = 0

    def hire(self, now: float, wanted: Collection[Role]) -> list[Hiring]:
        """Fill the vacant seats of the wanted roles that are due; the caller spawns each."""
        hirings = []
        for seat, vacancy in list(self._vacancies.items()):
            role, slot = seat
            if role not in wanted or vacancy.due > now:
                continue
            del self._vacancies[seat]
            self._generations[seat] += 1
            self._numbers += 1
            child = ChildId(role, slot, self._generations[seat])
            self.children[child] = Child(child, self._numbers, now)
            hirings.append(Hiring(child, self._numbers, vacancy.reason, vacancy.cause))
        return hirings

    def pids(self) -> tuple[tuple[str, int], ...]:
        """(role, pid) of every child that has said that it is ready."""
        children = self.children.values()
        return tuple(
            (child.id.role.value, child.pid) for child in children if child.pid is not None
        )

    def ready(self, id: ChildId, pid: int) -> None:
        child = self.children[id]
        child.pid = pid
        self._apply(child, ChildEvent.READY)

    def stop(self, id: ChildId) -> bool:
        """The child shall leave; True when it has to be told so."""
        return Order.ASK_STOP in self._apply(self.children[id], ChildEvent.STOP)

    def retire(self, id: ChildId, now: float, reason: str, cause: Cause) -> None:
        """The child shall be replaced, its successor starting first."""
        child = self.children[id]
        if Order.SPAWN_NEXT in self._apply(child, ChildEvent.RETIRE):
            self._vacancies[id.role, id.slot] = Vacancy(now, reason, cause)

    def overdue(self, id: ChildId) -> bool:
        """The child must end now; True when it has to be killed (False: it was already)."""
        child = self.children[id]
        if child.kill_sent:
            return False
        child.kill_sent = Order.KILL in self._apply(child, ChildEvent.OVERDUE)
        return child.kill_sent

    def exited(self, id: ChildId, now: float, reason: str) -> Child:
        """The child is gone; its seat becomes vacant unless it was leaving."""
        child = self.children.pop(id)
        seat = (id.role, id.slot)
        started = child.state is not ChildState.STARTING
        if started and (id.role is Role.WORKER or now - child.since >= SETTLED_SECONDS):
            self._short_lives[seat] = -1
        killed = Cause.TIMEOUT if child.kill_sent else Cause.DEATH
        cause = killed if started else Cause.START
        if Order.SPAWN_NEXT in self._apply(child, ChildEvent.EXITED):
            self._vacancies[seat] = Vacancy(now + self._pause(seat), reason, cause)
        return child

    def unable(self, id: ChildId, now: float, reason: str) -> None:
        """The child could not even be spawned."""
        self.exited(id, now, reason)

    def reopen(self, role: Role, now: float) -> None:
        """Make every empty seat of a role vacant again: its children had left, and work came back."""
        taken = {(id.role, id.slot) for id in self.children}
        for seat in self._seats:
            if seat[0] is role and seat not in taken and seat not in self._vacancies:
                self._vacancies[seat] = Vacancy(now, "work came back", Cause.STOP)

    def late_starters(self, now: float) -> list[ChildId]:
        """Children that should have been ready long ago."""
        return [
            child.id
            for child in self.children.values()
            if child.state is ChildState.STARTING and now - child.since >= START_SECONDS_MAX
        ]

    def of(self, role: Role) -> list[Child]:
        """The living children of a role, oldest first."""
        return [child for child in self.children.values() if child.id.role is role]

    def next_due(self, wanted: Collection[Role]) -> float | None:
        """Monotonic seconds at which `hire` or `late_starters` has something new to say."""
        moments = [v.due for (role, _), v in self._vacancies.items() if role in wanted]
        moments += [
            child.since + START_SECONDS_MAX
            for child in self.children.values()
            if child.state is ChildState.STARTING and not child.kill_sent
        ]
        return min(moments, default=None)

    @property
    def all_ready(self) -> bool:
        """Every seat has a child that has said that it is ready."""
        return not self._vacancies and all(
            child.state is not ChildState.STARTING for child in self.children.values()
        )

    def _pause(self, seat: tuple[Role, int]) -> float:
        """Seconds to wait before a seat is filled again: none after a first early end."""
        lives = self._short_lives[seat]
        self._short_lives[seat] = lives + 1
        if lives <= 0:
            return 0.0
        return min(PAUSE_SECONDS_FIRST * 2.0 ** min(lives - 1, 20), PAUSE_SECONDS_MAX)

    def _apply(self, child: Child, event: ChildEvent) -> tuple[Order, ...]:
        child.state, orders = move(CHILD_TRANSITIONS, child.state, event)
        return orders
