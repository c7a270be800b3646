"""A project's own calls and schedules, written down for a simulated run.

`call`, `chain`, `iterate` and `scheduled` take what `async_task`, `async_chain`, `async_iter` and
`schedule` take, as far as it means something here, and send nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import attrs

from djq.conf import get_zone
from djq.core.call import Function, dump_call, func_path
from djq.core.literals import write_args, write_keywords
from djq.core.message import TaskMessage
from djq.core.names import name_of
from djq.core.options import NO_OPTIONS, Options, split
from djq.core.recurrence import CRON, ONCE
from djq.core.schedule_checks import problems_of
from djq.core.schedules import Custom, ScheduleRow
from djq.exceptions import ScheduleRefused, TaskRefused
from djq.ports import TaskScope
from djq_testing.clock import START, SeededIds
from djq_testing.sim.compositions import Chain, Composition, Iter, Single
from djq_testing.sim.scene import Scene
from djq_testing.sim.workload import Behaviour, TaskSpec

SECONDS = (0.001, 1.0)
"""What a call takes of which nothing is said."""
LABEL_CHARACTERS_MAX = 60


@attrs.frozen
class Call:
    """One call of a function."""

    func: Function
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Options

    @property
    def path(self) -> str:
        """The function's dotted path."""
        return func_path(self.func)

    @property
    def words(self) -> str:
        """The call as somebody would write it."""
        parts = [repr(arg) for arg in self.args]
        parts += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        words = f"{self.path.rpartition('.')[2]}({', '.join(parts)})"
        return words if len(words) <= LABEL_CHARACTERS_MAX else f"{words[:LABEL_CHARACTERS_MAX]}..."

    def message(self, id: str) -> TaskMessage:
        """Write it down."""
        options = self.options
        return TaskMessage(
            id=id,
            name=name_of(id) if options.task_name is None else options.task_name,
            func=self.path,
            enqueued_at=START,
            body=dump_call(self.func, self.args, self.kwargs),
            timeout=options.timeout,
            group=options.group,
            hook=options.hook,
            max_attempts=options.max_attempts,
        )


@attrs.frozen(kw_only=True)
class CallChain:
    """Calls that run one after another."""

    calls: tuple[Call, ...]
    group: str
    goes_on: bool
    hands_on: bool


@attrs.frozen
class CallIter:
    """Calls of one function that have one result."""

    calls: tuple[Call, ...]


def call(func: Function, /, *args: Any, **kwargs: Any) -> Call:
    """Write down what `async_task` is called with: arguments, keywords, and options among them."""
    options, keywords = split(kwargs)
    return Call(func, args, keywords, options)


def chain(
    links: Iterable[Call | Function],
    group: str = "chain",
    *,
    on_failure: str = "stop",
    pass_result: bool = False,
) -> CallChain:
    """Write down a chain of calls, as `async_chain` has it; a bare function is a call of it."""
    calls = tuple(link if isinstance(link, Call) else call(link) for link in links)
    if len(calls) < 2 or on_failure not in {"stop", "continue"}:
        raise TaskRefused("a chain here has two calls or more; on_failure is 'stop' or 'continue'")
    return CallChain(
        calls=calls, group=group, goes_on=on_failure == "continue", hands_on=pass_result
    )


def iterate(func: Function, args: Iterable[Any], /, **kwargs: Any) -> CallIter:
    """Write down one call for each of `args`, as `async_iter` has it; a tuple stands for several."""
    options, keywords = split(kwargs)
    tuples = [one if isinstance(one, tuple) else (one,) for one in args]
    if options != NO_OPTIONS or not tuples:
        raise TaskRefused("an iter here has arguments for one call or more, and no options")
    return CallIter(tuple(Call(func, one, keywords, NO_OPTIONS) for one in tuples))


