"""`djq_live_cluster`: a real cluster of forked processes, on the test's own database.

For what only processes can show. It sees what the test has committed, so it needs a test whose
transactions are real (`TransactionTestCase`, pytest-django's `transactional_db`), and a database that
another process can open.
"""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.test import override_settings

from djq.assembly import callers_clock
from djq.brokers import get_broker
from djq.brokers.orm import OrmBroker
from djq.cluster import Cluster
from djq.conf import get_config
from djq.ports import Broker
from djq.tasks import fetch
from djq.tasks.waiting import Waiter
from djq.wiring import Wiring, wiring

if TYPE_CHECKING:
    from djq.models import Task

Found = TypeVar("Found")

IDLE = "Idle"
WORKERS = 2
CALM_CYCLES = 2
"""Reports of the sentinel during which all has to be quiet."""
NAME_CHARACTERS_MAX = 40


class LiveCluster:
    """Runs while its context is open; its queue has a name of its own, so that no other takes from it.

    Use it as a context, or ask for the fixture `djq_live_cluster`, or inherit from `LiveClusterMixin`.
    """

    def __init__(self, **q_cluster: Any) -> None:
        """Make it; it starts when it is entered.

        Args:
            **q_cluster: Settings as in `Q_CLUSTER`, over those of the project. There are 2 workers,
                and 0.05 s for `poll` and `guard_cycle`, unless they say otherwise.
        """
        self._chosen = q_cluster
        self._context = ExitStack()
        self._cluster: Cluster | None = None

    def __enter__(self) -> Self:
        """Start the cluster, and wait until every process is ready.

        Raises:
            RuntimeError: The test keeps its data from other processes; the message says how.
        """
        _refuse_what_no_process_sees()
        project: Mapping[str, Any] = getattr(settings, "Q_CLUSTER", {})
        name = f"{project.get('name', 'default')}"[:NAME_CHARACTERS_MAX]
        own = {
            "workers": WORKERS,
            "poll": 0.05,
            "guard_cycle": 0.05,
            **project,
            "name": f"{name}-test-{os.getpid()}-{id(self):x}",
            "sync": False,
            **self._chosen,
        }
        with ExitStack() as context:
            context.enter_context(override_settings(Q_CLUSTER=own))
            context.callback(self._end)
            with warnings.catch_warnings():
                # A test process may have threads (pytest-xdist has): only this one goes on in the
                # child, and the child starts no task before it has forked again.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._cluster = Cluster()
                self._cluster.start()
            self._context = context.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    @property
    def cluster(self) -> Cluster:
        """The documented object: its `stat` has the processes' ids."""
        if self._cluster is None:
            raise RuntimeError("the cluster has not been started: enter its context first")
        return self._cluster

    def wait_for(self, task_id: str | UUID, seconds: float = 10.0) -> Task:
        """Wait for a task's outcome, and give it.

        Args:
            task_id: The id or the name of the task.
            seconds: Most seconds to wait.

        Raises:
            AssertionError: There is none by then; the message says what the cluster does.
        """
        return self._wait(lambda: fetch(task_id), seconds, f"task {task_id} has no outcome")

    def run_until_idle(self, seconds: float = 30.0) -> None:
        """Wait until nothing is queued and nothing runs.

        Raises:
            AssertionError: That is not so after so many seconds; the message says what is left.
        """
        clock = callers_clock()
        calm_seconds = CALM_CYCLES * get_config().guard_cycle
        since: float | None = None

        def look() -> bool | None:
            # One look is no proof: the status is a report and comes late, and a broker without receipts
            # knows nothing of what is in hand.
            nonlocal since
            if not self._is_idle():
                since = None
                return None
            now = clock.monotonic()
            since = now if since is None else since
            return True if now - since >= calm_seconds else None

        self._wait(look, seconds, "the cluster is not idle")

    def kill(self, role: str, slot: int = 0) -> int:
        """Kill a process with SIGKILL; another takes its place. Gives the pid that it had.

        Args:
            role: "worker", "monitor", "pusher" or "sentinel".
            slot: Which of the workers, from 0.

        Raises:
            ValueError: There is no such process.
        """
        stat = self.cluster.stat
        single = {"monitor": stat.monitor, "pusher": stat.pusher, "sentinel": stat.sentinel}
        pids: dict[str, list[int]] = {"worker": list(stat.workers)}
        pids |= {name: [pid] for name, pid in single.items() if pid is not None}
        known = pids.get(role, [])
        if not 0 <= slot < len(known):
            there = ", ".join(f"{len(each)} {name}" for name, each in pids.items())
            raise ValueError(f"there is no {role} {slot}; there are {there}, counted from 0")
        os.kill(known[slot], signal.SIGKILL)
        return known[slot]

    def stop(self) -> int:
        """Stop the cluster as a signal would, and give its exit code: 0 if no work was cut short."""
        self.cluster.stop()
        return self.cluster.exit_code or 0

    def _is_idle(self) -> bool:
        return not outstanding(get_broker()) and self.cluster.stat.status == IDLE

    def _wait(self, look: Callable[[], Found | None], seconds: float, what: str) -> Found:
        clock = callers_clock()
        found = Waiter(clock, clock.pause).wait(look, 1_000 * seconds)
        if found is None:
            stat, broker = self.cluster.stat, get_broker()
            raise AssertionError(
                f"{what} after {seconds} s: the cluster is {stat.status}, {stat.task_q_size} tasks in "
                f"its hands, {stat.done_q_size} outcomes not saved, {broker.queue_size()} packages in "
                f"the queue, {stat.reincarnations} processes were replaced"
            )
        return found

    def _end(self) -> None:
        if self._cluster is not None:
            self._cluster.stop()
            get_broker().delete_queue()


def outstanding(broker: Broker) -> int:
    """How many packages there are, those in hand included.

    What follows from a task is in the queue before the task is out of it. Asked for the two numbers
    one after the other, a broker can say 0 twice while a package goes from the one to the other; so
    the queue in a database is asked once for both, and another one twice over.
    """
    if isinstance(broker, OrmBroker):
        rows = apps.get_model("djq", "OrmQ").objects.using(broker.database)
        return int(rows.filter(key=broker.list_key).count())
    return sum(broker.queue_size() + (broker.lock_size() or 0) for _ in range(2))


def _refuse_what_no_process_sees() -> None:
    if wiring() != Wiring():
        raise RuntimeError(
            "a live cluster goes by the real clock and broker; leave out djq_clock, djq_sync, "
            "djq_queue, djq_broker and djq_cluster in this test"
        )
    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block:
            raise RuntimeError(
                f"the database {connection.alias!r} is in a transaction, and no other process sees what "
                "a test does in it; use TransactionTestCase, or @pytest.mark.django_db(transaction=True)"
            )
    for alias in connections:
        database = connections[alias]
        if database.vendor == "sqlite" and database.is_in_memory_db():  # type: ignore[attr-defined]
            raise RuntimeError(
                f"the database {alias!r} is SQLite in memory, which no other process sees; give it a "
                f"file in tests: DATABASES[{alias!r}]['TEST'] = {{'NAME': BASE_DIR / 'test.sqlite3'}}"
            )
