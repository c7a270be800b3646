"""Finds a short run that breaks the same invariant as a long one.

First it looks in the smallest world that there is: one cluster, one worker, one task that just returns,
and one fault of each kind that had struck, at each chance that it has there. Most mistakes show there.
Otherwise the failing run is made smaller, as long as it fails: without settings, without tasks, without
faults, in halves first and then one by one (the delta debugging of Zeller and Hildebrandt).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from djq_testing.sim.case import Case, Strike
from djq_testing.sim.parts import Parts
from djq_testing.sim.scene import PLAINEST
from djq_testing.sim.simulator import Run, simulate

Item = TypeVar("Item")
Play = Callable[[Case], Run]

PLAYS_MAX = 1_500
SMALL_PLAYS_MAX = 600
ROUNDS_MAX = 3
SMALL: dict[str, Any] = {name: PLAINEST[name] for name in ("clusters", "workers", "stop_signals")}


@attrs.frozen
class Shrunken:
    """What came of it."""

    run: Run
    """The shortest run that was found."""
    plays: int
    """Runs that it took to find it."""

    def describe(self) -> str:
        """The story, and how to tell it again."""
        title = f"shrunk in {self.plays} runs:" if self.plays else "not shrunk:"
        replay = f"replay: python -m djq_testing.sim {self.run.case.options} --verbose"
        return "\n".join([title, *self.run.story, replay])


def shrink(run: Run, parts: Parts | None = None) -> Shrunken:
    """Find a short run that fails as this one did; the run itself if there is none.

    Raises:
        ValueError: It has not failed.
    """
    if run.failure is None:
        raise ValueError(f"seed {run.seed} has not failed; there is nothing to shrink")
    shrinker = Shrinker(run, lambda case: simulate(case, parts, traced=False))
    shrinker.shrink()
    return Shrunken(shrinker.best, shrinker.plays)


def invariant_of(failure: str | None) -> str | None:
    """The invariant that a failure names; other failures are all alike."""
    if failure is None:
        return None
    found = re.match(r"[A-Z]\d+", failure)
    return found[0] if found else "a crash"


class Shrinker:
    """Holds the best run so far, and tries smaller ones."""

    def __init__(self, run: Run, play: Play) -> None:
        self.best = run
        self.plays = 0
        self._play = play
        self._invariant = invariant_of(run.failure)

    def shrink(self) -> None:
        """Make the best run as small as it gets."""
        case = self.best.case
        if not self._finds_in_the_small():
            self._try(attrs.evolve(case, strikes=frozenset(self.best.struck)))
        for _ in range(ROUNDS_MAX):
            before = self.best.case
            self._plainer_scene()
            self._fewer_tasks()
            self._fewer_strikes()
            self._tame()
            self._try(attrs.evolve(self.best.case, plain=True))
            if self.best.case == before:
                return

    def _try(self, case: Case) -> bool:
        """Play a case; it is the best from now on if it fails as the first one did."""
        if case == self.best.case:
            return True
        if self.plays >= PLAYS_MAX:
            return False
        self.plays += 1
        run = self._play(case)
        if invariant_of(run.failure) != self._invariant:
            return False
        self.best = run
        return True

    def _finds_in_the_small(self) -> bool:
        first, kinds = self.best, sorted({kind for kind, _ in self.best.struck})
        plainest = {**first.case.changes, **PLAINEST}
        as_set = {**first.case.changes, **SMALL}
        for changes in (plainest, as_set):
            for number in self._suspects():
                only = frozenset((number,))
                case = attrs.evolve(
                    first.case,
                    changes=changes,
                    keep=only,
                    tame=only,
                    plain=True,
                    strikes=frozenset(),
                )
                for tame in (only, frozenset[int]()):
                    if self._finds_one_strike(attrs.evolve(case, tame=tame), kinds):
                        return True
        return False

    def _finds_one_strike(self, calm: Case, kinds: Sequence[str]) -> bool:
        if self._try(calm):
            return True
        chances = self._play(calm).chances
        for kind in kinds:
            for chance in range(1, chances.get(kind, 2) + 1):
                if self.plays >= SMALL_PLAYS_MAX:
                    return False
                if self._try(attrs.evolve(calm, strikes=frozenset({(kind, chance)}))):
                    return True
        return False

    def _suspects(self) -> list[int]:
        """The numbers of two tasks: the one that the failure names, and any."""
        numbers = self.best.numbers
        named = re.search(r"task (\d+)", self.best.failure or "")
        first = [int(named[1])] if named and int(named[1]) in numbers else []
        return [*first, *(number for number in numbers if number not in first)][:2]

    def _plainer_scene(self) -> None:
        for name, value in PLAINEST.items():
            if getattr(self.best.scene, name) != value:
                self._try_with(name, value)
        for fewer in range(1, self.best.scene.schedules):
            if self._try_with("schedules", fewer):
                break

    def _try_with(self, name: str, value: object) -> bool:
        case = self.best.case
        return self._try(attrs.evolve(case, changes={**case.changes, name: value}))

    def _fewer_tasks(self) -> None:
        def fails(numbers: Sequence[int]) -> bool:
            return self._try(attrs.evolve(self.best.case, keep=frozenset(numbers)))

        _fewer(self.best.numbers, fails)

    def _fewer_strikes(self) -> None:
        def fails(strikes: Sequence[Strike]) -> bool:
            return self._try(attrs.evolve(self.best.case, strikes=frozenset(strikes)))

        _fewer(sorted(set(self.best.struck)), fails)

    def _tame(self) -> None:
        for number in self.best.numbers:
            case = self.best.case
            self._try(attrs.evolve(case, tame=case.tame | {number}))


def _fewer(items: Sequence[Item], fails: Callable[[Sequence[Item]], bool]) -> None:
    """Leave out as many of the items as can be: all, then halves, quarters, single ones."""
    left = list(items)
    if not left or fails([]):
        return
    size = max(len(left) // 2, 1)
    while True:
        for rest in _without(left, size):
            if fails(rest):
                left = rest
                break
        else:
            if size == 1:
                return
            size = max(size // 2, 1)


def _without(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        rest = items[:start] + items[start + size :]
        if rest:
            yield rest
