"""The chains and iters of a simulated run: which of its tasks belong together, and how they are sent.

They are made of tasks that were drawn before, by numbers of their own, so that a run has the same
tasks whether some of them are bound together or none.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

import attrs

from djq.core.composition import derived_id
from djq.core.frame import pack
from djq.core.message import TaskMessage
from djq.core.names import name_of
from djq_testing.sim.case import Case
from djq_testing.sim.workload import Behaviour, TaskSpec, tamed

WITHOUT_ANY = 0.25
"""How many runs have neither."""
CHAIN_MAX = 5
ITER_MAX = 8


@attrs.frozen(kw_only=True)
class Chain:
    """Tasks of which each is sent when the one before has its outcome."""

    group: str
    """The label that its links share."""
    links: tuple[TaskSpec, ...]
    """In the order in which they run."""
    goes_on: bool
    """After a failed link too."""
    hands_on: bool
    """Each link gets the result of the one before as its first argument."""

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """What it is made of."""
        return self.links

    @property
    def at(self) -> float:
        """When the first link is enqueued."""
        return self.links[0].at

    def messages(self, now: datetime) -> list[TaskMessage]:
        """Write down the first link, which holds the others."""
        message, rest = None, b""
        for place, spec in reversed(list(enumerate(self.links))):
            message = attrs.evolve(
                spec.message(now),
                place=place,
                total=len(self.links),
                chain=derived_id(self.links[0].id, "chain"),
                rest=rest,
                goes_on=self.goes_on,
                hands_on=self.hands_on,
            )
            if self.has_in_its_group(spec):
                message = attrs.evolve(message, group=self.group)
            rest = pack(message)
        assert message is not None, "a chain has links"
        return [message]

    def describe(self) -> str:
        """Say what it is in a few words."""
        words = f"chain {_span(self.links)}"
        words += ", which goes on" if self.goes_on else ""
        return words + (", which hands on" if self.hands_on else "")

    def has_in_its_group(self, spec: TaskSpec) -> bool:
        """Whether the record of this link bears the label: what no store can keep is bare."""
        return spec.behaviour is not Behaviour.UNKEEPABLE


@attrs.frozen(kw_only=True)
class Iter:
    """Tasks that have one outcome together."""

    id: str
    """32 hex digits: what the one outcome is kept by."""
    elements: tuple[TaskSpec, ...]
    """In the order of their results."""

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """What it is made of."""
        return self.elements

    @property
    def at(self) -> float:
        """When all of it is enqueued."""
        return self.elements[0].at

    @property
    def group(self) -> str:
        """Its label."""
        return f"iter {self.id}" if self.is_keepable else "g" * 101

    @property
    def is_keepable(self) -> bool:
        """Whether a store can keep its outcome as it is."""
        return all(spec.behaviour is not Behaviour.UNKEEPABLE for spec in self.elements)

    def describe(self) -> str:
        """Say what it is in a few words."""
        return f"iter {_span(self.elements)}"

    def messages(self, now: datetime) -> list[TaskMessage]:
        """Write the elements down."""
        return [
            attrs.evolve(
                spec.message(now),
                name=name_of(self.id),
                group=self.group,
                hook=None,
                iter=self.id,
                place=place,
                total=len(self.elements),
            )
            for place, spec in enumerate(self.elements)
        ]


@attrs.frozen(kw_only=True)
class Single:
    """A task that belongs to nothing."""

    task: TaskSpec

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """What it is made of."""
        return (self.task,)

    @property
    def at(self) -> float:
        """When it is enqueued."""
        return self.task.at

    def messages(self, now: datetime) -> list[TaskMessage]:
        """Write it down."""
        return [self.task.message(now)]


Composition = Chain | Iter | Single


def draw_compositions(rng: random.Random, tasks: Sequence[TaskSpec]) -> list[Composition]:
    """Draw which of the tasks belong together: always some that follow one another."""
    has_some = rng.random() >= WITHOUT_ANY
    chains, iters = rng.uniform(0.0, 0.4), rng.uniform(0.0, 0.3)
    drawn: list[Composition] = []
    place = 0
    while place < len(tasks):
        kind = rng.random() if has_some else 1.0
        size_max = CHAIN_MAX if kind < chains else ITER_MAX
        members = tuple(tasks[place : place + rng.randint(2, size_max)])
        if kind < chains and len(members) > 1:
            drawn.append(
                Chain(
                    group=f"chain {place}",
                    links=members,
                    goes_on=rng.random() < 0.4,
                    hands_on=rng.random() < 0.5,
                )
            )
        elif kind < chains + iters:
            drawn.append(Iter(id=f"{rng.getrandbits(128):032x}", elements=members))
        else:
            members = members[:1]
            drawn.append(Single(task=members[0]))
        place += len(members)
    return drawn


def kept_of(drawn: Sequence[Composition], case: Case) -> list[Composition]:
    """What a case leaves of what was drawn; of a chain with one link the task alone."""
    kept: list[Composition] = []
    for one in drawn:
        tasks = tuple(
            tamed(spec) if spec.number in case.tame else spec
            for spec in one.tasks
            if case.keeps(spec.number)
        )
        if not tasks:
            continue
        match one:
            case Chain() if len(tasks) > 1:
                kept.append(attrs.evolve(one, links=tasks))
            case Iter():
                kept.append(attrs.evolve(one, elements=tasks))
            case _:
                kept.append(Single(task=tasks[0]))
    return kept


def _span(tasks: Sequence[TaskSpec]) -> str:
    return f"of the tasks {tasks[0].number} to {tasks[-1].number}"
