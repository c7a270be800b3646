"""Deliberately broken parts for what comes from outside: outages, wrong clocks, limits, schedules."""

from __future__ import annotations

import attrs

from djq.components.backoff import Backoff
from djq.components.monitor import Monitor
from djq.components.pusher import FETCH_MAX, Pusher
from djq.components.scheduler import Scheduler
from djq.components.sentinel import Sentinel
from djq.exceptions import BrokerUnavailable
from djq.ports import Clock, Wait
from djq_testing.sim import Parts
from tests.sim import schedule_mutants


class GivesUpAtAnOutage(Pusher):
    """A broker that is away is asked again until it is back."""

    def _fetch(self):
        try:
            return super()._fetch()
        except BrokerUnavailable:
            self._credit = 0
            return []


class AsksAgainAtOnce(Monitor):
    """Who waits for a service leaves it alone for a while, and longer each time."""

    def __init__(self, **ports) -> None:
        super().__init__(**ports)
        self._store_pauses = _NoPause("result store", self._around)
        self._broker_pauses = _NoPause("broker", self._around)


class _NoPause(Backoff):
    def seconds_left(self) -> float:
        return 0.0


class MeasuresByTheTimeOfDay(Sentinel):
    """A time limit is measured, whatever somebody does to the clock on the wall."""

    def __init__(self, *, around, **ports) -> None:
        super().__init__(around=attrs.evolve(around, clock=_WallClock(around.clock)), **ports)


class _WallClock:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self):
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.now().timestamp()


class FetchesBeyondTheBrokersLimit(Pusher):
    """No fetch asks for more than the broker gives at a time."""

    def __init__(self, **ports) -> None:
        super().__init__(**ports)
        self._fetch_max = FETCH_MAX


class TellsNoScheduleOfItsEnd(Monitor):
    """A schedule that skips while its task is unfinished learns that it has finished."""

    def __init__(self, **ports) -> None:
        super().__init__(**ports)
        self._schedules = None


class SchedulesThroughAStop(Scheduler):
    """A scheduler that is told to stop leaves."""

    def step(self) -> Wait | None:
        wait = super().step()
        if wait is None and not self._link.ended:
            return Wait(1.0)
        return wait


class SchedulesWithoutASentinel(Scheduler):
    """A scheduler leaves with its sentinel."""

    def step(self) -> Wait | None:
        wait = super().step()
        return Wait(1.0) if wait is None and self._link.ended else wait


class ClusterSaysSentBeforeItSends(schedule_mutants.SaysSentBeforeItSends):
    """A slot's task is sent before its row says so, in a cluster too."""


class ClusterForgetsWhatItIsSending(schedule_mutants.ForgetsWhatItIsSending):
    """A row says what is being sent before it is, in a cluster too."""


class ClusterMakesNewIdsEachTime(schedule_mutants.MakesNewIdsEachTime):
    """A slot's task has one id, whichever cluster sends it, and however often."""


CLUSTER_MUTANTS: dict[str, Parts] = {
    **{
        kind.__name__: Parts(pusher=kind)
        for kind in (GivesUpAtAnOutage, FetchesBeyondTheBrokersLimit)
    },
    **{kind.__name__: Parts(monitor=kind) for kind in (AsksAgainAtOnce, TellsNoScheduleOfItsEnd)},
    **{kind.__name__: Parts(sentinel=kind) for kind in (MeasuresByTheTimeOfDay,)},
    **{
        kind.__name__: Parts(scheduler=kind)
        for kind in (
            ClusterForgetsWhatItIsSending,
            ClusterMakesNewIdsEachTime,
            ClusterSaysSentBeforeItSends,
            SchedulesThroughAStop,
            SchedulesWithoutASentinel,
        )
    },
}
