"""Threads that do one thing each, again and again."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from djq.runtime.repeating import repeating

SOON = 10.0
"""More than anything here takes."""


@pytest.fixture
def releases():
    """What hangs ends with the test: the next one may fork."""
    with ExitStack() as stack:
        yield stack
    for thread in threading.enumerate():
        if thread.name.startswith("djq test"):
            thread.join(SOON)
            assert not thread.is_alive()


class Work:
    """Counts how often it is done."""

    def __init__(self):
        self.times = 0
        self.threads = set()
        self.is_often = threading.Event()

    def __call__(self):
        self.times += 1
        self.threads.add(threading.current_thread().name)
        if self.times == 3:
            self.is_often.set()
        return 0.001


def test_each_is_done_again_and_again_in_a_thread_of_its_own():
    one, other = Work(), Work()

    with repeating({"djq test one": one, "djq test other": other}, let_go=list):
        assert one.is_often.wait(SOON)
        assert other.is_often.wait(SOON)

    assert one.threads == {"djq test one"}
    assert other.threads == {"djq test other"}
    assert not {"djq test one", "djq test other"} & {each.name for each in threading.enumerate()}


def test_a_thread_lets_go_at_its_end_however_long_its_pause_is():
    ended = []
    begun = threading.Event()

    def work():
        begun.set()
        return 3_600.0

    def let_go():
        ended.append(threading.current_thread().name)

    with repeating({"djq test": work}, let_go=let_go):
        assert begun.wait(SOON)
        assert ended == []

    assert ended == ["djq test"]


def test_what_hangs_holds_up_neither_the_others_nor_the_end(releases):
    released, hangs, let_go = threading.Event(), threading.Event(), threading.Event()
    releases.callback(released.set)
    work = Work()

    def hang():
        hangs.set()
        assert released.wait(SOON)
        return 0.0

    def go():
        if threading.current_thread().name == "djq test hanging":
            let_go.set()

    works = {"djq test hanging": hang, "djq test": work}
    with repeating(works, let_go=go, leave_seconds=0.01):
        assert hangs.wait(SOON)
        assert work.is_often.wait(SOON)

    assert not let_go.is_set()
    released.set()
    assert let_go.wait(SOON)
