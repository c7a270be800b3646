"""The newest answer about each part, each asked about at its own pace."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from djq.overview import Overview
from djq.terminal.qmonitor_watch import LEAST_SECONDS, Watch
from djq_testing.clock import ManualClock
from tests.terminal.samples import FULL, NOON


class Source:
    """Answers as it is told, and counts how often it is asked."""

    def __init__(self, clock):
        self.clock = clock
        self.asked = Counter()
        self.errors = {}
        self.took = {}
        self.raised = {}

    def take(self, parts):
        (part,) = parts
        self.asked[part] += 1
        self.clock.advance(self.took.get(part, 0))
        if part in self.raised:
            raise self.raised[part]
        if part in self.errors:
            return Overview(at=self.clock.now(), errors={part: self.errors[part]})
        return Overview(at=self.clock.now(), **{part: getattr(FULL, part)})


@pytest.fixture
def clock():
    return ManualClock(NOON)


@pytest.fixture
def source(clock):
    return Source(clock)


@pytest.fixture
def watch(source, clock):
    return Watch(source.take, clock=clock, seconds=0.5)


def test_what_is_seen_is_put_together_from_the_newest_answers(watch):
    assert watch.look() == Overview(at=NOON)

    watch.ask_due()

    assert watch.look() == FULL


def test_what_costs_more_is_asked_for_less_often(watch, source, clock):
    for _ in range(20):
        watch.ask_due()
        clock.advance(0.5)

    assert source.asked == {"clusters": 20, "queue": 20, "failures": 5, "results": 2}


def test_a_count_of_many_rows_rests_ten_times_as_long_as_it_took(watch, source):
    source.took = {"results": 7, "clusters": 2}

    assert watch.ask("results") == 70
    assert watch.ask("clusters") == 2


def test_a_part_that_is_away_is_asked_for_again_soon_however_long_that_took(watch, source):
    source.took = {"results": 30}
    source.errors = {"results": "gone"}

    assert watch.ask("results") == LEAST_SECONDS["results"]


def test_a_part_that_is_away_says_so_and_comes_back(watch, source, clock):
    watch.ask_due()
    source.errors = {"queue": "BrokerUnavailable: gone"}
    clock.advance(0.5)
    watch.ask_due()
    away = watch.look()
    source.errors = {}
    clock.advance(0.5)
    watch.ask_due()

    assert away == attrs.evolve(
        FULL, at=away.at, queue=None, errors={"queue": "BrokerUnavailable: gone"}
    )
    assert watch.look() == attrs.evolve(FULL, at=clock.now())


def test_an_error_that_nobody_knows_is_told_as_well(watch, source):
    source.raised = {"queue": KeyError("no such field")}

    watch.ask_due()

    assert watch.look().errors == {"queue": "KeyError: 'no such field'"}
    assert watch.look().clusters == FULL.clusters


def test_an_answer_that_does_not_come_is_missed_and_the_last_one_stays(source, clock):
    seen = []

    def hanging(parts):
        if source.asked["queue"] and parts == ["queue"]:
            for seconds in (2.9, 0.1, 60):
                clock.advance(seconds)
                seen.append(watch.look())
        return source.take(parts)

    watch = Watch(hanging, clock=clock, seconds=0.5)
    watch.ask("queue")
    watch.ask("queue")

    assert [look.errors for look in seen] == [
        {},
        {"queue": "no answer for 0:00:03"},
        {"queue": "no answer for 0:01:03"},
    ]
    assert {look.queue for look in seen} == {FULL.queue}
    assert watch.look().errors == {}


def test_each_part_has_work_for_a_thread_of_its_own(watch, source):
    works = watch.works()

    assert [work() for work in works.values()] == [
        max(0.5, least) for least in LEAST_SECONDS.values()
    ]
    assert set(source.asked) == set(LEAST_SECONDS)
    assert list(works) == [f"djq watch {part}" for part in LEAST_SECONDS]
