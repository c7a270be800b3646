"""A server's time that the host counts on, and when it is asked for again."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest

from djq.brokers.measured import APART_SECONDS_MAX, MEASURED_EVERY_SECONDS, ServerTime
from djq_testing.clock import ManualClock

SERVER = datetime(2030, 1, 1, tzinfo=UTC)


class Host:
    """Both of a host's clocks, moved each for itself."""

    def __init__(self):
        self.day = datetime(2026, 1, 1, tzinfo=UTC)
        self.seconds = 1_000.0

    def now(self):
        return self.day

    def monotonic(self):
        return self.seconds

    def go_on(self, seconds, *, of_day=None):
        self.seconds += seconds
        self.day += timedelta(seconds=seconds if of_day is None else of_day)


def told(server, *seconds):
    """Ask a server that tells these times, in seconds after SERVER; it must be asked no more often."""
    answers = iter(seconds)
    moment = server.now(lambda: SERVER + timedelta(seconds=next(answers)))
    assert list(answers) == []
    return round((moment - SERVER).total_seconds(), 6)


def test_time_is_asked_once_a_minute_and_counted_on_between():
    host = ManualClock()
    server = ServerTime(host)
    assert told(server, 0) == 0

    host.advance(MEASURED_EVERY_SECONDS - 1)
    assert told(server) == MEASURED_EVERY_SECONDS - 1
    host.advance(1)
    assert told(server, 3_600) == 3_600


def test_without_a_host_s_clock_the_server_is_asked_each_time():
    server = ServerTime(None)

    assert [told(server, 1), told(server, 2)] == [1, 2]


@pytest.mark.parametrize("jump", [600, 0.3, -600], ids=["suspended", "paused", "set back"])
def test_host_whose_clocks_run_apart_asks_anew(jump):
    host = Host()
    server = ServerTime(host)
    told(server, 0)

    host.go_on(5, of_day=5 + jump)

    assert told(server, 605) == 605
    host.go_on(5)
    assert told(server) == 610


def test_time_of_day_that_is_put_right_bit_by_bit_asks_nothing():
    host = Host()
    server = ServerTime(host)
    told(server, 0)

    host.go_on(10, of_day=10 + APART_SECONDS_MAX / 2)

    assert told(server) == 10


def test_answer_that_was_long_in_coming_is_asked_for_again():
    host = Host()
    server = ServerTime(host)
    answers = iter([(0.4, 10.4), (0.002, 10.401)])

    def ask():
        took, moment = next(answers)
        host.go_on(took)
        return SERVER + timedelta(seconds=moment)

    moment = server.now(ask)

    assert (moment - SERVER).total_seconds() == pytest.approx(10.402)


@pytest.mark.parametrize(
    ("seen", "answers", "expected"),
    [(99, (), 100), (101, (130,), 130), (101, (100.5,), 101)],
    ids=["old", "behind", "ahead of the measuring"],
)
def test_server_that_is_known_to_be_late_is_believed(seen, answers, expected):
    server = ServerTime(Host())
    told(server, 100)
    asked = iter(answers)

    server.catch_up(
        SERVER + timedelta(seconds=seen), lambda: SERVER + timedelta(seconds=next(asked))
    )

    assert list(asked) == []
    assert told(server) == expected


def test_measured_time_stays_in_the_process_that_measured_it():
    server = ServerTime(ManualClock())
    told(server, 0)

    assert told(pickle.loads(pickle.dumps(server)), 5) == 5
