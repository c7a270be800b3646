"""What the pytest fixtures give, for tests of `unittest`: mixins for Django's test cases.

Put one before the case: `class ReportTests(QueueMixin, TestCase)`. A `setUp` of your own calls
`super().setUp()` first. Options are attributes of the class.
"""

from __future__ import annotations

import unittest
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from djq.wiring import wired
from djq_testing.clock import ManualClock, clock_at
from djq_testing.cluster import LocalCluster
from djq_testing.held import HeldQueue
from djq_testing.live import LiveCluster
from djq_testing.sync import SyncTasks

if TYPE_CHECKING:
    Base = unittest.TestCase
else:
    Base = object

CLOCK, LIVE = "ClockMixin", "LiveClusterMixin"


class _Mixin(Base):
    """Refuses what would leave tasks to the project's own broker and say nothing of it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        own = [kind for kind in order if _Mixin in kind.__bases__]
        case = order.index(unittest.TestCase) if unittest.TestCase in order else len(order)
        late = [kind.__name__ for kind in own if order.index(kind) > case]
        if late:
            raise TypeError(
                f"{cls.__name__}: {', '.join(late)} must stand before the test case, or its setUp is never "
                f"called: class {cls.__name__}({late[0]}, TestCase)"
            )
        names = [kind.__name__ for kind in own]
        # A clock goes with each of them but real processes, which cannot see it.
        others = names if LIVE in names else [name for name in names if name != CLOCK]
        if len(others) > 1:
            raise TypeError(
                f"{cls.__name__}: {' and '.join(others)} exclude one another: each decides where tasks "
                "run, or by which clock"
            )


class ClockMixin(_Mixin):
    """`self.djq_clock`: the clock that the test moves."""

    djq_clock_start: datetime | str | None = None
    """Where it starts, an aware datetime or ISO text. None: at the present time."""
    djq_clock: ManualClock

    def setUp(self) -> None:
        super().setUp()
        self.djq_clock = clock_at(self.djq_clock_start)
        self.enterContext(wired(clock=self.djq_clock))


class SyncMixin(_Mixin):
    """`self.djq_sync`: each task runs where it is asked for."""

    djq_raises = False
    """Whether what a task raises is raised in the test."""
    djq_store = "database"
    """Where outcomes go; "memory" in a `SimpleTestCase`."""
    djq_sync: SyncTasks

    def setUp(self) -> None:
        super().setUp()
        self.djq_sync = self.enterContext(SyncTasks(raises=self.djq_raises, store=self.djq_store))


class QueueMixin(_Mixin):
    """`self.djq_queue`: tasks are held, looked at, and run when the test says so."""

    djq_raises = False
    """Whether the verbs that run raise what a task raised."""
    djq_store = "database"
    """Where outcomes go; "memory" in a `SimpleTestCase`."""
    djq_queue: HeldQueue

    def setUp(self) -> None:
        super().setUp()
        self.djq_queue = self.enterContext(HeldQueue(raises=self.djq_raises, store=self.djq_store))


class ClusterMixin(ClockMixin, _Mixin):
    """`self.djq_cluster`: a whole cluster in the test's own thread; `self.djq_clock` is its clock."""

    djq_cluster_options: Mapping[str, Any] = {}
    """Options as of `LocalCluster`: `workers`, `clusters`, `broker`, `store`, and settings."""
    djq_cluster: LocalCluster

    def setUp(self) -> None:
        super().setUp()
        self.djq_cluster = self.enterContext(
            LocalCluster(self.djq_clock, **self.djq_cluster_options)
        )


class LiveClusterMixin(_Mixin):
    """`self.djq_live_cluster`: real processes, for a `TransactionTestCase`."""

    djq_cluster_settings: Mapping[str, Any] = {}
    """Settings as in `Q_CLUSTER`, over the project's own."""
    djq_live_cluster: LiveCluster

    def setUp(self) -> None:
        super().setUp()
        self.djq_live_cluster = self.enterContext(LiveCluster(**self.djq_cluster_settings))
