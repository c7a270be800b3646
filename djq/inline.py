"""Runs a task here and now: the cluster's own worker and monitor, stepped by the caller's thread.

Sync mode is no second way to run a task. The frame is assigned to a `Worker`, its outcome goes to a
`Monitor`, and what follows from it (its hook) is enqueued to a broker in memory and taken from
there in the same way until nothing follows any more. What is missing is the sentinel: no task is
killed when it overruns its `timeout`, and none is delivered twice.

Everything happens in the caller's database connections and in the caller's transaction, if there is
one. A task that breaks the transaction would take the caller's work with it, and its own outcome
could not be saved; so each task has a savepoint there, which is gone back to only when the database
refuses to go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import attrs
from django.db import DatabaseError, connections

from djq import assembly
from djq.components.monitor import Monitor
from djq.components.worker import Worker
from djq.conf import get_config
from djq.core.codec import Codec
from djq.core.events import Event, ServiceAway
from djq.core.frame import delivery_of
from djq.core.message import Outcome
from djq.core.protocol import Assign, Delivery, Keep, Kept, Returned, Settled, Verdict
from djq.exceptions import StoreUnavailable
from djq.ports import (
    Broker,
    Component,
    Link,
    Observer,
    ResultStore,
    ScheduleStore,
    Surroundings,
    TaskScope,
    Wait,
)

Answer = TypeVar("Answer", Returned, Kept)

LABEL = "sync"
FIRST_ATTEMPT = 1
NO_PROCESS = 0
"""Worker and monitor tell their pid to the sentinel, and there is none."""


def run(
    frames: Iterable[bytes],
    *,
    scope: TaskScope | None = None,
    after: Callable[[], None] | None = None,
) -> None:
    """Run tasks, one after the other, each with what follows from it to their stored outcomes.

    All of them have one store: it remembers how far the elements of an iter have been read.

    Args:
        frames: The tasks.
        scope: What surrounds each task; `savepoints` when None.
        after: Called when a task has run, with all that follows from it. None: nothing is.

    Raises:
        StoreUnavailable: An outcome could not be saved; the tasks after that one are not run.
    """
    codec = assembly.make_codec()
    following = FollowersBroker(codec)
    runner = make_runner(codec=codec, broker=following, scope=scope)
    for frame in frames:
        runner.run(delivery_of(frame, None, FIRST_ATTEMPT))
        for delivery in following.deliveries():
            runner.run(delivery)
        if after is not None:
            after()


def make_runner(*, codec: Codec, broker: Broker, scope: TaskScope | None = None) -> InlineRunner:
    """Make a runner as the settings say; what follows from its tasks goes to `broker`."""
    config = get_config()
    return InlineRunner(
        store=assembly.make_store(config),
        codec=codec,
        broker=broker,
        around=assembly.surroundings(),
        scope=savepoints if scope is None else scope,
        max_payload=config.max_payload,
        schedules=assembly.make_schedule_store(),
    )


@contextmanager
def savepoints() -> Iterator[None]:
    """Keep each open transaction usable, whatever a task does in it.

    A connection without a transaction is left alone. Where the database refuses to go on after a
    failed statement, as PostgreSQL does, the transaction goes back to where the task began.
    """
    held = [
        (connection, savepoint)
        for connection in connections.all(initialized_only=True)
        if connection.in_atomic_block and (savepoint := connection.savepoint()) is not None
    ]
    broken: DatabaseError | None = None
    try:
        yield
    finally:
        for connection, savepoint in reversed(held):
            try:
                connection.savepoint_commit(savepoint)
            except DatabaseError as error:
                broken = error
                connection.set_rollback(False)
                connection.savepoint_rollback(savepoint)
    if broken is not None:
        # The function came to its end over a failed statement: what it wrote is gone.
        raise broken


class InlineRunner:
    """Steps one worker and one monitor: one delivery at a time, to its stored outcome."""

    def __init__(
        self,
        *,
        store: ResultStore,
        codec: Codec,
        broker: Broker,
        around: Surroundings,
        scope: TaskScope,
        max_payload: int,
        schedules: ScheduleStore | None = None,
    ) -> None:
        """`broker` is where deliveries come from and what follows goes to; `codec` is its queue's."""
        self._listener = Listener(around.observer)
        around = attrs.evolve(around, observer=self._listener)
        self._worker_link, self._monitor_link = Mailbox(), Mailbox()
        self._worker = Worker(
            link=self._worker_link,
            around=around,
            scope=scope,
            present=store.present,
            label=LABEL,
            pid=NO_PROCESS,
            max_payload=max_payload,
        )
        self._monitor = Monitor(
            link=self._monitor_link,
            broker=broker,
            store=store,
            codec=codec,
            around=around,
            label=LABEL,
            pid=NO_PROCESS,
            schedules=schedules,
        )

    def run(self, delivery: Delivery) -> Outcome:
        """Run the task, store its outcome, send what follows from it, acknowledge it.

        Raises:
            StoreUnavailable: The outcome could not be saved, or the broker did not answer.
        """
        ticket = 1
        self._worker_link.put(Assign(((ticket, delivery),)))
        returned = self._step(self._worker, self._worker_link, Returned)
        settled = Settled(ticket, delivery, Verdict.SAVE, returned.outcome)
        self._monitor_link.put(Keep((settled,)))
        self._step(self._monitor, self._monitor_link, Kept)
        return returned.outcome

    def _step(self, component: Component, link: Mailbox, answer: type[Answer]) -> Answer:
        """Step until the answer is there. There is nobody to wait for but a store that is away."""
        while True:
            wait = component.step()
            for message in link.take_sent():
                if isinstance(message, answer):
                    return message
            if self._listener.away is not None:
                raise StoreUnavailable(
                    f"the outcome of the task could not be saved: the {self._listener.away.service} "
                    f"does not answer ({self._listener.away.reason})"
                )
            assert wait == Wait(0.0), f"an inline component has nobody to wait for: {wait}"


class Mailbox(Link):
    """Both ends of a link in one thread: what was put in is received, what is sent is taken out."""

    ended = False
    clogged = False

    def __init__(self) -> None:
        self._inbox: list[object] = []
        self._sent: list[object] = []

    def put(self, message: object) -> None:
        """Let the component receive this at its next step."""
        self._inbox.append(message)

    def take_sent(self) -> Sequence[object]:
        """Give what the component has sent since the last time."""
        sent, self._sent = self._sent, []
        return sent

    def send(self, *messages: object) -> None:
        self._sent.extend(messages)

    def offer(self, *_messages: object) -> int:
        return 0

    def recall(self) -> Sequence[object]:
        return ()

    def take(self) -> None:
        return None

    def receive(self) -> Sequence[object]:
        inbox, self._inbox = self._inbox, []
        return inbox


class FollowersBroker(Broker):
    """Holds what follows from a task, for the same runner."""

    def __init__(self, codec: Codec) -> None:
        super().__init__(LABEL)
        self._codec = codec
        self._packages: deque[str] = deque()

    def enqueue(self, task: str) -> None:
        self._packages.append(task)

    def deliveries(self) -> Iterator[Delivery]:
        """What follows, until nothing does any more: what each of them brings about as well."""
        while self._packages:
            frame = self._codec.open(self._packages.popleft())
            yield delivery_of(frame, None, FIRST_ATTEMPT)


class Listener:
    """Passes events on, and remembers that a service is away."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.away: ServiceAway | None = None

    def notify(self, event: Event) -> None:
        if isinstance(event, ServiceAway):
            self.away = event
        self._observer.notify(event)
