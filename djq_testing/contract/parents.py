"""What the runtime contract stands on: a parent as its tests see it, and the fixtures to fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import pytest

from djq.core.lifecycle import ChildId, Role
from djq.ports import Clock, Component, Exit, Link, Spawner
from djq.runtime.clock import SystemClock

SECONDS_MAX = 20.0
"""How long a test waits for what has to come."""
A_WHILE = 0.05
"""How long a test looks out for what must not come."""
PIECES = [number.to_bytes(2, "big") * 32_768 for number in range(64)]
"""Four MiB, more than a pipe holds."""

Make = Callable[[ChildId, str, Link], Component]
"""Makes what runs in a child."""


class Runtime(Protocol):
    """One parent, and what it needs to have children."""

    spawner: Spawner

    def run(self, until: Callable[[], object], seconds: float) -> bool:
        """Let the parent and its children go on until `until` holds; False: not in so many seconds.

        `until` is asked in the parent, at first and whenever a wait of the parent has ended because
        something came. It is not asked when the seconds are over: what came unnoticed is too late.
        """
        ...

    def leave(self, child: ChildId, link: Link) -> bool:
        """Let the parent go without a word; False: the child is still there SECONDS_MAX later."""
        ...


MakeRuntime = Callable[[Make], Runtime]


def seat(slot: int = 0, generation: int = 1) -> ChildId:
    """A worker's place: of workers there are many, and they are made offers."""
    return ChildId(Role.WORKER, slot, generation)


class Parent:
    """The parent's side of a test: who was spawned, what was heard and who has ended."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.spawner = runtime.spawner
        self.exits: list[Exit] = []

    def hears(self, link: Link, count: int) -> list[Any]:
        """What is said from now on, as soon as it is as many messages as these."""
        heard: list[Any] = []

        def has_heard() -> bool:
            heard.extend(link.receive())
            return len(heard) >= count

        assert self.runtime.run(has_heard, SECONDS_MAX), f"{len(heard)} messages of {count} came"
        return heard

    def buries(self, count: int = 1) -> list[Exit]:
        """All exits told so far, when there are as many as these."""

        def has_learnt() -> bool:
            self.exits += self.spawner.exits()
            return len(self.exits) >= count

        assert self.runtime.run(has_learnt, SECONDS_MAX), f"{len(self.exits)} exits of {count}"
        return self.exits

    def waits(self) -> None:
        """Let a while pass."""
        self.runtime.run(lambda: False, A_WHILE)

    def hears_the_end(self, link: Link) -> list[Any]:
        """All that still comes, until the link says that there will be no more."""
        heard: list[Any] = []

        def is_over() -> bool:
            heard.extend(link.receive())
            return link.ended

        assert self.runtime.run(is_over, SECONDS_MAX), "the link did not end"
        return heard


class RuntimeFixtures:
    """The holes of the contract, and what the tests hold in their hands."""

    offers: ClassVar[bool] = True
    """There can be room for what is offered."""

    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        """Make a runtime whose children run what `make(child, label, link)` gives."""
        raise NotImplementedError(f"{type(self).__name__} must define the fixture make_runtime")

    @pytest.fixture
    def clock(self) -> Clock:
        """The clock that children measure with."""
        return SystemClock()

    def only(self, make_runtime: MakeRuntime, make: Make) -> tuple[Parent, Link]:
        """A parent with one child."""
        parent = Parent(make_runtime(make))
        return parent, parent.spawner.spawn(seat(), "Process-1:1")
