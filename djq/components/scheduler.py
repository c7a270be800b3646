"""Makes tasks of schedules that are due: takes a batch of rows, sends their tasks, writes the rows.

It looks every second for what is due next, and wakes for it. Where rows and queue share a database,
taking, sending and writing are one transaction: one slot is one task, whoever dies. Elsewhere the rows
are written first, with what is to be sent; then the tasks are sent, and then the rows are told so. Who
dies in between leaves rows that come due again, with the same tasks under the same ids.

A row that can make no task is marked with the reason and left alone for a while. It stops no other,
and its slots are not lost: when it is mended they are missed slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import attrs

from djq.components.backoff import Backoff
from djq.components.sealing import seal_for, send_packages
from djq.core.codec import Codec
from djq.core.events import (
    ChildStopped,
    ScheduleFailed,
    ScheduleSent,
    ScheduleSkipped,
    SchedulesSent,
)
from djq.core.frame import pack
from djq.core.lifecycle import Role
from djq.core.protocol import Health, Ready, Stop
from djq.core.schedule_calls import call_of, message_of
from djq.core.schedules import (
    HELD,
    Custom,
    Decision,
    ScheduleEnd,
    ZoneOf,
    decide,
    error_text,
    refused,
    with_token,
)
from djq.exceptions import BrokerUnavailable, DjqError, StoreUnavailable
from djq.ports import Broker, Link, ScheduleStore, Surroundings, Wait

ROWS_MAX = 500
TASKS_MAX = 500
"""Most rows, and most tasks, in one batch: a row with many missed slots holds nobody up for long."""
LOOK_SECONDS = 1.0
"""How often it looks for schedules that somebody has made or changed."""
BUSY_SECONDS = 0.1
"""When all that is due is in the hands of others."""
SENDING_SECONDS_MAX = 20.0
"""How long it tries to send what it has taken; a while later the rows come due for everybody."""
JUMP = timedelta(seconds=5)
"""A clock that is set by less is taken for one that runs a little wrong."""
HELD_MAX = HELD + timedelta(minutes=1)
"""Nobody holds a row for longer."""
NAMED_MAX = 10
"""A larger batch is told as a number."""


@attrs.frozen
class Queue:
    """Where tasks go."""

    broker: Broker
    codec: Codec


@attrs.frozen(kw_only=True)
class Item:
    """One task on its way."""

    decision: Decision
    task_id: str
    func: str
    queue: str | None
    """None: the cluster's own."""
    package: str


@attrs.define
class Sending:
    """Rows that were written, and tasks that are not sent yet."""

    token: str
    ids: list[int]
    items: list[Item]
    until: float
    """Monotonic seconds after which it is somebody else's."""


def _take_off(sending: Sending, done: Sequence[Item]) -> None:
    """These have been sent, or never will be."""
    ids = {item.task_id for item in done}
    sending.items = [item for item in sending.items if item.task_id not in ids]


