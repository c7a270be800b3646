"""Holds the poller: who is watched is told, who is forgotten is not."""

from __future__ import annotations

import math
import os
import selectors
import socket

import pytest

from djq.ports import Wait
from djq.runtime.loop import drive
from djq.runtime.poller import Poller


@pytest.fixture
def poller():
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_whoever_is_watched_is_told_when_something_comes(poller, pair):
    told = []
    poller.watch(pair[0].fileno(), selectors.EVENT_READ, told.append)
    poller.wait(0)
    before = list(told)
    pair[1].send(b"x")
    poller.wait(10)

    assert (before, told) == ([], [selectors.EVENT_READ])


@pytest.mark.parametrize("seconds", [2_147_484, 1e15, math.inf])
def test_a_wait_may_be_longer_than_the_system_can_wait(poller, pair, seconds):
    told = []
    poller.watch(pair[0].fileno(), selectors.EVENT_READ, told.append)
    pair[1].send(b"x")
    poller.wait(seconds)

    assert told == [selectors.EVENT_READ]


def test_what_is_watched_for_can_be_changed(poller, pair):
    told = []
    poller.watch(pair[0].fileno(), selectors.EVENT_READ, told.append)
    poller.watch(pair[0].fileno(), selectors.EVENT_READ | selectors.EVENT_WRITE, told.append)
    poller.wait(10)

    assert told == [selectors.EVENT_WRITE]


def test_whoever_watched_last_is_told(poller, pair):
    first, second = [], []
    poller.watch(pair[0].fileno(), selectors.EVENT_READ, first.append)
    poller.watch(pair[0].fileno(), selectors.EVENT_READ, second.append)
    pair[1].send(b"x")
    poller.wait(10)

    assert (first, second) == ([], [selectors.EVENT_READ])


def test_what_is_forgotten_is_told_no_more(poller, pair):
    told = []
    poller.watch(pair[0].fileno(), selectors.EVENT_READ, told.append)
    poller.forget(pair[0].fileno())
    poller.forget(pair[0].fileno())
    pair[1].send(b"x")
    poller.wait(0)

    assert told == []


def test_a_child_lets_go_of_its_parent_s_poller_without_harm(poller, pair):
    told = []
    poller.watch(pair[0].fileno(), selectors.EVENT_READ, told.append)
    pid = os.fork()
    if pid == 0:
        poller.abandon()
        poller.forget(pair[0].fileno())
        pair[0].close()
        os._exit(0)
    os.waitpid(pid, 0)
    pair[1].send(b"x")
    poller.wait(10)

    assert told == [selectors.EVENT_READ]


class Countdown:
    """Does so many steps, then is done."""

    def __init__(self, steps):
        self.left = steps

    def step(self):
        self.left -= 1
        return Wait(0.0) if self.left else None


def test_a_component_is_driven_to_its_end(poller):
    component = Countdown(5)

    assert drive(component, poller)
    assert component.left == 0


def test_a_component_is_driven_until_somebody_says_enough(poller):
    component = Countdown(5)

    assert not drive(component, poller, lambda: component.left == 2)
    assert component.left == 2


def test_a_component_s_wait_is_honoured(pair):
    class Noting(Poller):
        waits = ()

        def wait(self, seconds):
            self.waits = (*self.waits, seconds)

    poller = Noting()

    class Twice:
        answers = iter([Wait(None), Wait(0.25), None])

        def step(self):
            return next(self.answers)

    drive(Twice(), poller)
    poller.close()

    assert poller.waits == (None, 0.25)
