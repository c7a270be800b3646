"""A case: a seed, and what of its run is otherwise than it draws. As a text it can be played again.

`seed=7 clusters=1 keep=0+3 tame=3 strikes=crash_point:12+kill_worker:1 plain` is seed 7 with one
cluster, of whose tasks only two come, one of them without its misbehaviour; of all faults only the
twelfth possible crash and the first death of a worker strike; and everything takes its middling time.
`plainest` is a scene with nothing special about it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from djq_testing.sim.faults import FaultPlan
from djq_testing.sim.scene import PLAINEST, Scene

Strike = tuple[str, int]
"""A fault that struck: its kind, and the how-manieth chance of that kind it was, from 1."""

SCENE_FIELDS = frozenset(attrs.fields_dict(Scene))
FAULT_FIELDS = frozenset(attrs.fields_dict(FaultPlan))


@attrs.frozen(kw_only=True)
class Case:
    """What is played."""

    seed: int
    """The number that everything else follows from."""
    changes: Mapping[str, Any] = attrs.field(factory=dict)
    """Fields of the scene and of the fault plan that are otherwise than drawn, by their names."""
    keep: frozenset[int] | None = None
    """The numbers of the tasks that come. None: all."""
    tame: frozenset[int] = frozenset()
    """The numbers of those that just return, with nothing special about them."""
    strikes: frozenset[Strike] | None = None
    """The faults that strike, and no others. None: as drawn."""
    plain: bool = False
    """Whatever takes a random time takes a middling one."""

    def __attrs_post_init__(self) -> None:
        unknown = self.changes.keys() - SCENE_FIELDS - FAULT_FIELDS
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: no field of the scene or fault plan")

    @classmethod
    def of(cls, what: Case | int) -> Case:
        """Take a bare seed for the case that changes nothing."""
        return what if isinstance(what, Case) else cls(seed=what)

    @classmethod
    def parse(cls, text: str) -> Case:
        """Read what `str` has written.

        Raises:
            ValueError: It is no case.
        """
        known: dict[str, Any] = {}
        changes: dict[str, Any] = {}
        for word in text.split():
            name, _, value = word.partition("=")
            match name:
                case "seed":
                    known[name] = int(value)
                case "keep" | "tame":
                    known[name] = frozenset(int(number) for number in _parts(value))
                case "strikes":
                    known[name] = frozenset(_strike(part) for part in _parts(value))
                case "plain":
                    known[name] = True
                case "plainest":
                    changes |= PLAINEST
                case _:
                    changes[name] = read_value(value)
        if "seed" not in known:
            raise ValueError(f"{text!r} has no seed; a case begins with seed=NUMBER")
        return cls(changes=changes, **known)

    def __str__(self) -> str:
        words = [f"seed={self.seed}"]
        changes = dict(self.changes)
        if changes.items() >= PLAINEST.items():
            words.append("plainest")
            changes = {name: value for name, value in changes.items() if name not in PLAINEST}
        words += [f"{name}={value}" for name, value in changes.items()]
        if self.keep is not None:
            words.append(f"keep={_joined(sorted(self.keep))}")
        if self.tame:
            words.append(f"tame={_joined(sorted(self.tame))}")
        if self.strikes is not None:
            strikes = (f"{kind}:{chance}" for kind, chance in sorted(self.strikes))
            words.append(f"strikes={_joined(strikes)}")
        return " ".join([*words, "plain"] if self.plain else words)

    @property
    def options(self) -> str:
        """What the command line takes to play it."""
        bare = self == Case(seed=self.seed)
        return f"--seed {self.seed}" if bare else f"--case '{self}'"

    def of_scene(self) -> dict[str, Any]:
        """The changes of the scene."""
        return {name: value for name, value in self.changes.items() if name in SCENE_FIELDS}

    def of_faults(self) -> dict[str, Any]:
        """The changes of the fault plan."""
        return {name: value for name, value in self.changes.items() if name in FAULT_FIELDS}

    def keeps(self, number: int) -> bool:
        """Whether the task of this number comes."""
        return self.keep is None or number in self.keep


def read_value(text: str) -> Any:
    """Read the value of a field: a number, True, False or None.

    Raises:
        ValueError: It is neither.
    """
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        value = text
    if value is not None and not isinstance(value, int | float):
        raise ValueError(f"{text!r} is no value; write a number, True, False or None")
    return value


def _parts(text: str) -> list[str]:
    return [part for part in text.split("+") if part]


def _joined(parts: Iterable[object]) -> str:
    return "+".join(str(part) for part in parts)


def _strike(text: str) -> Strike:
    kind, _, chance = text.rpartition(":")
    if kind not in FAULT_FIELDS:
        raise ValueError(f"{kind!r} is no kind of fault")
    return kind, int(chance)
