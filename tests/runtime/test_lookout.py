"""Questions to somebody who may not answer."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from django.core.cache import caches
from django.db import connections

from djq.runtime.lookout import Lookout

SECONDS_MAX = 10


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


def lookouts():
    return [thread for thread in threading.enumerate() if thread.name == "djq lookout"]


def end_of(lookout):
    for thread in lookouts():
        thread.join(SECONDS_MAX)


def test_an_answer_comes_from_a_thread_beside_that_ends():
    lookout = Lookout()

    assert lookout.ask(threading.get_ident).result(SECONDS_MAX) != threading.get_ident()
    end_of(lookout)
    assert lookouts() == []


def test_what_a_question_raises_is_the_answer():
    with pytest.raises(SystemExit):
        Lookout().ask(lambda: sys.exit(1)).result(SECONDS_MAX)


def test_who_asks_meanwhile_gets_the_answer_to_the_question_under_way(gate):
    lookout = Lookout()
    first = lookout.ask(lambda: gate.wait(SECONDS_MAX) and "first")

    second = lookout.ask(lambda: "second")
    with pytest.raises(TimeoutError):
        second.result(0.01)
    gate.set()

    assert [asked.result(SECONDS_MAX) for asked in (first, second)] == ["first", "first"]
    assert lookout.ask(lambda: "third").result(SECONDS_MAX) == "third"


def test_an_answer_comes_though_what_was_opened_closes_badly():
    class Cache:
        def close(self, **_):
            raise OSError("gone")

    def question():
        caches["default"] = Cache()  # this thread's
        return "there"

    assert Lookout().ask(question).result(SECONDS_MAX) == "there"


def test_two_lookouts_do_not_wait_for_each_other(gate):
    Lookout().ask(lambda: gate.wait(SECONDS_MAX))

    assert Lookout().ask(lambda: "there").result(SECONDS_MAX) == "there"


@pytest.fixture
def on_disk(add_database, tmp_path):
    """A database in a file: one in memory outlives its connections."""
    file = tmp_path / "db.sqlite3"
    return add_database("on_disk", {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)})


def test_connections_that_a_question_opened_are_closed_before_its_answer_is_there(on_disk):
    seen = []

    def question():
        connections[on_disk].ensure_connection()
        seen.append(connections[on_disk])
        raise OSError("in the end")

    with pytest.raises(OSError, match="in the end"):
        Lookout().ask(question).result(SECONDS_MAX)

    assert seen[0].connection is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_asks_anew(gate):
    lookout = Lookout()
    lookout.ask(lambda: gate.wait(SECONDS_MAX))

    pid = os.fork()
    if pid == 0:
        answer = 1
        try:
            answer = lookout.ask(lambda: 0).result(SECONDS_MAX)
        finally:
            os._exit(answer)

    assert os.waitpid(pid, 0)[1] == 0
