"""The tasks of a simulated run: real functions in real packages, and what each of them will do.

A task's number stands for its behaviour. The function asks the stage, which is the world that
presently steps, what its number means; so what is pickled, signed, sent and called is what a user's
task would be.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import random
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

import attrs

from djq.core.call import dump_call
from djq.core.codec import Codec
from djq.core.frame import pack
from djq.core.message import TaskMessage
from djq.core.names import name_of
from djq.exceptions import BadPackage
from djq_testing.clock import SeededIds
from djq_testing.sim.faults import FaultPlan
from djq_testing.sim.scene import Scene

WORK = "djq_testing.sim.workload.work"
FOLLOW = "djq_testing.sim.workload.follow"
TAME_SECONDS = 1.0
ALWAYS = 1_000
"""More runs than any task has."""


class Stage(Protocol):
    """Where tasks run."""

    def perform(self, number: int, handed: tuple[object, ...]) -> int:
        """Do what the task of this number does, given what the link before has handed on to it."""
        ...

    def followed(self, task_id: str) -> None:
        """The hook of this task was called."""
        ...

    def ticked(self, when: str) -> int:
        """A task of a schedule runs."""
        ...


STAGE: ContextVar[Stage] = ContextVar("STAGE")


def work(*arguments: Any) -> int:
    """Run as the task of a simulated run: its number comes last, what was handed on before it."""
    return STAGE.get().perform(arguments[-1], arguments[:-1])


def tick(*_arguments: Any, when: str) -> int:
    """Run as the task that a simulated schedule has made for this time."""
    return STAGE.get().ticked(when)


def follow(task: object) -> None:
    """Run as the hook of a simulated run."""
    STAGE.get().followed(str(getattr(task, "id", None)))


class Behaviour(enum.Enum):
    """What a task does."""

    RETURNS = "returns"
    RAISES = "raises an error"
    FALTERS = "raises an error when it runs for the first time"
    RELAPSES = "raises an error when it runs again"
    LEAVES = "raises SystemExit"
    GARBLED = "has a body that does not unpickle"
    GRAZES = "takes just about its time limit"
    OVERRUNS = "takes far longer than its time limit"
    KILLS = "ends its own worker"
    UNKEEPABLE = "has a group that no store can keep"
    SCHEDULED = "was made by a schedule"


ERRORS = {
    Behaviour.RAISES: ALWAYS,
    Behaviour.FALTERS: 1,
    Behaviour.LEAVES: ALWAYS,
    Behaviour.GARBLED: ALWAYS,
    Behaviour.OVERRUNS: ALWAYS,
}
"""Runs, the first ones, that fail by themselves or are ended."""
ERROR_LINES = {
    Behaviour.RAISES: "ValueError",
    Behaviour.FALTERS: "ValueError",
    Behaviour.RELAPSES: "ValueError",
    Behaviour.LEAVES: "SystemExit",
    Behaviour.UNKEEPABLE: "StoreRefused",
}
"""How the line of a failure begins that is the task's own doing."""


@attrs.frozen(kw_only=True)
class TaskSpec:
    """One task: what it will do, and what is to come of it."""

    id: str
    """32 hex digits."""
    number: int
    """What its function is called with."""
    behaviour: Behaviour
    """What it does when it runs."""
    seconds: float
    """How long each run takes."""
    kills: int
    """Runs, the first ones, that end their worker."""
    errors: int
    """Runs, the first ones, that come to an end and fail."""
    limit: float | None
    """Seconds that a run may take. None: no limit."""
    timeout: float | None
    """What the task itself says of that. None: nothing."""
    attempts: int
    """Deliveries without an outcome that it has."""
    own_attempts: bool
    """The task says so itself."""
    hook: bool
    """It has a hook."""
    at: float
    """When it is enqueued."""
    label: str = ""
    """What it is called in words. Empty: by its number."""

    @property
    def title(self) -> str:
        """A few words for it."""
        return self.label or f"task {self.number}"

    def fails(self, run: int) -> bool:
        """Whether the run of this number fails, the first being 1, if it comes to its end."""
        return run <= self.errors or (run > 1 and self.behaviour is Behaviour.RELAPSES)

    def message(self, now: datetime) -> TaskMessage:
        """Write it down."""
        garbled = self.behaviour is Behaviour.GARBLED
        return TaskMessage(
            id=self.id,
            name=name_of(self.id),
            func=WORK,
            enqueued_at=now,
            body=b"no pickle" if garbled else dump_call(work, (self.number,), {}),
            timeout=self.timeout,
            group="g" * 101 if self.behaviour is Behaviour.UNKEEPABLE else None,
            hook=FOLLOW if self.hook else None,
            max_attempts=self.attempts if self.own_attempts else None,
        )


