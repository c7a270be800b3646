"""Holds how a cluster's picture is put up: in time, never more often, and without a burden on the command."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from djq.components.publisher import Publisher
from djq.core.events import ServiceAway, ServiceBack
from djq.core.protocol import Report
from djq.exceptions import BoardUnavailable
from djq.ports import Wait
from tests.components.parts import Scene

CYCLE = 2.0


class Command:
    """Its report and its end are the test's to say."""

    def __init__(self):
        self.report = None
        self.wait = Wait(0.5)

    def step(self):
        return self.wait

    def tell(self, task_queue):
        self.report = Report("WORKING", False, (), task_queue, 0, 0, False)


class Board:
    cycle_seconds = 0.0

    def __init__(self):
        self.puts = []
        self.error = None
        self.tries = 0
        self.closed = False

    def put(self, place, text, seconds):
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.puts.append((place, text, seconds))

    def close(self):
        self.closed = True

    @property
    def texts(self):
        return [text for _, text, _ in self.puts]


class Bench(Scene):
    def __init__(self, cycle=CYCLE, slowest=0.0):
        super().__init__()
        self.command, self.board = Command(), Board()
        self.board.cycle_seconds = slowest
        self.bounds = []
        self.publisher = Publisher(
            command=self.command,
            board=self.board,
            place="host:1",
            picture=self.picture,
            around=self.around,
            guard_cycle=cycle,
            bounded=self.bounded,
        )

    def picture(self, stopped):
        if stopped:
            return "Stopped"
        report = self.command.report
        return "Starting" if report is None else f"{report.task_queue} queued"

    @contextmanager
    def bounded(self):
        self.bounds.append(self.board.tries)
        yield

    def step(self, seconds=0.0):
        self.clock.advance(seconds)
        return self.publisher.step()


@pytest.fixture
def bench():
    return Bench()


def test_a_cluster_is_up_as_soon_as_it_starts_and_once(bench):
    bench.step()
    bench.step(CYCLE)
    bench.step(CYCLE)

    assert bench.board.puts == [("host:1", "Starting", 3 * CYCLE)]


def test_a_picture_of_a_fast_cycle_lasts_three_seconds():
    bench = Bench(cycle=0.1)
    bench.step()

    assert bench.board.puts == [("host:1", "Starting", 3.0)]


def test_a_board_that_wants_fewer_pictures_gets_fewer():
    bench = Bench(cycle=0.2, slowest=1.0)
    for number in range(20):
        bench.command.tell(number)
        bench.step(0.2)

    assert len(bench.board.puts) == 4
    assert {seconds for _, _, seconds in bench.board.puts} == {3.0}


def test_each_report_is_put_up_even_if_nothing_has_changed(bench):
    bench.step()
    for _ in range(3):
        bench.command.tell(7)
        bench.step(CYCLE)

    assert bench.board.texts == ["Starting", *["7 queued"] * 3]


def test_a_sentinel_that_has_fallen_silent_is_not_made_to_look_alive(bench):
    bench.command.tell(7)
    bench.step()
    for _ in range(5):
        bench.step(CYCLE)

    assert bench.board.texts == ["7 queued"]


def test_what_comes_too_soon_waits_for_its_time_and_the_last_of_it_is_shown(bench):
    bench.step()
    waits = []
    for queued, seconds in ((1, 0.5), (2, 0.5), (3, 0.75)):
        bench.command.tell(queued)
        waits.append(bench.step(seconds).seconds)

    assert waits == [0.5, 0.5, 0.25], "the command's own wait, or less"
    assert bench.board.texts == ["Starting"]
    bench.step(0.25)
    assert bench.board.texts == ["Starting", "3 queued"]


def test_a_command_that_waits_for_ever_is_not_woken_too_late(bench):
    bench.step()
    bench.command.wait = Wait(None)
    waits = [bench.step()]
    bench.command.tell(1)
    waits.append(bench.step(0.5))

    assert waits == [Wait(None), Wait(1.5)]


def test_a_board_that_is_away_is_told_once_and_asked_less_and_less(bench):
    bench.board.error = BoardUnavailable("nobody listens")
    tries = []
    for _ in range(600):
        bench.command.tell(1)
        bench.step(0.1)
        tries.append(bench.board.tries)

    assert tries[-1] - tries[300] <= 3, "ten seconds between two"
    assert bench.observer.events == [ServiceAway("board of the statistics", "nobody listens")]
    bench.board.error = None
    bench.step(10)
    assert bench.board.texts == ["1 queued"]
    assert bench.observer.of(ServiceBack) == [ServiceBack("board of the statistics")]


def test_a_board_that_takes_too_long_counts_as_away(bench):
    bench.board.error = TimeoutError("it took longer than 0.5 s")
    for _ in range(200):
        bench.step(0.1)

    assert len(bench.observer.of(ServiceAway)) == 1


def test_a_board_that_fails_now_and_then_is_not_spoken_of(bench):
    bench.step()
    for number in range(12):
        bench.command.tell(number)
        bench.board.error = BoardUnavailable("database is locked") if number % 3 else None
        for _ in range(3):
            bench.step(0.5)

    assert bench.board.tries > len(bench.board.puts) > 3
    assert bench.observer.events == []


def test_a_board_that_fails_until_the_picture_has_ended_is_away(bench):
    bench.step()
    bench.board.error = BoardUnavailable("database is locked")
    told_after = 0.0
    while not bench.observer.events:
        bench.command.tell(1)
        bench.step(0.1)
        told_after += 0.1

    assert told_after >= 3 * CYCLE
    bench.board.error = None
    bench.step(10)
    assert bench.observer.of(ServiceBack) == [ServiceBack("board of the statistics")]


def test_every_attempt_is_bounded(bench):
    bench.step()
    bench.command.tell(1)
    bench.step(CYCLE)
    bench.command.wait = None
    bench.step()

    assert bench.bounds == [0, 1, 2]


def test_the_last_picture_says_stopped_at_once(bench):
    bench.command.tell(1)
    bench.step()
    bench.command.wait = None

    assert bench.step() is None
    assert bench.board.texts == ["1 queued", "Stopped"]
    assert bench.board.closed


def test_the_end_does_not_wait_for_a_board_that_is_away(bench):
    bench.board.error = BoardUnavailable("nobody listens")
    bench.step()
    bench.command.wait = None

    assert bench.step() is None
    assert bench.board.tries == 1
    assert bench.board.closed