def scheduled(
    func: str,
    /,
    *args: Any,
    schedule_type: str | None = None,
    cron: str | None = None,
    next_run: datetime = START,
    q_options: Mapping[str, Any] | None = None,
    enabled: bool = True,
    **kwargs: Any,
) -> dict[str, Any]:
    """Write down a schedule, by the arguments of `djq.tasks.schedule`.

    The simulated clock begins at `djq_testing.clock.START`, and so does a schedule without `next_run`.

    Raises:
        ScheduleRefused: Something is wrong with it.
    """
    fields = {
        name: kwargs.pop(name) for name in attrs.fields_dict(ScheduleRow).keys() & kwargs.keys()
    }
    row = ScheduleRow(
        id=1,
        func=func,
        args=write_args(args),
        kwargs=write_keywords("kwargs", kwargs),
        q_options=write_keywords("q_options", q_options or {}),
        schedule_type=schedule_type or (CRON if cron else ONCE),
        cron=cron,
        next_run=next_run,
        **fields,
    )
    problems = problems_of(row, Custom(catch_up=True, time_zone="UTC"), get_zone)
    if problems:
        raise ScheduleRefused("; ".join(f"{name}: {why}" for name, why in problems.items()))
    values = attrs.asdict(row, recurse=False)
    return {**{name: value for name, value in values.items() if name != "id"}, "enabled": enabled}


Planned = Call | CallChain | CallIter


@attrs.frozen(kw_only=True)
class Given:
    """What a project brings along."""

    calls: Sequence[Planned] = ()
    schedules: Sequence[Mapping[str, Any]] = ()
    """The fields of rows, as `scheduled` gives them."""
    takes: Mapping[str, float] = attrs.field(factory=dict)
    """Seconds that a function takes, by its path."""
    scope: TaskScope = nullcontext
    """Surrounds each run of a function."""
    setup: Callable[[], object] | None = None
    """Puts everything back to where a run begins."""
    check: Callable[[Any], None] | None = None
    """Judges the world in the end. Raises Violation."""

    def seconds_of(self, path: str, rng: random.Random) -> float:
        """How long one run of a function takes."""
        quickest, slowest = SECONDS
        drawn = quickest * (slowest / quickest) ** rng.random()
        return self.takes.get(path, drawn)

    def compositions(self, seed: int, scene: Scene) -> list[Composition]:
        """The calls as tasks of a run, enqueued at moments of the seed."""
        drawer = Drawer(self, random.Random(f"calls {seed}"), SeededIds(f"calls {seed}"), scene)
        return [drawer.composition(one) for one in self.calls]


class Drawer:
    """Draws what is not given of a project's tasks."""

    def __init__(self, given: Given, rng: random.Random, ids: SeededIds, scene: Scene) -> None:
        self._given = given
        self._rng = rng
        self._ids = ids
        self._scene = scene
        self._number = 0

    def composition(self, planned: Planned) -> Composition:
        """The tasks of what was planned."""
        at = self._rng.uniform(0.0, self._scene.seconds * 0.9)
        match planned:
            case CallChain(calls=calls):
                links = tuple(
                    self.task(attrs.evolve(one, options=attrs.evolve(one.options, group=None)), at)
                    for one in calls
                )
                return Chain(
                    group=planned.group,
                    links=links,
                    goes_on=planned.goes_on,
                    hands_on=planned.hands_on,
                )
            case CallIter(calls=calls):
                elements = tuple(self.task(one, at) for one in calls)
                return Iter(id=self._ids.task_id(), elements=elements)
        return Single(task=self.task(planned, at))

    def task(self, planned: Call, at: float) -> TaskSpec:
        """One task."""
        self._number += 1
        message = planned.message(self._ids.task_id())
        return given_task(
            message,
            number=self._number,
            label=f"task {self._number} {planned.words}",
            seconds=self._given.seconds_of(planned.path, self._rng),
            scene=self._scene,
            at=at,
        )


def given_task(
    message: TaskMessage, *, number: int, label: str, seconds: float, scene: Scene, at: float
) -> TaskSpec:
    """A task of which only the project knows what it does."""
    return TaskSpec(
        id=message.id,
        number=number,
        label=label,
        behaviour=Behaviour.GIVEN,
        seconds=seconds,
        kills=0,
        errors=0,
        limit=scene.timeout if message.timeout is None else message.timeout,
        timeout=message.timeout,
        attempts=scene.max_attempts if message.max_attempts is None else message.max_attempts,
        own_attempts=message.max_attempts is not None,
        hook=message.hook is not None,
        at=at,
        given=message,
    )
