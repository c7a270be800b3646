"""Holds the pauses before a service that does not answer is asked again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from djq.components.backoff import PAUSE_SECONDS_MAX, Backoff
from djq.core.events import ServiceAway, ServiceBack
from djq.ports import Surroundings
from tests.components.parts import NOON, Scene

GONE = ConnectionError("nobody listens")


@pytest.fixture
def scene():
    return Scene()


@pytest.fixture
def backoff(scene):
    return Backoff("broker", scene.around)


def test_a_service_that_answers_is_asked_at_once(backoff):
    assert backoff.seconds_left() == 0.0


def test_pauses_double_up_to_a_bound(backoff):
    pauses = []
    for _ in range(40):
        backoff.failed(GONE)
        pauses.append(backoff.seconds_left())

    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == PAUSE_SECONDS_MAX


def test_chance_shortens_a_pause_by_half_at_most(scene):
    class LeastJitter:
        def jitter(self):
            return 0.0

    around = Surroundings(scene.clock, LeastJitter(), scene.observer)
    backoff = Backoff("broker", around)
    backoff.failed(GONE)

    assert backoff.seconds_left() == 0.05


def test_a_pause_ends(scene, backoff):
    backoff.failed(GONE)
    scene.clock.advance(0.04)
    between = backoff.seconds_left()
    scene.clock.advance(1)

    assert between == pytest.approx(0.06)
    assert backoff.seconds_left() == 0.0


def test_an_absence_is_told_once_and_so_is_its_end(scene, backoff):
    backoff.answered()
    backoff.failed(GONE)
    backoff.failed(GONE)
    backoff.answered()
    backoff.answered()

    assert scene.observer.events == [ServiceAway("broker", "nobody listens"), ServiceBack("broker")]


def test_who_asked_hears_of_an_absence_and_since_when_it_is(scene):
    heard = []
    backoff = Backoff("broker", scene.around, lambda: heard.append(backoff.since))
    for _ in range(3):
        backoff.failed(GONE)
        scene.clock.advance(1)
    backoff.answered()
    backoff.answered()
    backoff.failed(GONE)

    assert heard == [NOON, None, NOON + timedelta(seconds=3)]


def test_after_an_answer_the_pauses_begin_anew(backoff):
    backoff.failed(GONE)
    backoff.failed(GONE)
    backoff.answered()
    after = backoff.seconds_left()
    backoff.failed(GONE)

    assert (after, backoff.seconds_left()) == (0.0, 0.1)
