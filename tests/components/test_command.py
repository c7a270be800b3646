"""Holds the command: one sentinel at a time, signals passed on, and a true exit code."""

from __future__ import annotations

import attrs
import pytest

from djq.components.command import LAST_SECONDS_MAX, Command
from djq.core.events import ClusterStarting, ClusterStopped, ClusterStopping, StopCutShort
from djq.core.lifecycle import ChildId, Role
from djq.core.protocol import NO_RESTARTS, FuncTotal, Report, Restarts, Stop, StopLevel
from djq.core.tally import Count
from tests.components import parts


def sentinel(generation=1):
    return ChildId(Role.SENTINEL, 0, generation)


def report(state="WORKING", *, cut_short=False, pids=(), **more):
    return Report(state, True, tuple(pids), 0, 0, 0, cut_short, **more)


class Orphans:
    """Remembers whom it was given."""

    def __init__(self):
        self.adopted = []
        self.ended = False
        self.living = 0
        self.fate = "children were ended"

    def adopt(self, pids):
        self.adopted += pids

    def end(self):
        self.ended = True
        return self.living


class Bench(parts.Scene):
    """A command whose sentinel is played by the test."""

    def __init__(self):
        super().__init__()
        self.spawner = parts.FakeSpawner()
        self.orphans = Orphans()
        self.signals = 0
        self.command = Command(
            spawner=self.spawner,
            around=self.around,
            interrupts=lambda: self.signals,
            orphans=self.orphans,
            cluster_id="77",
        )

    def step(self, seconds=0.0):
        self.clock.advance(seconds)
        return self.command.step()

    def say(self, *messages, generation=1):
        self.spawner.ends[sentinel(generation)].send(*messages)
        return self.step()

    def end(self, code=0, generation=1):
        self.spawner.end(sentinel(generation), code)
        return self.step()

    def asked(self, generation=1):
        return [stop.level for stop in self.spawner.ends[sentinel(generation)].receive()]


@pytest.fixture
def bench():
    bench = Bench()
    bench.step()
    bench.say(report(pids=[("worker", 101), ("monitor", 102)]))
    return bench


def test_a_command_starts_one_sentinel():
    bench = Bench()
    bench.step()
    bench.step()

    assert bench.spawner.labels == {sentinel(): "Process-1"}
    assert bench.observer.events == [ClusterStarting("77")]
    assert bench.command.report is None


def test_a_command_knows_the_last_report(bench):
    bench.say(report("STARTING"), report("WORKING"))

    assert bench.command.report == report("WORKING")


def test_what_has_ended_is_counted_once_and_by_the_time_of_the_report(bench):
    bench.clock.advance(100)
    bench.say(report(ended=Count(5, 1), at=10.0), report(ended=Count(6, 1), at=70.0))

    throughput = bench.command.tally.throughput(bench.clock.monotonic())
    assert throughput.last_hour == Count(6, 1)
    assert throughput.last_minute == Count(1, 0)


def test_what_a_sentinel_counted_is_not_lost_with_it(bench):
    bench.say(report(ended=Count(5, 1)))
    bench.end(-9)
    bench.step()
    bench.say(report(ended=Count(2, 0)), report(ended=Count(3, 0)), generation=2)

    throughput = bench.command.tally.throughput(bench.clock.monotonic())
    assert throughput.last_hour == Count(8, 1)


def test_sums_by_function_outlive_the_sentinel_that_counted(bench):
    first = FuncTotal("shop.tasks.report", 2, 1, 4.0, (0, 3))
    second = FuncTotal("shop.tasks.report", 1, 0, 0.5, (1,))
    bench.say(report(counted=(first,)), report(counted=()))
    bench.end(-9)
    bench.step()
    bench.say(report(counted=(second,)), generation=2)
    (total,) = bench.command.totals.all()

    assert attrs.astuple(total)[:4] == ("shop.tasks.report", 3, 1, 4.5)
    assert total.durations[:3] == (1, 3, 0)


def test_restarts_outlive_the_sentinel_and_count_it_too(bench):
    bench.say(report(restarts=Restarts(death=1)), report(restarts=Restarts(timeout=2)))
    bench.end(-9)
    bench.step()
    bench.say(report(restarts=Restarts(death=3)), generation=2)

    assert bench.command.restarts == Restarts(death=5, timeout=2)


def test_a_sentinel_that_cannot_be_started_counts_when_the_next_one_is():
    bench = Bench()
    bench.spawner.refuses = OSError("no more processes")
    bench.step()
    bench.spawner.refuses = None
    before = bench.command.restarts
    bench.step(10)

    assert (before, bench.command.restarts) == (NO_RESTARTS, Restarts(start=1))


