"""The process that was asked to run a cluster: starts its sentinel, passes stop signals on, waits.

It does not fork anything but the sentinel, and starts a new one when the present one dies: that
one's children finish what they hold and leave by themselves, and with a broker that gives receipts
what they had not finished comes back when its lease ends. When the cluster has stopped, whatever is
left of the children of a sentinel that died is ended, where that can be done.
"""

from __future__ import annotations

from collections.abc import Callable

from djq.core.events import ClusterStarting, ClusterStopped, ClusterStopping, StopCutShort
from djq.core.lifecycle import ClusterState, Role
from djq.core.protocol import NO_RESTARTS, Report, Stop, StopLevel
from djq.core.settlement import describe_exit
from djq.core.supervision import Supervision
from djq.core.tally import NONE, Tally
from djq.core.totals import Totals, one_more
from djq.ports import Link, Orphans, Spawner, Surroundings, Wait

LAST_SECONDS_MAX = 3.0
"""After a third stop signal, how long the sentinel may take before it is killed."""
LOOK_SECONDS = 0.5


class Command:
    """Done when the cluster has stopped."""

    def __init__(
        self,
        *,
        spawner: Spawner,
        around: Surroundings,
        interrupts: Callable[[], int],
        orphans: Orphans,
        cluster_id: str,
    ) -> None:
        """`interrupts` counts the stop signals that have come."""
        self._spawner = spawner
        self._around = around
        self._interrupts = interrupts
        self._orphans = orphans
        self._cluster_id = cluster_id
        self._seats = Supervision({Role.SENTINEL: 1})
        self._link: Link | None = None
        self._asked = 0
        self._asked_before = 0
        self._at_once_since: float | None = None
        self._greeted = False
        self.report: Report | None = None
        """What the sentinel last said of the cluster. None: nothing yet."""
        self.tally = Tally()
        """What has ended; a sentinel that dies takes along only what it had not reported yet."""
        self.totals = Totals()
        """The same by function, since the cluster began."""
        self.restarts = NO_RESTARTS
        """Children that were replaced since then, sentinels among them."""
        self.cut_short = False
        """Work was ended before its time: the exit code is 1."""

    def ask_stop(self) -> None:
        """Initiate the stop procedure, as a first signal does."""
        self._asked_before = max(self._asked_before, 1)

    @property
    def is_stopping(self) -> bool:
        return self._asked > 0

    def step(self) -> Wait | None:
        """Hear the sentinel, see to it, pass signals on. None: the cluster has stopped."""
        now = self._around.clock.monotonic()
        if not self._greeted:
            self._greeted = True
            self._around.observer.notify(ClusterStarting(self._cluster_id))
        self._hear()
        if self._bury(now):
            left = self._orphans.end()
            if left:
                self.cut_short = True
                reason = f"{left} {self._orphans.fate}"
                self._around.observer.notify(StopCutShort(reason))
            self._around.observer.notify(ClusterStopped(self._cluster_id))
            return None
        self._pass_on(now)
        if not self._asked:
            self._hire(now)
        return Wait(LOOK_SECONDS)

    def _hear(self) -> None:
        if self._link is None:
            return
        for message in self._link.receive():
            if isinstance(message, Report):
                if self.report is None:
                    for child in self._seats.of(Role.SENTINEL):
                        self._seats.ready(child.id, 0)
                before = NONE if self.report is None else self.report.ended
                self.tally.add(message.ended - before, message.at)
                for total in message.counted:
                    self.totals.add(total)
                if message.restarts is not None:
                    self.restarts += message.restarts
                self.report = message
                self.cut_short = self.cut_short or message.cut_short

    def _bury(self, now: float) -> bool:
        """Learn of the sentinel's death; True when that is the end of the cluster."""
        for death in self._spawner.exits():
            self._hear()
            self._spawner.forget(death.child)
            self._link = None
            reason = describe_exit(death.code)
            self._seats.exited(death.child, now, reason)
            if self.report is not None:
                stopped = self.report.state == ClusterState.STOPPED.name
                # One that has stopped has ended its children itself.
                self._orphans.adopt([] if stopped else [pid for _, pid in self.report.pids])
                if stopped:
                    return True
            if self._asked:
                self.cut_short = True
                event = StopCutShort(f"the sentinel died while the cluster stopped: {reason}")
                self._around.observer.notify(event)
                return True
            self.report = None
        return bool(self._asked) and self._link is None

    def _hire(self, now: float) -> None:
        for hiring in self._seats.hire(now, (Role.SENTINEL,)):
            label = f"Process-{hiring.number}"
            try:
                self._link = self._spawner.spawn(hiring.child, label)
            except OSError as error:
                self._seats.unable(hiring.child, now, str(error))
                continue
            if hiring.cause is not None:
                self.restarts = one_more(self.restarts, hiring.cause)

    def _pass_on(self, now: float) -> None:
        asked = min(max(self._interrupts(), self._asked_before), StopLevel.AT_ONCE)
        if asked > self._asked:
            if not self._asked:
                self._around.observer.notify(ClusterStopping(self._cluster_id))
            self._asked = asked
            if self._link is not None:
                self._link.send(Stop(StopLevel(asked)))
            if asked == StopLevel.AT_ONCE:
                self._at_once_since = now
        if self._at_once_since is not None and now - self._at_once_since >= LAST_SECONDS_MAX:
            self.cut_short = True
            for child in self._seats.of(Role.SENTINEL):
                self._spawner.kill(child.id)
