"""Holds what is left of a sentinel that died: ended if it lives, and counted only then."""

from __future__ import annotations

import os
import signal

import pytest

from djq.runtime.orphans import ProcessOrphans


@pytest.fixture
def make_process():
    """Make a process that lives until it is killed; nobody is left behind."""
    pids = []

    def make(before=lambda: None):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            before()
            os.write(writer, b"x")
            signal.pause()
        pids.append(pid)
        os.read(reader, 1)
        os.close(reader)
        os.close(writer)
        return pid

    yield make
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue


def is_alive(pid):
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


def test_what_still_lives_is_ended_and_counted(make_process):
    pids = [make_process(), make_process()]
    orphans = ProcessOrphans()
    orphans.adopt(pids)

    assert orphans.end() == 2
    assert not any(is_alive(pid) for pid in pids)
    assert orphans.end() == 0


def test_what_has_ended_is_not_counted_although_nobody_has_collected_it(make_process):
    pid = make_process()
    orphans = ProcessOrphans()
    orphans.adopt([pid])
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert orphans.end() == 0


def test_what_is_gone_is_not_counted(make_process):
    gone, going = make_process(), make_process()
    orphans = ProcessOrphans()
    os.kill(gone, signal.SIGKILL)
    os.waitpid(gone, 0)
    orphans.adopt([gone, going])
    os.kill(going, signal.SIGKILL)
    os.waitpid(going, 0)

    assert orphans.end() == 0


def test_a_process_of_another_group_is_nobody_s_orphan(make_process):
    stranger = make_process(before=os.setpgrp)
    orphans = ProcessOrphans()
    orphans.adopt([stranger])

    assert orphans.end() == 0
    assert is_alive(stranger)