def test_each_signal_is_passed_on_once(bench):
    told = []
    for signals in [0, 1, 1, 2, 3, 4]:
        bench.signals = signals
        bench.step()
        told.append(bench.asked())

    assert told == [[], [StopLevel.GENTLE], [], [StopLevel.HASTY], [StopLevel.AT_ONCE], []]
    assert bench.observer.of(ClusterStopping) == [ClusterStopping("77")]


def test_a_stop_from_the_program_is_a_first_signal(bench):
    before = bench.command.is_stopping
    bench.command.ask_stop()
    bench.step()

    assert (before, bench.command.is_stopping) == (False, True)
    assert bench.asked() == [StopLevel.GENTLE]


def test_the_end_of_a_stopped_sentinel_is_the_end_of_the_cluster(bench):
    bench.signals = 1
    bench.step()
    bench.say(report("STOPPED"))
    end = bench.end()

    assert end is None
    assert not bench.command.cut_short
    assert bench.orphans.ended
    assert bench.observer.events[-1] == ClusterStopped("77")


def test_orphans_that_had_to_be_ended_were_cut_short(bench):
    bench.orphans.living = 2
    bench.signals = 1
    bench.step()
    bench.say(report("STOPPED"))
    bench.end()

    assert bench.command.cut_short
    assert bench.observer.events[-2] == StopCutShort("2 children were ended")


def test_a_sentinel_that_stopped_leaves_no_orphans(bench):
    """It has ended its children itself, though the last picture may still show some."""
    bench.signals = 3
    bench.step()
    bench.say(report("STOPPED", cut_short=True, pids=[("worker", 101)]))
    bench.end()

    assert bench.orphans.adopted == []


def test_the_last_words_of_a_sentinel_are_heard(bench):
    bench.spawner.end(sentinel(), 0, report("STOPPED", cut_short=True))
    end = bench.step()

    assert end is None
    assert bench.command.cut_short


def test_a_cluster_that_stops_by_itself_is_not_started_again(bench):
    bench.say(report("STOPPED"))

    assert bench.end() is None
    assert list(bench.spawner.ends) == [sentinel()]


def test_a_sentinel_that_dies_is_followed_by_another_and_its_children_are_remembered(bench):
    bench.step(5)
    wait = bench.end(-9)

    assert wait is not None
    assert sentinel(2) in bench.spawner.ends
    assert bench.orphans.adopted == [101, 102]
    assert not bench.orphans.ended
    assert bench.command.report is None
    assert bench.spawner.forgotten == [sentinel()]


def test_a_sentinel_that_cannot_live_is_followed_after_pauses():
    bench = Bench()
    bench.step()
    bench.end(70)
    bench.end(70, generation=2)
    before = sentinel(3) in bench.spawner.ends
    bench.step(0.1)

    assert (before, sentinel(3) in bench.spawner.ends) == (False, True)
    assert bench.orphans.adopted == []


def test_a_sentinel_that_cannot_be_spawned_is_tried_again():
    bench = Bench()
    bench.spawner.refuses = OSError("no more processes")
    bench.step()
    bench.spawner.refuses = None
    bench.step(1)

    assert list(bench.spawner.ends) == [sentinel(2)]


def test_a_sentinel_that_dies_during_a_stop_cuts_it_short(bench):
    bench.signals = 1
    bench.step()
    end = bench.end(-9)

    assert end is None
    assert bench.command.cut_short
    assert bench.observer.of(StopCutShort) == [
        StopCutShort("the sentinel died while the cluster stopped: signal 9 (SIGKILL)")
    ]
    assert list(bench.spawner.ends) == [sentinel()]


def test_a_stop_while_no_sentinel_lives_is_the_end():
    bench = Bench()
    bench.spawner.refuses = OSError("no more processes")
    bench.signals = 1
    bench.step()

    assert bench.step() is None


def test_a_sentinel_that_does_not_end_at_once_is_killed(bench):
    bench.signals = 3
    bench.step()
    bench.step(LAST_SECONDS_MAX - 0.1)
    before = list(bench.spawner.killed)
    bench.step(0.1)

    assert (before, bench.spawner.killed) == ([], [sentinel()])
    assert bench.command.cut_short


def test_signals_before_the_first_step_reach_the_sentinel_or_end_the_cluster():
    bench = Bench()
    bench.signals = 1
    first = bench.step()

    assert first is not None
    assert bench.step() is None
    assert bench.spawner.ends == {}


def test_a_stop_is_passed_to_the_sentinel_as_a_word(bench):
    bench.signals = 2
    bench.step()

    assert bench.spawner.ends[sentinel()].receive() == [Stop(StopLevel.HASTY)]


def test_a_message_that_is_for_another_box_is_no_report(bench):
    before = bench.command.report

    bench.say(Stop(StopLevel.GENTLE))

    assert bench.command.report == before
