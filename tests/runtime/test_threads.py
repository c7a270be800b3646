"""Holds the threads: given up and never waited for, and heard no more from then on."""

from __future__ import annotations

import signal
import threading

import pytest
from django.db import connections
from django.db.backends.signals import connection_created

from djq.core.lifecycle import ChildId, Role
from djq.core.settlement import EXIT_ABANDONED
from djq.ports import Exit
from djq.runtime import scope
from djq.runtime.interrupts import STOP_SIGNALS, Interrupts
from djq.runtime.threads import MAIL_MAX, Bell, ThreadOrphans, ThreadSpawner
from tests.runtime.helpers import SECONDS_MAX, until

WORKER = ChildId(Role.WORKER, 0, 1)


class Child:
    """A child that a test holds in its hand: its main hands over its link, and waits for leave."""

    def __init__(self):
        self.bell = Bell()
        self.spawner = ThreadSpawner(bell=self.bell, main=self._main)
        self.began = threading.Event()
        self.leave = threading.Event()
        self.link = self.spawner.spawn(WORKER, "Process-1:1")
        assert self.began.wait(SECONDS_MAX)

    def _main(self, _child, _label, link, bell):
        self.theirs, self.their_bell, self.thread = link, bell, threading.current_thread()
        self.began.set()
        assert self.leave.wait(SECONDS_MAX)

    def return_at_last(self):
        self.leave.set()
        self.thread.join(SECONDS_MAX)
        assert not self.thread.is_alive()


@pytest.fixture
def child():
    child = Child()
    yield child
    child.return_at_last()


def test_a_ring_before_the_wait_ends_it_and_many_rings_end_one():
    bell = Bell()
    for _ in range(3):
        bell.ring()

    bell.wait(None)

    assert bell._rings.empty()


def test_a_signal_rings_the_bell_of_whoever_counts_it():
    bell = Bell()
    counter = Interrupts(None, bell.ring)
    counter.install()
    try:
        for number in STOP_SIGNALS:
            signal.raise_signal(number)
        bell.wait(None)
    finally:
        counter.restore()

    assert counter.count() == len(STOP_SIGNALS)


def test_a_killed_child_counts_as_ended_while_its_thread_is_still_at_work(child):
    child.spawner.kill(WORKER)
    child.spawner.kill(WORKER)

    assert child.spawner.exits() == [Exit(WORKER, EXIT_ABANDONED)]
    assert child.spawner.pids() == []
    assert child.thread.is_alive()

    child.return_at_last()
    assert child.spawner.exits() == []


def test_what_was_sent_before_the_kill_arrives_and_nothing_after_it(child):
    child.theirs.send("before")
    child.spawner.kill(WORKER)
    child.theirs.send("after")

    assert child.link.receive() == ["before"]
    assert child.link.receive() == []
    assert child.link.ended


def test_a_write_that_the_kill_overtakes_goes_nowhere(child):
    """The thread has looked whether its link is cut, and writes in the next moment."""
    lane = child.theirs._outbox
    child.spawner.kill(WORKER)
    lane.mail.append("too late")

    assert child.link.receive() == []


def test_a_child_that_was_given_up_takes_nothing_and_finds_its_link_ended(child):
    child.link.offer("a", "b")
    child.spawner.kill(WORKER)

    assert child.theirs.take() is None
    assert child.theirs.is_cut
    assert child.theirs.ended
    assert child.link.recall() == ["a", "b"]
    # Its wait is over: it looks, and leaves.
    child.their_bell.wait(None)


def test_a_child_that_ended_is_no_more_to_be_killed(child):
    child.return_at_last()
    child.spawner.kill(WORKER)

    assert child.spawner.exits() == [Exit(WORKER, 0)]
    assert child.spawner.exits() == []


def test_a_parent_that_leaves_is_noticed_and_still_heard(child):
    child.link.send("last words")
    child.spawner.close()
    ended_before = child.theirs.ended

    assert child.theirs.receive() == ["last words"]
    assert not ended_before
    assert child.theirs.ended


def test_a_link_that_nobody_reads_is_clogged(child):
    for number in range(MAIL_MAX - 1):
        child.theirs.send(number)
    clogged = [child.theirs.clogged]
    child.theirs.send("one more")
    clogged.append(child.theirs.clogged)
    child.link.receive()

    assert [*clogged, child.theirs.clogged] == [False, True, False]


def test_a_system_without_room_for_a_thread_is_an_os_error():
    spawner = ThreadSpawner(bell=Bell(), main=lambda *_: None)
    before = threading.stack_size(1 << 46)
    try:
        with pytest.raises(OSError, match="thread"):
            spawner.spawn(WORKER, "Process-1:1")
    finally:
        threading.stack_size(before)

    assert spawner.pids() == []


def test_the_threads_of_a_dead_sentinel_are_counted_while_they_work(child):
    orphans = ThreadOrphans()
    orphans.adopt(child.spawner.pids())

    assert orphans.end() == 1
    orphans.adopt(child.spawner.pids())
    child.return_at_last()
    assert orphans.end() == 0


@pytest.fixture
def sqlite(add_database, tmp_path):
    """The alias of a SQLite file that this thread has a connection to."""
    engine = "django.db.backends.sqlite3"
    alias = add_database("file", {"ENGINE": engine, "NAME": tmp_path / "db.sqlite3"})
    connections[alias].ensure_connection()
    yield alias
    for name in ("djq.runtime.scope.own", "djq.runtime.scope.bound"):
        connection_created.disconnect(dispatch_uid=name)


def test_each_thread_has_connections_of_its_own_kind(sqlite):
    """The monitor waits for a lock as long as it may, the scheduler for less, a worker for long."""

    def look():
        with connections[sqlite].cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            return (connections[sqlite].transaction_mode, *cursor.fetchone())

    def live(child, _label, link, _bell):
        scope.tune_sqlite_here()
        if child.slot:
            scope.bound_lock_waits(child.slot)
        link.send(look())
        scope.close_own()

    bell = Bell()
    spawner = ThreadSpawner(bell=bell, main=live)
    links = [spawner.spawn(ChildId(Role.WORKER, slot, 1), "") for slot in (0, 4, 7)]
    exits = []
    until(bell, lambda: exits.extend(spawner.exits()) or len(exits) == len(links))

    connections[sqlite].close()
    assert [link.receive() for link in links] == [
        [("IMMEDIATE", scope.BUSY_MILLISECONDS)],
        [("IMMEDIATE", 4_000)],
        [("IMMEDIATE", 7_000)],
    ]
    # This thread is not the cluster's.
    assert look() == (None, 5_000)
