"""Holds the signals: counted in the command, without effect in its children, usual in theirs."""

from __future__ import annotations

import os
import signal

import pytest

from djq.runtime import interrupts
from djq.runtime.interrupts import STOP_SIGNALS, Interrupts
from djq.runtime.poller import Poller
from tests.runtime.helpers import until


@pytest.fixture
def poller():
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def counter(poller):
    counter = Interrupts(poller)
    counter.install()
    yield counter
    counter.restore()


def in_child(main):
    """Run `main` in a forked process and give its exit status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = main() or 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_every_stop_signal_counts(counter, number):
    signal.raise_signal(number)
    signal.raise_signal(number)

    assert counter.count() == 2


def test_a_signal_ends_a_wait(counter, poller):
    os.kill(os.getpid(), signal.SIGTERM)
    poller.wait(10)

    assert counter.count() == 1
    with pytest.raises(BlockingIOError):
        counter._wake_reader.recv(1)


def test_many_signals_are_counted_and_never_block(counter, poller):
    for _ in range(5_000):
        signal.raise_signal(signal.SIGTERM)
    until(poller, lambda: counter.count() == 5_000)

    assert counter.count() == 5_000


def test_the_signals_are_given_back():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    poller = Poller()
    counter = Interrupts(poller)
    counter.install()
    during = [signal.getsignal(number) for number in STOP_SIGNALS]
    counter.restore()
    counter.restore()
    poller.close()

    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    assert during != before
    wakeup = signal.set_wakeup_fd(-1)
    assert wakeup == -1


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_signals_do_nothing_any_more_before_the_end(number):
    def main():
        counter = Interrupts(Poller())
        counter.install()
        counter.ignore()
        signal.raise_signal(number)
        ignored = signal.getsignal(number) is signal.SIG_IGN
        return 10 if ignored and signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL else 11

    assert in_child(main) == 10


def test_a_hangup_that_was_ignored_stays_ignored(poller):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        counter = Interrupts(poller)
        counter.install()
        signal.raise_signal(signal.SIGHUP)
        count = counter.count()
        counter.restore()
    finally:
        signal.signal(signal.SIGHUP, before)

    assert count == 0


def test_an_ignored_end_of_a_child_is_heeded_while_signals_count(poller):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        counter = Interrupts(poller)
        counter.install()
        code = in_child(lambda: 5)
        counter.restore()
        after = signal.getsignal(signal.SIGCHLD)
    finally:
        signal.signal(signal.SIGCHLD, before)

    assert (code, after) == (5, signal.SIG_IGN)


def test_a_child_of_the_cluster_learns_how_its_own_children_ended():
    def main():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        interrupts.take_no_notice()
        return in_child(lambda: 8)

    assert in_child(main) == 8


def test_a_child_closes_what_is_its_parent_s(counter, poller):
    def main():
        interrupts.take_no_notice()
        counter.abandon()
        return 0

    code = in_child(main)
    os.kill(os.getpid(), signal.SIGTERM)
    poller.wait(10)

    assert (code, counter.count()) == (0, 1)


def test_a_counter_that_was_not_installed_has_nothing_to_close(poller):
    Interrupts(poller).abandon()


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_child_of_the_cluster_takes_no_notice(number):
    def main():
        interrupts.take_no_notice()
        signal.raise_signal(number)
        return 3

    assert in_child(main) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_a_task_forks_has_the_usual_signals(number):
    def main():
        interrupts.take_no_notice()
        interrupts.defaults_for_grandchildren()
        code = in_child(lambda: signal.raise_signal(number))
        return 4 if code == -number else 5

    assert in_child(main) == 4


def test_what_a_task_forks_is_interrupted_as_usual():
    def grandchild():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return 6
        return 7

    def main():
        interrupts.take_no_notice()
        interrupts.defaults_for_grandchildren()
        return in_child(grandchild)

    assert in_child(main) == 6


def test_a_handler_that_a_task_set_itself_is_left_to_what_it_forks():
    def main():
        interrupts.take_no_notice()
        interrupts.defaults_for_grandchildren()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
        return in_child(lambda: signal.raise_signal(signal.SIGTERM))

    assert in_child(main) == 9