class Scheduler:
    """One batch a step."""

    def __init__(
        self,
        *,
        link: Link,
        store: ScheduleStore,
        queue_of: Callable[[str | None], Queue],
        custom: Custom,
        zone_of: ZoneOf,
        around: Surroundings,
        label: str,
        pid: int,
        greets_late: bool = False,
    ) -> None:
        """Make a scheduler; nothing is asked of the store yet.

        Args:
            link: To the sentinel.
            store: Where the schedules are.
            queue_of: Finds a queue by its name. None: the cluster's own.
            custom: What the settings say where a schedule says nothing.
            zone_of: Finds a time zone by its name.
            around: Clock, ids and observer.
            label: The name of its log lines.
            pid: Its process.
            greets_late: It says that it is ready only when nothing is due any more.
        """
        self._link = link
        self._store = store
        self._queue_of = queue_of
        self._custom = custom
        self._zone_of = zone_of
        self._around = around
        self._label = label
        self._pid = pid
        self._store_pauses = Backoff("schedule store", around, self._tell_health)
        self._broker_pauses = Backoff("broker", around)
        self._sending: Sending | None = None
        self._began: tuple[datetime, float] | None = None
        """A moment, and the monotonic seconds of it. None: it has not looked yet."""
        self._greets_late = greets_late
        self._greeted = False
        self._stopping = False

    def step(self) -> Wait | None:
        """Send one batch. None: told to leave, or the sentinel is gone."""
        if not self._greets_late:
            self._greet()
        for message in self._link.receive():
            self._stopping = self._stopping or isinstance(message, Stop)
        if self._stopping or self._link.ended:
            # What is being sent comes due again by itself.
            self._around.observer.notify(ChildStopped(Role.SCHEDULER, self._label, self._pid))
            return None
        pause = max(self._store_pauses.seconds_left(), self._broker_pauses.seconds_left())
        if pause > 0:
            return Wait(pause)
        try:
            wait = self._work()
        except StoreUnavailable as error:
            self._store_pauses.failed(error)
            wait = Wait(self._store_pauses.seconds_left())
        except BrokerUnavailable as error:
            self._store_pauses.answered()
            self._broker_pauses.failed(error)
            wait = Wait(self._broker_pauses.seconds_left())
        else:
            self._store_pauses.answered()
        if wait != Wait(0.0):
            self._greet()
        return wait

    def _tell_health(self) -> None:
        # Not of the broker: what could not be sent may be due no more, and nobody asks again.
        self._link.send(Health(store=self._store_pauses.since))

    def _greet(self) -> None:
        if not self._greeted:
            self._greeted = True
            self._link.send(Ready(self._pid))

    def _work(self) -> Wait:
        if self._sending is not None:
            self._send_the_rest(self._sending)
            return Wait(0.0)
        now = self._store.now()
        if self._clock_was_set_back(now):
            self._store.unhold(now, now + HELD_MAX)
            self._set_clock(now)
        due, now = self._store.next_due(), self._store.now()
        if due is None or due > now:
            seconds = LOOK_SECONDS if due is None else (due - now).total_seconds()
            return Wait(min(seconds, LOOK_SECONDS))
        if (
            self._store.alias is not None
            and self._queue_of(None).broker.database == self._store.alias
        ):
            return self._work_in_one_unit()
        return self._work_in_two()

    def _clock_was_set_back(self, now: datetime) -> bool:
        """Whether the time is earlier than it can be: rows may be held until who knows when.

        The first look counts as well: what was held may be left from a time of which nothing is known.
        """
        if self._began is None:
            return True
        passed = self._around.clock.monotonic() - self._began[1]
        behind = self._began[0] + timedelta(seconds=passed) - now
        if behind < -JUMP:
            self._set_clock(now)
        return behind > JUMP

    def _set_clock(self, now: datetime) -> None:
        self._began = (now, self._around.clock.monotonic())

    def _work_in_one_unit(self) -> Wait:
        with self._store.unit():
            decisions, items = self._take()
            lost = self._enqueue(items)
            self._store.put([each.change for each in decisions if each.change is not None])
            self._mark(lost)
        self._broker_pauses.answered()
        return self._told(decisions, items)

    def _work_in_two(self) -> Wait:
        token = self._around.ids.task_id()
        with self._store.unit():
            decisions, items = self._take()
            now = self._store.now()
            decisions = [with_token(each, token, now) for each in decisions]
            self._store.put([each.change for each in decisions if each.change is not None])
        ids = [each.row.id for each in decisions if each.runs]
        if ids:
            until = self._around.clock.monotonic() + SENDING_SECONDS_MAX
            self._sending = Sending(token, ids, items, until)
        return self._told(decisions, items)

    def _send_the_rest(self, sending: Sending) -> None:
        """Send what was taken, then tell the rows; what is late is left to whoever comes next."""
        if self._around.clock.monotonic() > sending.until:
            self._sending = None
            return
        for name in dict.fromkeys(item.queue for item in sending.items):
            own = [item for item in sending.items if item.queue == name]
            try:
                lost = self._enqueue(own)
            except BrokerUnavailable as error:
                _take_off(sending, [own[place] for place in error.sent])
                raise
            # What one queue has taken is not sent to it again because another one is away.
            _take_off(sending, own)
            self._mark(lost)
        self._broker_pauses.answered()
        self._store.sent(sending.token, sending.ids)
        self._sending = None

    def _take(self) -> tuple[list[Decision], list[Item]]:
        """Take rows that are due, and say what becomes of each."""
        now = self._store.now()
        rows = self._store.take(now, ROWS_MAX)
        allowance = max(TASKS_MAX // max(len(rows), 1), 1)
        decisions, items = [], []
        for row in rows:
            try:
                decision = decide(row, now, self._custom, self._zone_of, allowance)
                items += self._pack(decision)
            except DjqError as error:
                decision = refused(row, now, str(error))
            except Exception as error:  # noqa: BLE001 - a row's texts are anybody's, and stop no other
                decision = refused(row, now, f"{type(error).__name__}: {error}")
            decisions.append(decision)
        return decisions, items

    def _pack(self, decision: Decision) -> list[Item]:
        """The tasks of one row, ready to be sent.

        Raises:
            ScheduleRefused, TaskRefused: The row cannot be read, or makes what cannot be sent.
        """
        if not decision.runs:
            return []
        row, now = decision.row, self._around.clock.now()
        call = call_of(row)
        queue = self._queue_of(call.queue)
        zone = self._zone_of(row.time_zone or self._custom.time_zone)
        cached = self._custom.cached
        frames = [
            (run, pack(message_of(row, call, run, zone, now, cached=cached)))
            for run in decision.runs
        ]
        return [
            Item(
                decision=decision,
                task_id=run.task_id,
                func=call.func,
                queue=call.queue,
                package=seal_for(queue.broker, queue.codec, frame),
            )
            for run, frame in frames
        ]

    def _enqueue(self, items: Sequence[Item]) -> list[tuple[Item, str]]:
        """Send tasks, many at a time and each queue for itself; gives those that can never be sent."""
        lost = []
        for name in dict.fromkeys(item.queue for item in items):
            broker = self._queue_of(name).broker
            own = [item for item in items if item.queue == name]
            never = send_packages(broker, [item.package for item in own])
            lost += [(own[place], reason) for place, reason in never.items()]
        return lost

    def _mark(self, lost: Sequence[tuple[Item, str]]) -> None:
        """Tell the schedules of tasks that the broker will never take: those runs have failed."""
        if not lost:
            return
        self._store.ended(
            [
                ScheduleEnd(item.decision.row.id, item.task_id, error_text(reason))
                for item, reason in lost
            ]
        )
        for item, reason in lost:
            self._fail(item.decision, reason)

    def _told(self, decisions: Sequence[Decision], items: Sequence[Item]) -> Wait:
        """Tell what was done, and say when to go on."""
        notify = self._around.observer.notify
        if len(items) > NAMED_MAX:
            notify(SchedulesSent(len(items)))
        else:
            for item in items:
                row = item.decision.row
                notify(ScheduleSent(row.id, row.name or item.func, item.task_id, item.func))
        for each in decisions:
            change = each.change
            if change is not None and change.last_error and not each.runs:
                if change.last_error != each.row.last_error:
                    self._fail(each, change.last_error)
            elif each.skipped:
                notify(ScheduleSkipped(each.row.id, each.row.name or each.row.func))
        if any(each.change is not None for each in decisions):
            return Wait(0.0)
        return Wait(LOOK_SECONDS if decisions else BUSY_SECONDS)

    def _fail(self, decision: Decision, reason: str) -> None:
        row = decision.row
        name = row.name or row.func
        self._around.observer.notify(ScheduleFailed(row.id, f"{name!s:.100}", f"{reason:.300}"))
