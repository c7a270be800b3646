"""`djq_queue`: what a test enqueues is held, looked at, and run when the test says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Self

import attrs
from django.core.exceptions import SynchronousOnlyOperation

from djq import assembly
from djq.conf import get_config
from djq.core.call import func_path, resolve
from djq.core.config import Config
from djq.core.frame import delivery_of, pack, unpack
from djq.core.received import Waiting
from djq.exceptions import TaskRefused
from djq.inline import InlineRunner, make_runner
from djq.ports import Broker
from djq_testing.running import Enqueued, Ran, TasksInHand, enqueued, ran, same_function

RUNS_MAX = 1_000
FIRST_ATTEMPT = 1


@attrs.frozen
class Held:
    """A package, and the queue that it was sent to."""

    number: int
    queue: str
    package: str


class HeldBroker(Broker):
    """One queue of a `HeldQueue`; it has the documented verbs too."""

    def __init__(self, list_key: str, held: list[Held]) -> None:
        super().__init__(list_key)
        self._held = held
        self._count = 0

    def enqueue(self, task: str) -> str:
        number = self._held[-1].number + 1 if self._held else 1
        self._held.append(Held(number, self.list_key, task))
        return str(number)

    def dequeue(self, limit: int = 1) -> Sequence[tuple[str | None, str | bytes]]:
        taken = self._own()[:limit]
        self._drop(taken)
        return [(None, one.package) for one in taken]

    def delete(self, id: str) -> None:
        self._drop([one for one in self._own() if str(one.number) == id])

    def purge_queue(self) -> None:
        self._drop(self._own())

    def delete_queue(self) -> None:
        self.purge_queue()

    def queue_size(self) -> int:
        return len(self._own())

    def peek(self) -> Sequence[Waiting]:
        return [Waiting(one.package) for one in self._own()[:1]]

    def info(self) -> str:
        return "Held by a test"

    def _own(self) -> list[Held]:
        return [one for one in self._held if one.queue == self.list_key]

    def _drop(self, gone: Sequence[Held]) -> None:
        self._held[:] = [one for one in self._held if one not in gone]


class HeldQueue(TasksInHand):
    """Every queue of a test: nothing runs until the test lets it.

    Use it as a context, or ask for the fixture `djq_queue`, or inherit from `QueueMixin`. What is run
    goes through the real codec, worker and monitor, in the test's own thread and transaction.

    A task that waits for a commit is there when it would have been sent in production: callbacks of
    `transaction.on_commit` that only the test's own transaction keeps back are run before anything is
    looked at. `commit` does that alone.
    """

    def __init__(self, *, raises: bool = False, store: str = "database") -> None:
        """Make it; it holds nothing before it is entered.

        Args:
            raises: Whether the verbs that run raise what a task raised, after its failure is stored.
            store: Where outcomes go: "database", or "memory" in a test that uses no database.
        """
        super().__init__(raises=raises, store=store)
        self.ran: list[Ran] = []
        """What was run, in order."""
        self._held: list[Held] = []
        self._runners: dict[str, tuple[Config, InlineRunner]] = {}

    def __enter__(self) -> Self:
        return self._open(broker=self._broker, sync=False, endless=self._refuse_to_wait)

    # Looking.

    @property
    def tasks(self) -> list[Enqueued]:
        """What waits, in the order in which it was sent; hooks of finished tasks among it."""
        self.commit()
        return self._waiting()

    def __len__(self) -> int:
        self.commit()
        return len(self._held)

    def __iter__(self) -> Iterator[Enqueued]:
        return iter(self.tasks)

    def __getitem__(self, place: int) -> Enqueued:
        return self.tasks[place]

    def assert_enqueued(self, func: Any = None, *, count: int | None = None, **wanted: Any) -> Any:
        """Demand that such a task waits.

        Args:
            func: The function or its dotted path. None: any.
            count: How many there must be. None: at least one.
            **wanted: What else must be equal, all of it when left out: `args` (a tuple or list),
                `kwargs`, `group`, `hook` (a function or its path), `name`, `queue`, `timeout`,
                `cached`, `save`. `unittest.mock.ANY` fits every value.

        Returns:
            The tasks that were found, as a list.

        Raises:
            AssertionError: There is none, or not as many; the message lists what waits.
            TaskRefused: There is to be none, and there is no such function.
        """
        matches = _matcher(func, wanted)
        if func is not None and count == 0:
            _demand_function(func)
        tasks = self.tasks
        found = [task for task in tasks if matches(task)]
        if len(found) == count or (count is None and found):
            return found
        many = "a task" if count is None else f"{count} tasks"
        have = f"{len(found)} of them" if found else "none"
        raise AssertionError(
            f"{many} such as {_say(func, wanted)} should wait, but there is {have}; "
            f"{_list(tasks, func, wanted)}{'' if found else _unknown(func)}"
        )

    def refute_enqueued(self, func: Any = None, **wanted: Any) -> None:
        """Demand that no such task waits; without arguments that none does.

        Raises:
            AssertionError: There is one; the message lists what waits.
            TaskRefused: There is no such function: a typing error would refute anything.
        """
        matches = _matcher(func, wanted)
        if func is not None:
            _demand_function(func)
        tasks = self.tasks
        found = [task for task in tasks if matches(task)]
        if found:
            raise AssertionError(
                f"no task such as {_say(func, wanted)} should wait, but there is {found[0]}; "
                f"{_list(tasks, func, wanted)}"
            )

    def clear(self) -> None:
        """Forget what waits."""
        self.commit()
        self._held.clear()

    # Running.

    def run_next(self, *, raises: bool | None = None) -> Ran | None:
        """Run the oldest task that waits. None: there is none.

        What follows from it (its hook, the next link of its chain, what it enqueues) waits then.

        Args:
            raises: Whether to raise what the task raised. None: as the queue was made.

        Raises:
            Exception: What the task raised, with its own traceback, if `raises`; it is stored first.
            StoreUnavailable: The outcome could not be saved.
        """
        self.commit()
        if not self._held:
            return None
        held = self._held.pop(0)
        task = self._read(held)
        outcome = self._runner(held.queue).run(delivery_of(pack(task.message), None, FIRST_ATTEMPT))
        done = ran(task, outcome, self._catcher.take())
        self.ran.append(done)
        if done.error is not None and (self.raises if raises is None else raises):
            raise done.error
        return done

    def run_all(self, *, raises: bool | None = None) -> list[Ran]:
        """Run all that waits now, and nothing that comes to wait by it; gives what was run."""
        self.commit()
        # A list, since a task may raise StopIteration, which no generator lets through.
        done = [self.run_next(raises=raises) for _ in range(len(self._held))]
        return [one for one in done if one is not None]

    def run_until_idle(
        self, *, recursive: bool = True, raises: bool | None = None, limit: int = RUNS_MAX
    ) -> list[Ran]:
        """Run until nothing waits any more; gives what was run.

        Args:
            recursive: Whether what comes to wait meanwhile is run too. False: as `run_all`.
            raises: Whether to raise what a task raised. None: as the queue was made.
            limit: Most tasks to run.

        Raises:
            AssertionError: There is still something after so many tasks.
        """
        if not recursive:
            return self.run_all(raises=raises)
        done: list[Ran] = []
        while (one := self.run_next(raises=raises)) is not None:
            done.append(one)
            if len(done) > limit:
                raise AssertionError(
                    f"{limit} tasks were run and there is no end to them: the last one was {one.task}"
                )
        return done

    def _waiting(self) -> list[Enqueued]:
        return [self._read(one) for one in self._held]

    def _refuse_to_wait(self, _in_vain: bool) -> None:  # noqa: FBT001 - as it is called
        with suppress(SynchronousOnlyOperation):
            self.commit()
        raise AssertionError(
            "whoever waits here without an end waits for ever: tasks are held, and run when the test says "
            f"so, by run_until_idle() for one; {_list(self._waiting(), None, {})}"
        )

    def _runner(self, queue: str) -> InlineRunner:
        """One for all tasks of a queue: its store remembers how far iters have been read."""
        config = get_config()
        known = self._runners.get(queue)
        if known is None or known[0] is not config:
            runner = make_runner(
                codec=assembly.make_codec(config, queue),
                broker=HeldBroker(queue, self._held),
                scope=self._catcher.scope,
            )
            known = self._runners[queue] = (config, runner)
        return known[1]

    def _broker(self, _config: Config, list_key: str) -> Broker:
        return HeldBroker(list_key, self._held)

    def _read(self, held: Held) -> Enqueued:
        frame = assembly.make_codec(queue=held.queue).open(held.package)
        return enqueued(unpack(frame), held.queue)


_READERS: dict[str, Any] = {
    "args": lambda task: task.args,
    "kwargs": lambda task: task.kwargs,
    "group": lambda task: task.group,
    "hook": lambda task: task.hook,
    "name": lambda task: task.name,
    "queue": lambda task: task.queue,
    "timeout": lambda task: task.message.timeout,
    "cached": lambda task: task.message.cached,
    "save": lambda task: task.message.save,
}


def _matcher(func: Any, wanted: dict[str, Any]) -> Any:
    unknown = sorted(wanted.keys() - _READERS)
    if unknown:
        raise TypeError(
            f"{', '.join(unknown)}: nothing that a task has; it has {', '.join(_READERS)}. Keywords of "
            "the function belong into kwargs={...}"
        )
    return partial(_matches, func, wanted)


def _demand_function(func: Any) -> None:
    error = _why_not_found(func)
    if error is not None:
        raise TaskRefused(f"no task ever calls {func_path(func)!r}: {error}") from error


def _unknown(func: Any) -> str:
    """Say of a function that cannot be found that it cannot: a typing error, most likely."""
    error = None if func is None else _why_not_found(func)
    return "" if error is None else f"\n{error}"


def _why_not_found(func: Any) -> Exception | None:
    try:
        resolve(func_path(func))
    except (ImportError, AttributeError, TypeError) as error:
        return error
    return None


def _matches(func: Any, wanted: dict[str, Any], task: Enqueued) -> bool:
    if func is not None and not same_function(func, task.func):
        return False
    return all(_equals(key, value, _READERS[key](task)) for key, value in wanted.items())


def _equals(key: str, wanted: Any, actual: Any) -> bool:
    if key == "args" and isinstance(wanted, list):
        wanted = tuple(wanted)
    if key == "hook" and actual is not None and (callable(wanted) or isinstance(wanted, str)):
        return same_function(wanted, actual)
    return bool(wanted == actual)


def _say(func: Any, wanted: dict[str, Any]) -> str:
    name = getattr(func, "__qualname__", func) if func is not None else "anything"
    told = ", ".join(f"{key}={value!r:.200}" for key, value in wanted.items())
    return f"{name}" + (f" with {told}" if told else "")


def _list(tasks: Sequence[Enqueued], func: Any, wanted: dict[str, Any]) -> str:
    if not tasks:
        return "nothing waits"
    lines = [
        f"  {number}. {task}{_difference(func, wanted, task)}"
        for number, task in enumerate(tasks, 1)
    ]
    return "\n".join([f"{len(tasks)} wait:", *lines])


def _difference(func: Any, wanted: dict[str, Any], task: Enqueued) -> str:
    """Say of a task of the same function what is not as wanted."""
    if func is not None and not same_function(func, task.func):
        return ""
    actual = {key: _READERS[key](task) for key in wanted}
    other = [f"{k} is {v!r:.200}" for k, v in actual.items() if not _equals(k, wanted[k], v)]
    return f"  <- {', '.join(other)}" if other else ""