def tamed(spec: TaskSpec) -> TaskSpec:
    """The task without anything special about it."""
    return attrs.evolve(
        spec,
        behaviour=Behaviour.RETURNS,
        seconds=TAME_SECONDS,
        at=TAME_SECONDS,
        kills=0,
        errors=0,
        hook=False,
    )


def draw_tasks(rng: random.Random, ids: SeededIds, scene: Scene, plan: FaultPlan) -> list[TaskSpec]:
    """Draw the tasks of a run."""
    return [_draw_task(rng, ids.task_id(), number, scene, plan) for number in range(scene.tasks)]


def _draw_task(rng: random.Random, id: str, number: int, scene: Scene, plan: FaultPlan) -> TaskSpec:
    timeout = rng.choice((None, None, None, 5.0))
    limit = scene.timeout if timeout is None else timeout
    own_attempts = rng.random() < 0.15
    behaviour = _draw_behaviour(rng, plan, limit)
    quickest, slowest = (0.0001, 0.004) if scene.quick else (0.001, 3.0)
    seconds = quickest * (slowest / quickest) ** rng.random()
    if behaviour is Behaviour.GRAZES and limit is not None:
        seconds = limit + rng.uniform(-0.003, 0.003)
    if behaviour is Behaviour.OVERRUNS and limit is not None:
        seconds = limit * rng.uniform(1.5, 10.0)
    return TaskSpec(
        id=id,
        number=number,
        behaviour=behaviour,
        seconds=seconds,
        kills=rng.choice((1, 1, 2, ALWAYS)) if behaviour is Behaviour.KILLS else 0,
        errors=ERRORS.get(behaviour, 0),
        limit=limit,
        timeout=timeout,
        attempts=rng.randint(1, 4) if own_attempts else scene.max_attempts,
        own_attempts=own_attempts,
        hook=rng.random() < 0.4,
        at=rng.uniform(0.0, scene.seconds * 0.9),
    )


def _draw_behaviour(rng: random.Random, plan: FaultPlan, limit: float | None) -> Behaviour:
    if rng.random() < plan.task_raises:
        return rng.choice(
            (Behaviour.RAISES, Behaviour.FALTERS, Behaviour.LEAVES, Behaviour.GARBLED)
        )
    if rng.random() < plan.task_overruns and limit is not None:
        return rng.choice((Behaviour.OVERRUNS, Behaviour.GRAZES))
    if rng.random() < plan.task_kills:
        return Behaviour.KILLS
    if rng.random() < plan.task_unkeepable:
        return Behaviour.UNKEEPABLE
    if plan.task_raises:
        return rng.choice((Behaviour.RETURNS, Behaviour.RELAPSES))
    return Behaviour.RETURNS


class HashSigner:
    """A signer that costs next to nothing."""

    _key = b"simulated"

    def sign(self, text: str) -> str:
        """Give the text with its signature."""
        return f"{text}:{self._signature(text)}"

    def unsign(self, text: str) -> str:
        """Give the text without its signature."""
        text, _, signature = text.rpartition(":")
        if signature != self._signature(text):
            raise BadPackage("the signature is not ours")
        return text

    def _signature(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()


def make_codec() -> Codec:
    """The codec of the simulated queue."""
    return Codec(signer=HashSigner(), compress=False, max_payload=1_000_000)


def package_of(codec: Codec, message: TaskMessage) -> str:
    """The text that goes to the broker."""
    return codec.seal(pack(message))


def draw_poison(rng: random.Random, good: str) -> str:
    """Draw a text that cannot be opened."""
    fresh = HashSigner().sign("p" + hashlib.sha256(b"no frame").hexdigest())
    return rng.choice(("", "nonsense", good[: len(good) // 2], good[1:], good + "0", fresh))
