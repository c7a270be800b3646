"""Holds the bound on work in the main thread: it ends waits, and leaves the alarm as it was."""

from __future__ import annotations

import importlib
import signal
import socket
import sys
import threading
from contextlib import suppress

import pytest

from djq.runtime.patience import at_most

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="a system without alarms")


SLOW = (
    "import time\nend = time.monotonic() + 0.1\nwhile time.monotonic() < end: pass\nwhole = True\n"
)


@pytest.fixture
def silent():
    """Both ends of a socket on which nothing comes unless the test sends it."""
    reader, writer = socket.socketpair()
    with reader, writer:
        yield reader, writer


def test_a_wait_for_a_silent_server_is_ended(silent):
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"), at_most(0.05):
        silent[0].recv(1)


def test_who_takes_the_alarm_for_his_own_error_is_ended_all_the_same(silent):
    def receive_stubbornly():
        with suppress(OSError):
            silent[0].recv(1)
        silent[0].recv(1)

    with pytest.raises(TimeoutError), at_most(0.05):
        receive_stubbornly()


def test_an_import_is_not_cut_short(tmp_path, monkeypatch, silent):
    """A library that was may lack parts of itself for as long as the process lives."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_to_import.py").write_text(SLOW)

    def import_and_wait():
        importlib.import_module("slow_to_import")
        silent[0].recv(1)

    with pytest.raises(TimeoutError), at_most(0.02):
        import_and_wait()

    assert sys.modules.pop("slow_to_import").whole


PROGRAM = """
import socket
from djq.runtime.patience import at_most
reader, writer = socket.socketpair()
reader.settimeout(2)
try:
    with at_most(0.05):
        import slow_to_import
        reader.recv(1)
except TimeoutError as error:
    said = str(error)
reader.close()
writer.close()
"""


def test_a_program_that_is_an_import_is_bounded_but_for_what_it_imports(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    (tmp_path / "imported_program.py").write_text(PROGRAM)

    importlib.import_module("imported_program")

    assert sys.modules.pop("slow_to_import").whole
    assert sys.modules.pop("imported_program").said == "it took longer than 0.05 s"


def test_work_in_time_is_left_alone_and_no_alarm_stays():
    before = signal.getsignal(signal.SIGALRM)

    with at_most(5):
        during = signal.getitimer(signal.ITIMER_REAL)[0]

    assert 0 < during <= 5
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGALRM) is before


def test_the_alarm_of_somebody_else_is_not_touched():
    rings = []
    before = signal.signal(signal.SIGALRM, lambda *_: rings.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 60)
        with at_most(0.01):
            left = signal.getitimer(signal.ITIMER_REAL)[0]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert left > 50


def test_another_thread_is_not_bounded(silent):
    reader, writer = silent
    got = []

    def work():
        with at_most(0.001):
            got.append(reader.recv(1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.1)
    writer.send(b"x")
    thread.join(5)

    assert got == [b"x"]
