"""How far a stop is, and what it needs next: the documented procedure, and its two shorter forms.

The manual's stop procedure (1.12.9): the pusher stops; the workers work off what is in memory and
leave; the monitor saves what is left and leaves. That is `StopLevel.GENTLE`, a first signal. A second
one makes it HASTY: only what runs is finished, the rest goes back to the broker. A third ends
everything AT_ONCE. `stop_timeout` has the effect of a second signal and ends what runs as well.

A stop never hangs on a service: a pusher that does not come back from the broker, and a monitor that
saves nothing for `SAVING_SECONDS_MAX`, are given up. What they held is not acknowledged, so a broker
with receipts delivers it again; the stop then counts as cut short.
"""

from __future__ import annotations

import attrs

from djq.core.lifecycle import CLUSTER_TRANSITIONS, ClusterEvent, ClusterState, Role, move
from djq.core.protocol import StopLevel

PUSHER_SECONDS_MAX = 5.0
SAVING_SECONDS_MAX = 30.0


@attrs.frozen(kw_only=True)
class Facts:
    """What the stop has to know of the rest of the cluster."""

    pushers: int
    """Living pushers and schedulers: whatever brings new work."""
    workers: int
    monitors: int
    queued: int
    """Tasks in memory that no worker holds."""
    unsaved: int
    """Settled tasks that the monitor has not confirmed."""
    is_full: bool
    """So much is unsaved that nothing more is started."""
    all_ready: bool
    monitor_silent_seconds: float
    """How long the monitor has had something to save and has confirmed nothing."""


class Closing:
    """The cluster's machine, and the clock of its stop."""

    def __init__(self, *, stop_timeout: float | None) -> None:
        """`stop_timeout` is in seconds. None: a stop takes as long as the tasks do."""
        self._stop_timeout = stop_timeout
        self.state = ClusterState.STARTING
        self.level: StopLevel | None = None
        self.ends_running = False
        """What runs is to be ended: `stop_timeout` has passed."""
        self.cut_short: str | None = None
        """Why work was ended before its time. None: it was not."""
        self.since = 0.0
        """Monotonic seconds at which the present state was entered."""
        self._stopped_since = 0.0

    def ask(self, level: StopLevel, now: float) -> bool:
        """A stop is wanted, as soon as `level` says; True when this is news."""
        if self.level is not None and level <= self.level:
            return False
        first = self.level is None
        self.level = level
        if first:
            self._stopped_since = now
            self._enter(ClusterEvent.STOP, now)
        if level is StopLevel.AT_ONCE:
            self.end("everything was ended at once by a third signal", now)
        return True

    def end(self, reason: str, now: float) -> None:
        """Stop now, whatever is left."""
        self.note_cut(reason)
        if self.state is not ClusterState.STOPPED:
            self._enter(ClusterEvent.END, now)

    def note_cut(self, reason: str) -> None:
        """Work was ended before its time."""
        self.cut_short = self.cut_short or reason

    def advance(self, facts: Facts, now: float) -> None:
        """Move on as far as the facts allow."""
        if self.state is ClusterState.STARTING and facts.all_ready:
            self._enter(ClusterEvent.ALL_READY, now)
        if self.level is None:
            return
        self.check_patience(now)
        if self.state is ClusterState.HALTING and not facts.pushers:
            self._enter(ClusterEvent.PUSHER_GONE, now)
        if self.state is ClusterState.DRAINING and not facts.workers and not facts.queued:
            self._enter(ClusterEvent.WORKERS_GONE, now)
        saves_nothing = facts.monitor_silent_seconds >= SAVING_SECONDS_MAX
        if self.state is ClusterState.DRAINING and facts.is_full and saves_nothing:
            self.end(f"{facts.unsaved} results could not be saved in time", now)
        if self.state is ClusterState.SAVING:
            if not facts.unsaved and not facts.monitors:
                self._enter(ClusterEvent.MONITOR_GONE, now)
            elif saves_nothing:
                self.end(f"{facts.unsaved} results could not be saved in time", now)

    def wanted(self, facts: Facts) -> frozenset[Role]:
        """The roles whose vacant seats are to be filled."""
        match self.state:
            case ClusterState.STARTING | ClusterState.WORKING:
                return frozenset(Role)
            case ClusterState.HALTING:
                return frozenset({Role.WORKER, Role.MONITOR})
            case ClusterState.DRAINING:
                return frozenset({Role.WORKER, Role.MONITOR} if facts.queued else {Role.MONITOR})
            case ClusterState.SAVING if facts.unsaved:
                return frozenset({Role.MONITOR})
        return frozenset()

    def pusher_is_late(self, now: float) -> bool:
        """The pusher was asked to stop and has had its time."""
        return self.state is ClusterState.HALTING and now - self.since >= PUSHER_SECONDS_MAX

    def next_due(self) -> float | None:
        """Monotonic seconds at which time alone changes something."""
        moments = []
        if self.state is ClusterState.HALTING:
            moments.append(self.since + PUSHER_SECONDS_MAX)
        if self.level is not None and self._stop_timeout is not None and not self.ends_running:
            moments.append(self._stopped_since + self._stop_timeout)
        return min(moments, default=None)

    @property
    def is_hasty(self) -> bool:
        """What has not started goes back to the broker."""
        return self.level is not None and self.level >= StopLevel.HASTY

    def check_patience(self, now: float) -> None:
        """See whether `stop_timeout` has passed; asked before anybody is killed for it."""
        timeout = self._stop_timeout
        if (
            self.level is None
            or timeout is None
            or self.ends_running
            or now - self._stopped_since < timeout
        ):
            return
        self.ends_running = True
        if self.level is StopLevel.GENTLE:
            self.level = StopLevel.HASTY

    def _enter(self, event: ClusterEvent, now: float) -> None:
        self.state = move(CLUSTER_TRANSITIONS, self.state, event)
        self.since = now
