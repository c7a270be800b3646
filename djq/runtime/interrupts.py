"""Signals: a handler sets a flag and does nothing else, so none can interrupt half-done work.

The command counts the signals that ask it to stop. Its children take no notice of them, so that a
signal to the whole process group (Ctrl-C in a terminal, systemd) is the same as one to the command
alone. They do so with a handler and not by ignoring: programs that a task starts get the default
behaviour back by themselves, and processes that a task forks are given it.

A process that ignores SIGCHLD never learns how its children ended, and a program that is started by
one ignores it as well. Whoever has children here takes the default back.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType

from djq.runtime.poller import Poller

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)

# Under nohup a closed terminal is to be ignored.
IGNORABLE = tuple(number for number in STOP_SIGNALS if number.name == "SIGHUP")

CHILD_SIGNALS = (signal.SIGCHLD,) if hasattr(signal, "SIGCHLD") else ()


class Interrupts:
    """How often this process was asked to stop."""

    def __init__(self, poller: Poller | None, ring: Callable[[], None] | None = None) -> None:
        """A signal ends a wait of `poller`; where there is none, `ring` is called to that end."""
        self._poller = poller
        self._ring = ring
        self._count = 0
        self._before: dict[int, object] = {}
        self._wake_reader: socket.socket | None = None
        self._wake_writer: socket.socket | None = None
        self._wake_before = -1

    def count(self) -> int:
        return self._count

    def install(self) -> None:
        """Start to count; only the main thread may."""
        if self._poller is not None:
            self._wake(self._poller)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN or number not in IGNORABLE:
                self._before[number] = signal.signal(number, self._note)
        for number in CHILD_SIGNALS:
            self._before[number] = signal.signal(number, signal.SIG_DFL)

    def _wake(self, poller: Poller) -> None:
        """Have each signal wake the poller: Python may run its handler only after the wait."""
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._wake_reader, self._wake_writer = reader, writer
        self._wake_before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        poller.watch(reader.fileno(), 1, self._drain)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()
        self._stop_waking()

    def ignore(self) -> None:
        """Have stop signals do nothing any more: the process is about to end, and has its exit code.

        They are ignored and not handled, since Python takes handlers away long before its end.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
            self._before.pop(number, None)
        self.restore()

    def _stop_waking(self) -> None:
        if self._poller and self._wake_reader and self._wake_writer:
            signal.set_wakeup_fd(self._wake_before)
            self._poller.forget(self._wake_reader.fileno())
            self._wake_reader.close()
            self._wake_writer.close()
            self._wake_reader = self._wake_writer = None

    def abandon(self) -> None:
        """In a forked child: close what is the parent's."""
        for end in (self._wake_reader, self._wake_writer):
            if end is not None:
                end.close()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        if self._ring is not None:
            self._ring()

    def _drain(self, _events: int) -> None:
        if self._wake_reader is not None:
            self._wake_reader.recv(4096)


def take_no_notice() -> None:
    """In a child of the cluster: stop signals do nothing here; what a task forks gets them again."""
    signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        signal.signal(number, _nothing)
    for number in CHILD_SIGNALS:
        signal.signal(number, signal.SIG_DFL)


@functools.cache
def defaults_for_grandchildren() -> None:
    """In a worker: what its tasks fork has the usual signal handlers."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_defaults)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    pass


def _defaults() -> None:
    for number in STOP_SIGNALS:
        handler = signal.getsignal(number)
        # Where workers are threads, the handler is that of the command.
        ours = handler is _nothing or isinstance(getattr(handler, "__self__", None), Interrupts)
        if ours:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
