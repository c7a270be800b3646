"""The whole cluster inside one test, on a clock that the test moves.

    with LocalCluster(workers=2) as cluster:
        cluster.takes("shop.tasks.report", seconds=90)
        async_task("shop.tasks.report", 2026)
        cluster.advance(30)
        cluster.kill("worker", slot=0)
        cluster.run_until_idle()
        assert [run.attempt for run in cluster.runs] == [1, 2]

It is the real one: command, sentinel, pusher, workers, monitor and scheduler, with the real codec and
signatures, in one thread. What is simulated is what lies between them: processes, pipes, and time. A
step or a message takes none, so the clock moves only when the test moves it, when a task takes time,
or when somebody has to wait. Idle time costs nothing: a year is as long as what happens in it.

Tasks run in the test's own transaction, where it has one, each with a savepoint, and with the test
everything is rolled back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Any, Self

import attrs
from django.conf import settings as django_settings
from django.test import override_settings

from djq import assembly
from djq.conf import get_config
from djq.core.config import Config
from djq.core.events import Event
from djq.exceptions import ConfigError, ScheduleRefused
from djq.monitor import Stat
from djq.ports import Broker, ScheduleStore
from djq.schedules.rows import row_of
from djq.signals import LoggingObserver, line_of
from djq.tasks.scheduling import schedule
from djq.wiring import wired, wiring
from djq_testing.brokers import make_broker
from djq_testing.clock import ManualClock, SeededIds
from djq_testing.commits import callbacks_run_once, run_commits
from djq_testing.local.cache import ClockedCache
from djq_testing.local.faults import Faults
from djq_testing.local.ports import LocalBroker
from djq_testing.local.results import memory_store
from djq_testing.local.runs import Run
from djq_testing.local.stage import LocalStage, Services
from djq_testing.local.state import pending, stat_of, uses_database
from djq_testing.schedules import MemoryScheduleStore
from djq_testing.sim.faults import Violation

if TYPE_CHECKING:
    from djq.models import Schedule

IDLE_SECONDS_MAX = 86_400
STORY_LINES = 40
"""Of the story, what an error shows."""

BrokerChoice = str | Broker | Callable[[str], Broker]


class ClusterError(AssertionError):
    """A cluster in process does not come to rest, or one of its processes crashed."""


class LocalCluster(Faults):
    """One or more clusters in this thread, while it is open: it is a context manager.

    Meanwhile `async_task`, `async_iter`, chains, `schedule`, `result`, `get_broker` and the like, of
    the test and of its tasks, work with its broker, its clock, its ids and its stores. What waits for
    a commit of the test's own transaction is done whenever it begins to play.
    """

    def __init__(
        self,
        clock: ManualClock | None = None,
        *,
        workers: int | None = None,
        clusters: int = 1,
        broker: BrokerChoice = "memory",
        store: str | None = None,
        seed: int | str = 0,
        **q_cluster: Any,
    ) -> None:
        """Say what there is to be; it begins when it is opened.

        Args:
            clock: The clock that it stands on; a new one when None.
            workers: Workers of each cluster; when None as the project's settings say, else 2.
            clusters: How many clusters work on the queue.
            broker: `memory`, or `orm`: the queue in the test's database. Or a broker, or a function
                (a class, say) that makes one of a queue's name. One of your own may have a method
                `next_available()` that says when the next package comes, an aware datetime or None;
                otherwise it is asked every `poll` seconds, as in production.
            store: Where results and schedules are: `database`, or `memory` for tests without one.
                None: the database, if the test may use it.
            seed: Of the ids of tasks; two clusters of one test should have two.
            **q_cluster: Settings, as in the project's Q_CLUSTER, which they override: `timeout=30`,
                `retry=60`, `ack_failures=False` and so on.

        Raises:
            ValueError: There is no such broker or store, or less than one cluster.
        """
        if isinstance(broker, str) and broker not in {"memory", "orm"}:
            raise ValueError(f"broker is {broker!r}; it must be 'memory', 'orm', or a broker")
        if store not in {None, "memory", "database"}:
            raise ValueError(f"store is {store!r}; it must be 'memory', 'database' or None")
        if clusters < 1:
            raise ValueError(f"clusters is {clusters!r}; it must be at least 1")
        self.clock = ManualClock() if clock is None else clock
        super().__init__(LocalStage(self.clock))
        self._clusters = clusters
        self._choice = broker
        self._store = store
        self._ids = SeededIds(seed)
        self._settings = {**({} if workers is None else {"workers": workers}), **q_cluster}
        self._brokers: dict[str, LocalBroker] = {}
        self._stack = ExitStack()
        self._is_playing = False

    # Opening and closing.

    def __enter__(self) -> Self:
        """Start the clusters, with this in the place of what the settings choose.

        Raises:
            ConfigError: A setting is unknown or wrong.
            RuntimeError: It has been open before; make another one.
        """
        if self._stage.processes or self._brokers:
            raise RuntimeError("this cluster has been open before; make another one")
        with self._stack:
            project = getattr(django_settings, "Q_CLUSTER", {})
            if isinstance(project, Mapping):
                raw = {"workers": 2, **project, **self._settings}
                self._stack.enter_context(override_settings(Q_CLUSTER=raw))
            config = get_config()
            in_memory = self._store == "memory" or (self._store is None and not uses_database())
            results = memory_store() if in_memory else None
            rows = MemoryScheduleStore(clock=self.clock) if in_memory else None
            observer = wiring().observer or LoggingObserver(config.name)
            instead = wired(
                clock=self.clock,
                ids=self._ids,
                broker=self._broker_of,
                sync=False,
                run=None,
                endless=self._refuse_to_wait,
                store=results,
                cache=ClockedCache(self.clock),
                keep_schedule=None if rows is None else self._keeper(rows),
            )
            self._stack.enter_context(instead)
            self._stack.enter_context(callbacks_run_once())
            self._stage.services = Services(
                config=config,
                broker=self._broker_of(config, config.name),
                store=assembly.make_store(config),
                schedules=assembly.make_schedule_store() if rows is None else rows,
                ids=self._ids,
                observer=observer,
                reporter=wiring().reporter,
                seconds_of=self._durations.of,
            )
            # Another cluster on this clock plays again when this one is closed.
            self._stack.callback(self.clock.drive, self.clock.drive(self))
            self.start(self._clusters)
            # Nothing went wrong, so what was entered stays so until it is closed.
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        """Put everything back as it was; nobody is stopped, and what runs comes to no end."""
        self._stack.close()

    def start(self, clusters: int = 1) -> None:
        """Start clusters, beside those that run; what is due at this moment happens."""
        for _ in range(clusters):
            self._stage.start_cluster()
        self._play(0)

    def stop(self, *, signals: int = 1) -> int:
        """Let all clusters go through the documented stop procedure, and wait for its end.

        Args:
            signals: How many stop signals they get: 2 to hand back what has not begun, 3 to end
                everything at once.

        Returns:
            The exit code: 0 after a clean stop, 1 when work was cut short.

        Raises:
            ClusterError: They have not stopped in a day.
        """
        self._stage.cut_short = False
        for process in self._stage.living(None):
            process.signals = signals
            self._stage.wake(process)
        if not self._play(IDLE_SECONDS_MAX, lambda: not self._stage.processes):
            raise self._error("the cluster has not stopped in a day", pending(self._stage))
        return int(self._stage.cut_short)

    # Time.

    def run_until_idle(self, seconds: float = IDLE_SECONDS_MAX) -> None:
        """Play until there is nothing to do: nothing queued, held, running, or coming back.

        Tasks take the time that `takes` says, and who must wait waits: for a lease that ends, for a
        broker that is down. Schedules that are due fire, later ones do not.

        Args:
            seconds: How long it may take, by the clock; a day when left out.

        Raises:
            ClusterError: It is not idle by then, or no cluster runs; the message says why.
            RuntimeError: A task called it, and it would wait for itself.
        """
        if not self._play(seconds, self._is_over):
            raise self._error(f"not idle after {seconds:g} s", pending(self._stage))

    def advance(
        self, seconds: float = 0, *, minutes: float = 0, hours: float = 0, days: float = 0
    ) -> None:
        """Move the clock on by the sum; what falls into that time happens, each thing in its time."""
        self.clock.advance(seconds, minutes=minutes, hours=hours, days=days)

    def advance_to(self, moment: datetime) -> None:
        """Move the clock on to a moment, an aware datetime; see `advance`."""
        self.clock.advance_to(moment)

    def play_until(self, moment: datetime) -> None:
        """Let everything happen up to a moment: for the clock, which calls it when it is moved."""
        if not self._is_playing:
            self._play((moment - self.clock.now()).total_seconds())

    def quiet_seconds(self) -> float:
        """For how long nothing happens by itself: for the clock, when a caller waits on it."""
        return self._stage.timeline.quiet_seconds()

    # What there is to look at.

    @property
    def runs(self) -> Sequence[Run]:
        """What was run, hooks too, in the order in which it ended; the last 100,000."""
        return list(self._stage.runs)

    @property
    def events(self) -> Sequence[Event]:
        """What the processes told, as values of `djq.core.events`; the last 100,000."""
        return list(self._stage.events)

    @property
    def log(self) -> Sequence[str]:
        """The same in the words of the log."""
        return [line_of(event)[1] for event in self._stage.events]

    @property
    def strikes(self) -> Mapping[str, int]:
        """How often each fault struck that was asked for: `save`, `broker away`, `duplicate` and so on."""
        return dict(self._stage.troubles.strikes)

    @property
    def stat(self) -> Stat:
        """The status of the cluster, as `Cluster.stat` gives it; of the first one of several."""
        return stat_of(self._stage)

    @property
    def broker(self) -> Broker:
        """The broker of the clusters' queue."""
        return self._stage.services.broker

    @property
    def schedules(self) -> ScheduleStore:
        """Where the schedules are."""
        return self._stage.services.schedules

    @property
    def pending(self) -> Sequence[str]:
        """Why the cluster is not idle, in words. Empty: it is."""
        return list(pending(self._stage))

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do at this moment."""
        return not self.pending

    def story(self, lines: int | None = None) -> str:
        """What happened, a line each with time and process: the last so many, 5,000 at most."""
        told = self._stage.trace.lines()
        return "\n".join(told if lines is None else told[-lines:])

    def schedule(self, func: str, /, *args: Any, **options: Any) -> Schedule:
        """Make a schedule, as `djq.tasks.schedule` does; without a database too.

        Kept in memory, it is an object that was never saved: it has a key, and nothing else that
        asks the database.

        Raises:
            ScheduleRefused: Something is wrong with it; the message has a sentence for each field.
        """
        return schedule(func, *args, **options)

    # The inside.

    def _play(self, seconds: float, done: Callable[[], bool] | None = None) -> bool:
        if self._is_playing:
            raise RuntimeError(
                "a task of this cluster cannot let it play: it would wait for its own end"
            )
        self._is_playing = True
        try:
            run_commits()
            self._stage.timeline.follow()
            return self._stage.play(self._stage.timeline.now + seconds, done)
        except Violation as error:
            raise self._error(str(error), ()) from error
        finally:
            self._is_playing = False

    def _refuse_to_wait(self, in_vain: bool) -> None:  # noqa: FBT001 - as it is called
        if self._is_playing:
            raise RuntimeError(
                "a task of this cluster cannot wait without an end: nothing else happens before its own"
            )
        # At first it may not have been looked yet at what the test has done.
        if in_vain and self.quiet_seconds() == inf:
            raise self._error(
                "whoever waits here without an end waits for ever: nothing will happen any more",
                pending(self._stage),
            )

    def _is_over(self) -> bool:
        found = next(pending(self._stage), None)
        if found is not None and not self._stage.living(None):
            raise self._error("no cluster is running; start() starts one", pending(self._stage))
        return found is None

    def _error(self, what: str, reasons: Iterable[str]) -> ClusterError:
        told = "\n".join(f"  {reason}" for reason in reasons)
        return ClusterError(f"{what}\n{told}\nThe last that happened:\n{self.story(STORY_LINES)}")

    def _broker_of(self, config: Config, key: str) -> LocalBroker:
        if key not in self._brokers:
            inner = self._make_broker(config, key)
            self._brokers[key] = LocalBroker(inner, self._stage.troubles, self._stage.changed)
        return self._brokers[key]

    def _make_broker(self, config: Config, key: str) -> Broker:
        choice = self._choice
        if isinstance(choice, Broker):
            if key != config.name:
                raise ConfigError(
                    f"this cluster was given one broker, and the queue {key!r:.100} needs another; "
                    "give a function that makes a broker of a queue's name"
                )
            return choice
        if callable(choice):
            return choice(key)
        return make_broker(choice, config, key, self.clock)

    def _keeper(self, store: MemoryScheduleStore) -> Callable[[Schedule], None]:
        def keep(made: Schedule) -> None:
            names = {each.row.name for each in store.rows.values()}
            if made.name is not None and made.name in names:
                raise ScheduleRefused("name: Schedule with this name already exists.")
            made.pk = max(store.rows, default=0) + 1
            row = attrs.evolve(row_of(made), id=made.pk)
            store.add(enabled=made.enabled, **attrs.asdict(row, recurse=False, filter=_not_held))
            self._stage.meddled = True

        return keep


def _not_held(attribute: attrs.Attribute[Any], _value: object) -> bool:
    return attribute.name != "held"
