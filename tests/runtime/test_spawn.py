"""Holds the fork: children live and die alone, and the kernel tells of each death."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from djq.core.lifecycle import ChildId, Role
from djq.core.protocol import Credit, Ready
from djq.core.settlement import EXIT_UNKNOWN
from djq.ports import Exit
from djq.runtime.poller import Poller
from djq.runtime.spawn import EXIT_CRASHED, ForkSpawner
from tests.runtime.helpers import until

DESCRIPTORS = Path("/proc/self/fd")


def child(slot=0, generation=1):
    return ChildId(Role.WORKER, slot, generation)


def greet(id, label, link, poller):
    link.send((id, label, os.getpid()))


def linger(id, label, link, poller):
    """Live until the parent says something or is gone."""
    link.send(Ready(os.getpid()))
    until(poller, lambda: link.receive() or link.ended)


def crash(id, label, link, poller):
    raise RuntimeError("a fault of the child")


def leave_code(id, label, link, poller):
    raise SystemExit(7)


def leave_words(id, label, link, poller):
    raise SystemExit("some words")


class Nest:
    """A spawner with its poller; nobody is left behind."""

    def __init__(self, main, **options):
        self.poller = Poller()
        self.spawner = ForkSpawner(poller=self.poller, main=main, **options)
        self.links = {}
        self.exits = []

    def spawn(self, id=None, label="Process-1:1"):
        id = id or child()
        self.links[id] = self.spawner.spawn(id, label)
        return self.links[id]

    def wait_exits(self, count):
        def enough():
            self.exits += self.spawner.exits()
            return len(self.exits) >= count

        until(self.poller, enough)
        return self.exits

    def hear(self, id=None):
        messages = []

        def heard():
            messages.extend(self.links[id or child()].receive())
            return messages

        until(self.poller, heard)
        return messages

    def close(self):
        for id in self.links:
            self.spawner.kill(id)
        self.spawner.reap()
        for link in self.links.values():
            link.close()
        self.poller.close()


@pytest.fixture
def make_nest():
    nests = []

    def make(main, **options):
        nests.append(Nest(main, **options))
        return nests[-1]

    yield make
    for nest in nests:
        nest.close()


def test_a_child_knows_who_it_is_and_has_a_link(make_nest):
    nest = make_nest(greet)
    nest.spawn(child(3, 2), "Process-1:9")
    ((id, label, pid),) = nest.hear(child(3, 2))

    assert (id, label) == (child(3, 2), "Process-1:9")
    assert pid != os.getpid()
    assert nest.spawner.pids() == [pid]


@pytest.mark.parametrize(
    ("main", "code"),
    [(greet, 0), (leave_code, 7), (leave_words, EXIT_CRASHED), (crash, EXIT_CRASHED)],
)
def test_an_exit_is_told_once_with_its_code(make_nest, main, code):
    nest = make_nest(main)
    nest.spawn()

    assert nest.wait_exits(1) == [Exit(child(), code)]
    assert nest.spawner.exits() == []
    assert nest.spawner.pids() == []


def test_a_crash_is_told_on_standard_error(make_nest, capfd):
    nest = make_nest(crash)
    nest.spawn()
    nest.wait_exits(1)

    assert "RuntimeError: a fault of the child" in capfd.readouterr().err


def test_a_killed_child_is_told_with_its_signal(make_nest):
    nest = make_nest(linger)
    nest.spawn()
    nest.hear()
    nest.spawner.kill(child())

    assert nest.wait_exits(1) == [Exit(child(), -signal.SIGKILL)]


def collect(nest):
    """Wait for the child as a part of the program would that knows nothing of it."""
    (pid,) = nest.spawner.pids()
    os.waitpid(pid, 0)


def without_pidfd(nest):
    process = nest.spawner._processes[child()]
    nest.poller.forget(process.pidfd)
    os.close(process.pidfd)
    process.pidfd = None


@pytest.mark.parametrize("prepare", [lambda nest: None, without_pidfd])
def test_a_child_that_something_else_collected_has_ended(make_nest, prepare):
    nest = make_nest(greet)
    nest.spawn()
    prepare(nest)
    collect(nest)
    nest.spawner.kill(child())

    assert nest.wait_exits(1) == [Exit(child(), EXIT_UNKNOWN)]


def test_a_child_that_something_else_collected_is_not_waited_for(make_nest):
    nest = make_nest(greet)
    nest.spawn()
    collect(nest)

    nest.spawner.reap()


def test_killing_a_child_that_has_ended_or_never_was_does_nothing(make_nest):
    nest = make_nest(greet)
    nest.spawn()
    nest.wait_exits(1)
    nest.spawner.kill(child())
    nest.spawner.kill(child(9))

    assert nest.spawner.exits() == []


def test_a_living_child_is_not_told_as_ended(make_nest):
    nest = make_nest(linger)
    nest.spawn()
    nest.hear()
    nest.poller.wait(0)

    assert nest.spawner.exits() == []


def test_what_a_dead_child_had_sent_can_still_be_received(make_nest):
    nest = make_nest(greet)
    link = nest.spawn()
    nest.wait_exits(1)
    messages = link.receive()
    nest.spawner.forget(child())
    nest.spawner.forget(child())

    assert [label for _, label, _ in messages] == ["Process-1:1"]


def test_each_generation_is_a_child_of_its_own(make_nest):
    nest = make_nest(linger)
    old, new = child(0, 1), child(0, 2)
    nest.spawn(old)
    nest.spawn(new)
    nest.hear(old)
    nest.hear(new)
    nest.links[old].send(Credit(1))

    assert nest.wait_exits(1) == [Exit(old, 0)]


def leave_grandchild(id, label, link, poller):
    """Fork a process that keeps every pipe end, then die."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    link.send(pid)
    os._exit(5)


