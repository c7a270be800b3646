"""The hand that lets faults happen: what strikes, while it may, and how long everything takes.

It counts the chances of each kind, so that a strike has a name, such as the third chance of a kind,
by which it can be asked for or left out when the story is told again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from djq_testing.sim.case import Case, Strike
from djq_testing.sim.faults import LATER, FaultPlan, KilledError

COPY_SECONDS_MAX = 4.0
START_SECONDS_MAX = 8.0
NEVER_STARTS_SECONDS = 65.0
"""A child that takes as long is taken for one that hangs."""
OFTEN_FULL = 0.2
"""How often there is not room for all that a worker is offered."""


class Middling(random.Random):
    """Whatever is drawn is the middle of what it could be, and of several things the first."""

    def random(self) -> float:
        return 0.5

    def choice(self, seq: Sequence[Any]) -> Any:  # type: ignore[override]  # of a sequence alone
        return seq[0]

    def randint(self, a: int, b: int) -> int:
        return (a + b) // 2


class Chaos:
    """Draws what strikes, while it is on, and counts what struck."""

    def __init__(self, rng: random.Random, plan: FaultPlan, case: Case) -> None:
        self.rng = Middling() if case.plain else rng
        self.plan = plan
        self.is_on = True
        self.hits: Counter[str] = Counter()
        """What struck, by its name. Empty: the world did nothing wrong."""
        self.struck: list[Strike] = []
        """Each strike of a kind of the plan, in order."""
        self.tell: Callable[[str], None] = lambda _kind: None
        """Is told of each strike, while it happens."""
        self._only = case.strikes
        self._rates: dict[str, float] = attrs.asdict(plan)
        self.chances: Counter[str] = Counter()
        """How often each kind could have struck, as far as that depends on how things go."""
        self._own = {name: random.Random(f"{name} strikes {case.seed}") for name in LATER}

    def strikes(self, name: str) -> bool:
        """Whether a fault of this kind strikes now; it is counted when it does."""
        rate = self._rates[name]
        if not self.is_on or rate == 0.0:
            return False
        self.chances[name] += 1
        strike = (name, self.chances[name])
        drawn = self._own.get(name, self.rng).random() < rate
        hit = drawn if self._only is None else strike in self._only
        if hit:
            self.has_struck(strike)
        return hit

    def allows(self, strike: Strike) -> bool:
        """Whether a strike that was drawn is among those that are played."""
        return self._only is None or strike in self._only

    def has_struck(self, strike: Strike) -> None:
        """Count a strike."""
        self.hits[strike[0]] += 1
        self.struck.append(strike)
        self.tell(strike[0])

    def crash(self) -> None:
        """A point at which the process may die."""
        if self.strikes("crash_point"):
            raise KilledError

    def sent(self, count: int) -> int | None:
        """How many of these messages leave before the sender dies. None: it lives."""
        return self.rng.randint(0, count) if self.strikes("crash_point") else None

    def room(self, count: int) -> int:
        """For how many of these messages there is room on offer."""
        return self.rng.randint(0, count) if self.rng.random() < OFTEN_FULL else count

    def copy_seconds(self) -> float:
        """How much later a package comes that is delivered a second time."""
        return self.rng.choice((0.0, self.rng.uniform(0.0, COPY_SECONDS_MAX)))

    def message_seconds(self) -> float:
        """How long a message takes."""
        if self.strikes("slow_message"):
            return self.rng.uniform(0.01, 3.0)
        return self.rng.uniform(0.00002, 0.0005)

    def start_seconds(self) -> float:
        """How long a process takes to start."""
        if self.strikes("slow_start"):
            own = self._own["slow_start"]
            return (
                NEVER_STARTS_SECONDS if own.random() < 0.1 else own.uniform(0.5, START_SECONDS_MAX)
            )
        return self.rng.uniform(0.001, 0.03)

    def step_seconds(self) -> float:
        """How long a step takes."""
        return self.rng.uniform(0.00002, 0.0005)

    def kill_seconds(self) -> float:
        """How long after the order a kill strikes."""
        return self.rng.uniform(0.0, 0.001)

    def notice_seconds(self) -> float:
        """How long after a death its parent learns of it."""
        return self.rng.uniform(0.0002, 0.01)
