"""Plays a project's own tasks under the faults of many seeds, and tells the story of what breaks.

The functions are really called, in this process, one after another: what a fault does to them is that
they run again, run after their time, die in the middle, or have their outcome lost. A task that is not
safe to run twice is found that way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import attrs

from djq.core.call import Function, func_path
from djq.ports import TaskScope
from djq_testing.memory import MemoryTask
from djq_testing.sim.case import Case
from djq_testing.sim.faults import TASK_FAULTS, Violation
from djq_testing.sim.project import Given, Planned, call
from djq_testing.sim.shrink import OWN, Shrunken, shrink
from djq_testing.sim.simulator import Run, simulate
from djq_testing.sim.world import World

AS_THEY_COME: dict[str, Any] = {
    "receipts": True,
    "ack_failures": True,
    "timeout": None,
    "max_attempts": 1_000,
    "schedules": 0,
    **dict.fromkeys(TASK_FAULTS, 0.0),
}
"""What a project's tasks meet unless it says otherwise: they run until they have an outcome, and what
they do is the project's own doing."""


@attrs.frozen
class State:
    """What is left when all has come to its end."""

    _world: World

    @property
    def tasks(self) -> list[MemoryTask]:
        """The outcomes that are kept, oldest first; they have the attributes of a `Task`."""
        return self._world.store.tasks[::-1]

    @property
    def runs(self) -> Counter[str]:
        """How often runs were begun of each function, by its dotted path."""
        counted: Counter[str] = Counter()
        for id, runs in self._world.checker.runs.items():
            spec = self._world.checker.specs.get(id)
            if spec is not None and spec.given is not None:
                counted[spec.given.func] += len(runs)
        return counted

    def tasks_of(self, func: Function) -> list[MemoryTask]:
        """The outcomes of one function's calls."""
        path = func_path(func)
        return [task for task in self.tasks if task.func == path]


class Found(AssertionError):
    """A seed in which something does not hold; `run` is the shortest that was found."""

    def __init__(self, first: Run, shrunken: Shrunken) -> None:
        self.first = first
        self.run = shrunken.run
        case = self.run.case
        told = {name: value for name, value in case.changes.items() if name not in TASK_FAULTS}
        text = str(attrs.evolve(case, changes=told))
        again = f"to play it again: explore(..., seeds=[{text!r}])"
        story = "\n".join(shrunken.run.story)
        super().__init__(f"{self.run.failure}\n\nseed {first.seed}, shrunk:\n{story}\n{again}")


@attrs.frozen(kw_only=True)
class Explored:
    """What was played, when all of it held."""

    runs: int
    seconds: float
    """Simulated time that passed in all of them."""
    faults: int
    """Faults that struck."""


def explore(
    calls: Iterable[Planned | Function],
    *,
    schedules: Iterable[Mapping[str, Any]] = (),
    check: Callable[[State], object] | None = None,
    setup: Callable[[], object] | None = None,
    seeds: int | Iterable[int | str] = 100,
    takes: Mapping[Function, float] | None = None,
    scope: TaskScope = nullcontext,
    **changes: Any,
) -> Explored:
    """Play calls and schedules of a project under the faults of many seeds.

    The functions run in this process and on its database connections; broker and result store are
    in memory. What a function enqueues itself goes where the settings say.

    Args:
        calls: What is enqueued: `call(func, ...)`, `chain([...])`, `iterate(func, ...)`, or a function.
        schedules: What `scheduled(func, ...)` gives.
        check: Is called at the end of each run with its `State`, and raises AssertionError, or
            returns False, when something is not as it has to be.
        setup: Is called before each run: it puts back whatever the functions change.
        seeds: How many seeds, or which; also a case that an earlier failure printed.
        takes: Seconds that a function takes on the simulated clock; others are drawn.
        scope: Surrounds each run of a function, such as `djq.inline.savepoints` in a transaction.
        **changes: Fields of the scene and of the fault plan, such as `clusters=2` or `kill_worker=1.0`.

    Returns:
        What was played, if everything held.

    Raises:
        Found: In some seed something does not hold: the check, or a promise of djq.
        ValueError: There is no such field, or no such case.
    """
    given = Given(
        calls=[one if isinstance(one, Planned) else call(one) for one in calls],
        schedules=list(schedules),
        takes={func_path(func): seconds for func, seconds in (takes or {}).items()},
        scope=scope,
        setup=setup,
        check=None if check is None else _checked(check),
    )
    common = {**AS_THEY_COME, **changes}
    runs = [_play(case, given) for case in _cases(seeds, common)]
    return Explored(
        runs=len(runs),
        seconds=sum(run.seconds for run in runs),
        faults=sum(run.faults for run in runs),
    )


def _cases(seeds: int | Iterable[int | str], common: Mapping[str, Any]) -> Sequence[Case]:
    cases = []
    for seed in range(seeds) if isinstance(seeds, int) else seeds:
        case = Case.parse(seed) if isinstance(seed, str) else Case(seed=seed)
        cases.append(attrs.evolve(case, changes={**common, **case.changes}))
    return cases


def _play(case: Case, given: Given) -> Run:
    run = simulate(case, traced=False, given=given)
    if run.failure is not None:
        raise Found(run, shrink(run, given=given))
    return run


def _checked(check: Callable[[State], object]) -> Callable[[World], None]:
    def judge(world: World) -> None:
        try:
            answer = check(State(world))
        except AssertionError as error:
            raise Violation(f"{OWN}: {str(error) or 'the check fails'}") from error
        except Exception as error:
            raise Violation(f"{OWN}: the check raised {type(error).__name__}: {error}") from error
        if answer is False:
            raise Violation(f"{OWN}: the check says False")

    return judge