def test_a_grandchild_that_holds_the_pipe_does_not_hide_a_death(make_nest):
    nest = make_nest(leave_grandchild)
    link = nest.spawn()
    (grandchild,) = nest.hear()
    try:
        assert nest.wait_exits(1) == [Exit(child(), 5)]
        assert not link.ended
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_a_child_does_not_hold_its_siblings_pipes(make_nest):
    nest = make_nest(linger)
    nest.spawn(child(0))
    nest.hear(child(0))
    nest.spawn(child(1))
    nest.hear(child(1))
    # The first is asked to leave by the closing of its link: the second must hold no copy of it.
    nest.links[child(0)].close()

    assert nest.wait_exits(1) == [Exit(child(0), 0)]


def count_descriptors(id, label, link, poller):
    link.send(len(list(DESCRIPTORS.iterdir())))
    until(poller, lambda: link.receive() or link.ended)


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="needs /proc to count descriptors")
def test_a_late_child_has_no_more_descriptors_than_the_first(make_nest):
    nest = make_nest(count_descriptors)
    counts = []
    for slot in range(6):
        nest.spawn(child(slot))
        counts += nest.hear(child(slot))

    assert len(set(counts)) == 1


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="needs /proc to count descriptors")
def test_an_ended_child_leaves_no_descriptor_behind(make_nest):
    nest = make_nest(greet)
    before = len(list(DESCRIPTORS.iterdir()))
    for generation in range(1, 6):
        nest.spawn(child(0, generation))
        nest.wait_exits(generation)
        nest.spawner.forget(child(0, generation))

    assert len(list(DESCRIPTORS.iterdir())) == before


def test_the_house_is_made_ready_before_each_fork_and_tidied_in_the_child(make_nest):
    calls = []
    reader, writer = os.pipe()

    def tidy():
        os.write(writer, b"tidied")

    nest = make_nest(greet, before=lambda: calls.append(os.getpid()), close_in_child=[tidy])
    nest.spawn()
    nest.wait_exits(1)
    written = os.read(reader, 100)
    os.close(reader)
    os.close(writer)

    assert calls == [os.getpid()]
    assert written == b"tidied"


def test_a_parent_with_children_can_be_waited_for_at_its_end(make_nest):
    nest = make_nest(linger)
    nest.spawn()
    nest.hear()
    (pid,) = nest.spawner.pids()
    nest.spawner.kill(child())
    nest.spawner.reap()

    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def answer(id, label, link, poller):
    """Say something when told to, and end."""
    linger(id, label, link, poller)
    link.send("last words")


def test_last_words_are_there_as_soon_as_a_death_is_known(make_nest):
    nest = make_nest(answer)
    link = nest.spawn()
    nest.hear()
    nest.poller.wait(0)
    link.receive()
    process = nest.spawner._processes[child()]
    link.send(Credit(1))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    process.may_have_ended = True

    assert nest.spawner.exits() == [Exit(child(), 0)]
    assert link.receive() == ["last words"]


@pytest.mark.parametrize("main", [greet])
def test_without_pidfds_deaths_are_told_all_the_same(make_nest, main):
    nest = make_nest(main)
    nest.spawn()
    without_pidfd(nest)

    assert nest.wait_exits(1) == [Exit(child(), 0)]
