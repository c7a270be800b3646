"""The verbs by which a test lets things go wrong in a cluster in process."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from djq.core.lifecycle import Role
from djq_testing.local.durations import Duration, Durations
from djq_testing.local.stage import LocalStage
from djq_testing.local.troubles import Loss
from djq_testing.sim.spawn import SimProcess

ROLES: dict[str, Role | None] = {
    "command": None,
    **{role.value: role for role in (Role.SENTINEL, Role.PUSHER, Role.MONITOR, Role.SCHEDULER)},
    Role.WORKER.value: Role.WORKER,
}
WHOLE = "cluster"


class Faults:
    """Faults by one call each. They strike when time goes on; none of them moves the clock."""

    def __init__(self, stage: LocalStage) -> None:
        self._stage = stage
        self._durations = Durations()
        self._pauses: dict[int, tuple[float, float]] = {}
        """Until when a process was paused, and how long its task has still to run then, by its pid."""

    def takes(self, func: Callable[..., Any] | str, seconds: Duration) -> None:
        """Say how long each run of a task takes; without it none takes any time.

        The function is called at the end of that time. A run that is ended before, by its time limit
        or by a kill, has never called it.

        Args:
            func: The function, or its dotted path.
            seconds: A number; or a list of them for successive runs, whose last one stands for all
                later runs; or a function that is called with the positional arguments of the task
                (a hook's with none) and gives the number.

        Raises:
            ImportError, AttributeError: There is no such function.
            ValueError: These are no seconds.
        """
        self._durations.set(func, seconds)

    def kill(self, role: str, *, slot: int = 0, cluster: int = 1) -> None:
        """End a process at once, as SIGKILL does.

        Its parent notices and replaces it. What the process had sent before still arrives. A task
        may kill its own worker: nothing is then heard of the task's end.

        Args:
            role: `worker`, `pusher`, `monitor`, `scheduler`, `sentinel`, `command` (the process that
                was asked to run the cluster), or `cluster`: all of its processes, as when a machine
                loses its power. Nobody replaces those; see `start`.
            slot: Which of the workers, from 0.
            cluster: Which of the clusters that run, from 1.

        Raises:
            ValueError: There is no such process now; the message says which there are.
        """
        for process in self._find(role, slot, cluster):
            self._stage.die(process, -9, "the test")

    def pause(
        self, role: str, seconds: float | None = None, *, slot: int = 0, cluster: int = 1
    ) -> None:
        """Let a process stand still, as SIGSTOP does: it lives and does nothing.

        A task that it runs goes on when it does. A second pause takes the place of the first.

        Args:
            role: As for `kill`.
            seconds: For how long. None: until `resume`.
            slot: As for `kill`.
            cluster: As for `kill`.

        Raises:
            ValueError: There is no such process now, or the seconds are negative.
        """
        if seconds is not None and not seconds >= 0:  # no number at all is refused too
            raise ValueError(f"seconds is {seconds!r}; it must be 0 or more, or None")
        for process in self._find(role, slot, cluster):
            now = self._stage.timeline.now
            left = self._left_of(process)
            until = now + (inf if seconds is None else seconds)
            self._pauses[process.pid] = until, left
            process.ready_at = until + left
            self._stage.tell("pauses", f"{process.name}, for {until - now:g} s")
            self._stage.wake(process)

    def resume(self, role: str, *, slot: int = 0, cluster: int = 1) -> None:
        """Let a paused process go on; one that is not paused goes on anyway.

        Raises:
            ValueError: There is no such process now.
        """
        for process in self._find(role, slot, cluster):
            process.ready_at = self._stage.timeline.now + self._left_of(process)
            self._pauses.pop(process.pid, None)
            self._stage.tell("resumes", process.name)
            self._stage.wake(process)

    def drop_next(self, verb: str, *, error: Loss = None, times: int = 1) -> None:
        """Let the next call of a verb be lost, whoever makes it.

        A call for many packages or tasks at once is one call. Where queue and results share a
        database, saving and acknowledging are one transaction, which an error undoes as a whole.

        Args:
            verb: Of the broker `enqueue`, `dequeue`, `acknowledge`, `extend`, `release` or `fail`;
                of the result store `save`.
            error: What the caller sees. None: nothing was done, and it is told that all went well
                (`enqueue` gives no tracking id, `dequeue` nothing). `before`: nothing was done, and
                `BrokerUnavailable` or `StoreUnavailable` is raised. `after`: it was done, and the
                same is raised, since the answer was lost; of `dequeue` the packages are then hidden
                until their lease ends, and without receipts they are gone.
            times: How many calls.

        Raises:
            ValueError: There is no such verb or error.
        """
        self._stage.troubles.drop(verb, error, times)

    def broker_down(self, seconds: float) -> None:
        """Let the broker not answer for a while from now on: each verb raises BrokerUnavailable.

        That goes for the test's own `async_task` too. 0 seconds: it answers again.
        """
        self._stage.tell("takes away", f"the broker, for {seconds:g} s")
        self._stage.troubles.go_away("broker", seconds)

    def store_down(self, seconds: float) -> None:
        """Let the stores of results and schedules not answer for a while from now on.

        The cluster gets StoreUnavailable for each verb; what the test itself reads it can read.
        0 seconds: they answer again.
        """
        self._stage.tell("takes away", f"the stores, for {seconds:g} s")
        self._stage.troubles.go_away("store", seconds)

    def duplicate_next(self, times: int = 1) -> None:
        """Let the next package that is handed out come a second time, with a receipt of its own.

        Raises:
            ValueError: `times`, the number of packages, is not at least 1.
        """
        if times < 1:
            raise ValueError(f"times is {times!r}; it must be at least 1")
        self._stage.troubles.duplicates += times

    def _left_of(self, process: SimProcess) -> float:
        """Seconds that the task of a process has still to run, once it may."""
        now = self._stage.timeline.now
        until, left = self._pauses.get(process.pid, (now, 0.0))
        if until > now:
            return left
        return 0.0 if process.run is None else max(process.ready_at - now, 0.0)

    def _find(self, role: str, slot: int, cluster: int) -> list[SimProcess]:
        self._stage.timeline.follow()
        if role not in ROLES and role != WHOLE:
            raise ValueError(f"{role!r} is no role; there are {', '.join([*ROLES, WHOLE])}")
        numbers = sorted({process.cluster for process in self._stage.processes.values()})
        if not 1 <= cluster <= len(numbers):
            raise ValueError(f"there is no cluster {cluster}; {len(numbers)} are running")
        own = [p for p in self._stage.processes.values() if p.cluster == numbers[cluster - 1]]
        if role == WHOLE:
            return own
        found = [p for p in own if p.role is ROLES[role] and _slot(p) == slot]
        if not found:
            there = ", ".join(_called(process) for process in own)
            raise ValueError(f"there is no {role} in slot {slot} now; there are: {there}")
        # Of two generations in one seat the later one.
        return found[-1:]


def _slot(process: SimProcess) -> int:
    return 0 if process.child is None else process.child.slot


def _called(process: SimProcess) -> str:
    role = process.role
    if role is None:
        return "command"
    return f"worker {_slot(process)}" if role is Role.WORKER else role.value
