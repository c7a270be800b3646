"""Simulated processes: what starts them, what ends them, and what is learnt of their ends.

A spawner here does what a fork does: it takes time, it may fail, the child may die before its first
step. A kill strikes a moment after it was ordered, so the victim may still say something; a death is
reported a moment after it happened, and by then all that the dead had sent has arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from djq.core.lifecycle import ChildId, Role
from djq.core.protocol import Delivery
from djq.ports import Component, Exit
from djq.runtime.orphans import ProcessOrphans
from djq_testing.sim.link import Channel, SimLink
from djq_testing.sim.timeline import SimClock

if TYPE_CHECKING:
    from djq_testing.sim.stage import Stage


@attrs.define(eq=False)
class TaskRun:
    """One task in the hands of one worker, from its beginning."""

    ticket: int
    delivery: Delivery
    began: float
    seconds: float
    """How long it will take, unless something ends it."""


@attrs.define(eq=False)
class SimProcess:
    """One process of the world."""

    pid: int
    name: str
    child: ChildId | None
    """None: the process that runs a cluster."""
    parent: SimProcess | None
    cluster: int
    clock: SimClock
    spawner: SimSpawner | None = None
    """Where its children's deaths are reported. None: it has no children."""
    component: Component | None = None
    """None: it has not started yet."""
    is_alive: bool = True
    links: list[SimLink] = attrs.Factory(list)
    ready_at: float = 0.0
    """When it can step again: a step takes time, and a task takes longer."""
    requested_at: float | None = None
    """When its next step is due. None: it waits for a message."""
    run: TaskRun | None = None
    """What it runs, if it is a worker."""
    is_doomed: bool = False
    """Its parent has ordered its end, which comes in a moment."""
    signals: int = 0
    """Stop signals that it has got."""
    idle_steps: int = 0
    """Steps in a row that asked for another at once and heard nothing."""

    @property
    def role(self) -> Role | None:
        return None if self.child is None else self.child.role


class SimSpawner:
    """Starts and ends the children of one process."""

    def __init__(self, stage: Stage, owner: SimProcess) -> None:
        self._stage = stage
        self._owner = owner
        self._children: dict[ChildId, SimProcess] = {}
        self._exits: list[Exit] = []

    def spawn(self, child: ChildId, label: str) -> SimLink:
        """Start a process. Raises OSError when the world has no room for another."""
        luck = self._stage.luck
        luck.crash()
        if luck.strikes("spawn_failure"):
            raise OSError("simulated: no room for another process")
        process = self._stage.bear(child, label, self._owner)
        down, up = Channel(self._stage, process), Channel(self._stage, self._owner)
        ours = SimLink(self._stage, self._owner, up, down)
        SimLink(self._stage, process, down, up)
        self._children[child] = process
        luck.crash()
        return ours

    def kill(self, child: ChildId) -> None:
        """End the child in a moment."""
        self._stage.aside()
        process = self._children.get(child)
        if process is not None:
            process.is_doomed = True
            seconds = self._stage.luck.kill_seconds()
            self._stage.timeline.after(seconds, self._stage.die, process, -9, "its parent")
        self._stage.aside()

    def exits(self) -> Sequence[Exit]:
        """The deaths reported since the last call."""
        self._stage.aside()
        exits, self._exits = self._exits, []
        for death in exits:
            self._children[death.child].links[0].outbox.hurry()
        self._stage.aside()
        return exits

    def forget(self, child: ChildId) -> None:
        """Forget an ended child."""
        self._stage.aside()
        del self._children[child]
        self._stage.aside()

    def report(self, child: ChildId, code: int) -> None:
        """The kernel tells of a death."""
        self._exits.append(Exit(child, code))


class SimOrphans:
    """Children of a dead sentinel, known by their pids."""

    fate = ProcessOrphans.fate

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._pids: list[int] = []

    def adopt(self, pids: Sequence[int]) -> None:
        """Remember them."""
        self._stage.aside()
        self._pids.extend(pids)
        self._stage.aside()

    def end(self) -> int:
        """End those that still live; gives how many that were."""
        self._stage.aside()
        found = [self._stage.processes.get(pid) for pid in self._pids]
        living = [process for process in found if process is not None]
        for process in living:
            self._stage.die(process, -9, "its command")
        self._pids.clear()
        self._stage.aside()
        return len(living)
