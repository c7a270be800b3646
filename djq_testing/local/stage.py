"""The stage of a cluster in process: real components on the manual clock, and nothing that idles.

A poll that finds nothing is no event. Who rests is woken by what time brings (a lease that ends, a
schedule that comes due, a limit), by what is enqueued, and by whatever a test or a task may have
done to the queue or to the schedules behind everybody's back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import attrs
from django.db import connections

from djq import assembly
from djq.components.command import Command
from djq.components.monitor import Monitor
from djq.components.pusher import Pusher
from djq.components.scheduler import Scheduler
from djq.components.sentinel import Sentinel
from djq.conf import get_zone, schedule_defaults
from djq.core.call import load_value
from djq.core.config import Config
from djq.core.events import Event
from djq.core.lifecycle import Role
from djq.core.plan import Plan
from djq.core.protocol import Delivery, StopLevel
from djq.core.report import Reporter
from djq.core.settlement import time_allowed, timeout_line
from djq.inline import savepoints
from djq.ports import Component, Ids, Observer, ResultStore, ScheduleStore, Surroundings, Wait
from djq_testing.clock import ManualClock
from djq_testing.commits import commits_at_its_end
from djq_testing.local.ports import LocalBroker, LocalSchedules, LocalStore
from djq_testing.local.runs import LocalWorker, Run
from djq_testing.local.timeline import ClockTimeline, LocalClock, Story
from djq_testing.local.troubles import Troubles
from djq_testing.sim.faults import Violation
from djq_testing.sim.spawn import SimOrphans, SimProcess, SimSpawner, TaskRun
from djq_testing.sim.stage import Calm, Stage

KEPT_MAX = 100_000
"""Most runs, and most events, that are remembered."""
SELDOM = 1e9
"""Seconds between reports of a cluster that does not change; nobody lives to see it."""
STEPS_MAX = 200_000
"""Steps at one moment: with so many of them the moment does not end."""

FETCHING = (Role.SENTINEL, Role.PUSHER)
"""Who is woken when there is something to fetch: a sentinel that has slept for long would otherwise
renew at once what has just come, and in production none sleeps for longer than `guard_cycle`."""

Seconds = Callable[[Delivery], float]


@attrs.frozen(kw_only=True)
class Services:
    """What the clusters on a stage work with."""

    config: Config
    broker: LocalBroker
    store: ResultStore
    schedules: ScheduleStore
    ids: Ids
    observer: Observer
    """Hears every event too."""
    reporter: Reporter | None
    """Is told of errors. None: nobody is."""
    seconds_of: Seconds
    """How long a task takes."""


class LocalStage(Stage):
    """The processes of one or more clusters on one queue."""

    timeline: ClockTimeline

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        timeline = ClockTimeline(clock)
        super().__init__(Calm(), timeline, Story(timeline))
        self.troubles = Troubles(clock, self.tell)
        self.services: Services
        """Set before the first cluster starts."""
        self.runs: deque[Run] = deque(maxlen=KEPT_MAX)
        self.events: deque[Event] = deque(maxlen=KEPT_MAX)
        self.born: dict[int, datetime] = {}
        """When each cluster was started, by its number."""
        self.cut_short = False
        """A cluster that has stopped had to end work before its time."""
        self.queue_changed = True
        """Nobody has asked the broker since then when its next package comes."""
        self.meddled = True
        """A task may have changed queue or schedules since anybody looked."""
        self._looks: dict[SimProcess, LocalSchedules] = {}
        self._came_up_empty_at = -1.0
        """When a pusher found nothing, and nothing has changed since."""
        self._comes_at = -1.0
        """When the pushers are woken for the next package."""
        self.steps_max = STEPS_MAX
        self._steps = 0
        self._steps_at = -1.0

    def tell(self, what: str, detail: object) -> None:
        """Write what a test does, or lets happen, into the story."""
        who = self.stepping.name if self.stepping is not None else "the test"
        self.trace.add(who, what, detail)

    # Playing.

    def play(self, until: float, done: Callable[[], bool] | None = None) -> bool:
        """Let things happen; whatever was done behind everybody's back is looked at first."""
        self.wake_all(*FETCHING, Role.SCHEDULER)
        self.meddled = False
        return self.timeline.play(until, self._look_ahead, done)

    def wake_all(self, *roles: Role) -> None:
        """Let all of these roles look again."""
        for process in list(self.processes.values()):
            if process.role in roles:
                self.wake(process)

    def changed(self, *, arrived: bool = False) -> None:
        """The queue has changed: something may come later, or `arrived`."""
        self.queue_changed = True
        self._came_up_empty_at = -1.0
        if arrived:
            self.wake_all(*FETCHING)

    def finishes(self, process: SimProcess) -> None:
        if isinstance(process.component, Command):
            self.cut_short = self.cut_short or process.component.cut_short

    def _look_ahead(self) -> bool:
        """Wake whoever has something to do now, and see that the next package is noticed."""
        if self.meddled:
            self.meddled = False
            self.changed()
            self.wake_all(Role.SCHEDULER)
            return True
        if not self.queue_changed or not self.services.broker.tells:
            return False
        self.queue_changed = False
        due = self.services.broker.next_available()
        if due is None:
            return False
        seconds = max(self.timeline.seconds_to(due), 0.0)
        if seconds == 0 and self._came_up_empty_at == self.timeline.now:
            # It is here, and cannot be had: then as the product does.
            seconds = self.services.config.poll
        moment = self.timeline.now + seconds
        if moment < self._comes_at or self._comes_at <= self.timeline.now:
            self._comes_at = moment
            self.timeline.at(moment, self.wake_all, *FETCHING)
        return seconds == 0

    # What happens.

    def steps(self, process: SimProcess) -> None:
        # A broker may give hundreds of packages one by one; who is busy for ever is found out here.
        process.idle_steps = 0
        self._steps = self._steps + 1 if self._steps_at == self.timeline.now else 0
        self._steps_at = self.timeline.now
        if self._steps > self.steps_max:
            raise Violation(
                f"{self.steps_max:,} steps, and no time has passed: tasks make tasks for ever"
            )
        if process.role is Role.PUSHER:
            self.services.broker.came_up_empty = False
        elif process in self._looks:
            self._looks[process].is_quiet = False

    def rests(self, process: SimProcess, wait: Wait) -> float | None:
        seconds = wait.seconds
        if process.role is Role.PUSHER and self.services.broker.came_up_empty:
            self._came_up_empty_at = self.timeline.now
            self.queue_changed = True
            return None if self.services.broker.tells else seconds
        if process in self._looks and self._looks[process].is_quiet:
            due = self._looks[process].seen
            return None if due is None else self.timeline.seconds_to(due)
        if isinstance(process.component, Command):
            # Time alone changes something while it has no sentinel, and after a third stop signal.
            is_well = process.component.report is not None
            return None if is_well and process.signals < StopLevel.AT_ONCE else seconds
        return seconds if seconds is None or seconds < SELDOM / 10 else None

    def seconds_of(self, process: SimProcess, delivery: Delivery) -> float:
        return self.services.seconds_of(delivery)

    def ends(self, process: SimProcess, run: TaskRun) -> None:
        component = process.component
        assert isinstance(component, LocalWorker), "only workers run tasks"
        outcome = component.outcome
        if outcome is None:
            self._over(process, run, "its worker died by it", success=None)
        else:
            line = "" if outcome.success else str(load_value(outcome.value))
            self._over(process, run, line, success=outcome.success)

    def dies(self, process: SimProcess, cause: str) -> None:
        self._looks.pop(process, None)
        if process.run is not None and self.stepping is not process:
            run = process.run
            limit = time_allowed(run.delivery, self._plan().policy)
            if limit is not None and self.timeline.now - run.began >= limit:
                self._over(process, run, timeout_line(limit), success=False)
            else:
                self._over(process, run, f"ended by {cause}", success=None)

    def _over(self, process: SimProcess, run: TaskRun, error: str, *, success: bool | None) -> None:
        seconds = round(self.timeline.now - run.began, 6)
        worker = process.component
        assert isinstance(worker, LocalWorker), "only workers run tasks"
        self.runs.append(
            Run(
                task_id=run.delivery.task_id,
                name=run.delivery.name,
                func=run.delivery.func,
                attempt=run.delivery.attempt,
                worker=process.name.rpartition(" ")[0],
                started=self.timeline.moment - timedelta(seconds=seconds),
                seconds=seconds,
                success=success,
                error=error,
                frame=run.delivery.frame,
                value=worker.outcome.value if success and worker.outcome else None,
            )
        )

    # Making.

    def make(self, process: SimProcess) -> Component:
        clock = process.clock = LocalClock(self.timeline)
        services = self.services
        around = Surroundings(clock, services.ids, LocalObserver(self, process), services.reporter)
        cluster = str(process.cluster)
        if process.role in {None, Role.SENTINEL}:
            process.spawner = SimSpawner(self, process)
        if process.role is None:
            self.born[process.cluster] = self.clock.now()
            return Command(
                spawner=process.spawner,  # type: ignore[arg-type]  # made above
                around=around,
                interrupts=lambda: process.signals,
                orphans=SimOrphans(self),
                cluster_id=cluster,
            )
        common: dict[str, Any] = {
            "around": around,
            "label": process.name.rpartition(" ")[0],
            "pid": process.pid,
        }
        link = process.links[0]
        if process.role is Role.SENTINEL:
            return Sentinel(
                plan=self._plan(),
                spawner=process.spawner,  # type: ignore[arg-type]  # made above
                command=link,
                cluster_id=cluster,
                **common,
            )
        return self._make_leaf(process, {"link": link, **common})

    def _make_leaf(self, process: SimProcess, common: dict[str, Any]) -> Component:
        services, config = self.services, self.services.config
        codec = assembly.make_codec(config, services.broker.list_key)
        store = LocalStore(services.store, self.troubles)
        schedules = LocalSchedules(services.schedules, self.troubles)
        match process.role:
            case Role.WORKER:
                worker = LocalWorker(
                    scope=lambda: self._scope(process),
                    present=store.present,
                    max_payload=config.max_payload,
                    **common,
                )
                worker.process = process
                return worker
            case Role.MONITOR:
                return Monitor(
                    broker=services.broker,
                    store=store,
                    codec=codec,
                    schedules=schedules,
                    **common,
                )
            case Role.SCHEDULER:
                self._looks[process] = schedules
                return Scheduler(
                    store=schedules,
                    queue_of=assembly.queue_finder(config, services.broker),
                    custom=schedule_defaults(),
                    zone_of=get_zone,
                    **common,
                )
        return Pusher(
            broker=services.broker,
            codec=codec,
            poll_seconds=config.poll,
            bulk=config.bulk,
            **common,
        )

    def _plan(self) -> Plan:
        services = self.services
        plan = assembly.make_plan(services.config, services.broker, run_once=False)
        return attrs.evolve(plan, guard_cycle=SELDOM)

    @contextmanager
    def _scope(self, process: SimProcess) -> Iterator[None]:
        """What surrounds a task: its time has passed when its function is called."""
        process.clock.behind = 0.0
        try:
            with commits_at_its_end(), savepoints(), ExitStack() as stack:
                for connection in connections.all(initialized_only=True):
                    stack.enter_context(connection.execute_wrapper(self._watch))
                yield
        finally:
            self.timeline.follow()

    def _watch(self, execute: Callable[..., Any], *call: Any) -> Any:
        """See that a task uses the database: who knows what for."""
        self.meddled = True
        return execute(*call)


class LocalObserver:
    """Remembers what a process tells, and tells it on."""

    def __init__(self, stage: LocalStage, process: SimProcess) -> None:
        self._stage = stage
        self._process = process

    def notify(self, event: Event) -> None:
        """Hear it."""
        self._stage.events.append(event)
        self._stage.note(self._process, "tells", event)
        self._stage.services.observer.notify(event)
