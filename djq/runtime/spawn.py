"""Starts children by fork, and learns from the kernel when they end.

A child's death is read from its pidfd and collected by waitpid: the end of a pipe would stay open
for as long as any process that a task left behind holds a copy of it. Where there is no pidfd
(macOS), `exits` asks waitpid at every step. A child that something else has collected (a program
that waits for any child, a SIGCHLD that is ignored) has ended like every other, with a code that
nobody knows.

Only a single-threaded process forks. Each child closes the pipe ends of its siblings.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress

import attrs

from djq.core.lifecycle import ChildId, Role
from djq.core.settlement import EXIT_UNKNOWN
from djq.ports import Exit
from djq.runtime.link import SocketLink, socket_pair
from djq.runtime.poller import Poller
from djq.runtime.tray import Tray

ChildMain = Callable[[ChildId, str, SocketLink, Poller], None]
"""Runs in the new process: what the child is, the label of its log lines, its link, its poller."""

EXIT_CRASHED = 70


@attrs.define(eq=False)
class Process:
    """One child as the kernel knows it."""

    pid: int
    link: SocketLink
    pidfd: int | None
    may_have_ended: bool = False

    def notice(self, _events: int) -> None:
        self.may_have_ended = True

    def kill(self) -> None:
        """End it; nothing happens when it has ended, and never to another that has its number."""
        with suppress(ProcessLookupError):
            if self.pidfd is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def exit_code(self, *, wait: bool = False) -> int | None:
        """Collect it. None: it lives."""
        try:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
        except ChildProcessError:
            return EXIT_UNKNOWN
        return os.waitstatus_to_exitcode(status) if pid else None


class ForkSpawner:
    """Children as forked processes."""

    def __init__(
        self,
        *,
        poller: Poller,
        main: ChildMain,
        before: Callable[[], None] | None = None,
        close_in_child: Iterable[Callable[[], None]] = (),
    ) -> None:
        """`before` runs before each fork; `close_in_child` closes what children must not keep."""
        self._poller = poller
        self._main = main
        self._before = before
        self._close_in_child = tuple(close_in_child)
        self._processes: dict[ChildId, Process] = {}
        self._ended: dict[ChildId, Process] = {}

    def spawn(self, child: ChildId, label: str) -> SocketLink:
        """Fork. Raises OSError when the system has no room for another process."""
        if self._before is not None:
            self._before()
        ours, theirs = socket_pair()
        tray = Tray() if child.role is Role.WORKER else None
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            if tray is not None:
                tray.close()
            raise
        if pid == 0:
            self._live(child, label, ours, theirs, tray)
        theirs.close()
        link = SocketLink(ours, self._poller, waits=False, tray=tray)
        process = Process(pid, link, _pidfd_of(pid))
        if process.pidfd is not None:
            self._poller.watch(process.pidfd, selectors.EVENT_READ, process.notice)
        self._processes[child] = process
        return link

    def kill(self, child: ChildId) -> None:
        process = self._processes.get(child)
        if process is not None:
            process.kill()

    def exits(self) -> list[Exit]:
        exits = []
        for child, process in list(self._processes.items()):
            if process.pidfd is not None and not process.may_have_ended:
                continue
            code = process.exit_code()
            if code is None:
                process.may_have_ended = False
                continue
            exits.append(Exit(child, code))
            process.link.look()
            if process.pidfd is not None:
                self._poller.forget(process.pidfd)
                os.close(process.pidfd)
            self._ended[child] = self._processes.pop(child)
        return exits

    def forget(self, child: ChildId) -> None:
        process = self._ended.pop(child, None)
        if process is not None:
            process.link.close()

    def pids(self) -> list[int]:
        """The process ids of the children that have not been collected, oldest first."""
        return [process.pid for process in self._processes.values()]

    def reap(self) -> None:
        """Collect every child that was killed; blocks until the kernel has ended them."""
        for process in self._processes.values():
            process.exit_code(wait=True)

    def _live(
        self,
        child: ChildId,
        label: str,
        ours: socket.socket,
        theirs: socket.socket,
        tray: Tray | None,
    ) -> None:
        """The child's whole life; never returns."""
        code = EXIT_CRASHED
        try:
            code = exit_code_of(lambda: self._live_to_its_end(child, label, ours, theirs, tray))
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    def _live_to_its_end(
        self,
        child: ChildId,
        label: str,
        ours: socket.socket,
        theirs: socket.socket,
        tray: Tray | None,
    ) -> None:
        self._poller.abandon()
        ours.close()
        for process in (*self._processes.values(), *self._ended.values()):
            process.link.close()
            if process.pidfd is not None:
                os.close(process.pidfd)
        for close in self._close_in_child:
            close()
        poller = Poller()
        if tray is not None:
            tray.belong_to_child(poller)
        link = SocketLink(theirs, poller, waits=True, tray=tray)
        self._main(child, label, link, poller)


def exit_code_of(life: Callable[[], None]) -> int:
    """Live a child's life to its end and give its exit code; a crash is told on standard error."""
    try:
        life()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_CRASHED
    except BaseException:  # noqa: BLE001 - the child ends here, and says why
        traceback.print_exc()
        return EXIT_CRASHED
    return 0


def _pidfd_of(pid: int) -> int | None:
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None
