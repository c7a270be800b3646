"""Takes reports of errors to reporters, in a thread beside: nobody waits for a service that hangs.

The thread is there only while there is something to report, so a process without errors has one
thread, as the tasks in it expect. What comes while it is busy waits in a short line: an exception
keeps all that its frames hold, and a service that hangs must not fill the memory. What finds the line
full is lost, and the log says so, once until there is room again.

After a fork nothing of the parent's thread is there, and its connections are not to be shared: the
child begins anew.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from djq.core.events import ReportLost
from djq.core.report import Reporter
from djq.ports import Observer
from djq.runtime import scope

WAITING_MAX = 20
"""Reports that may wait at a time."""
NOBODY = ""
"""In the place of a reporter's name: it did not come to any."""


class Courier:
    """A reporter that never blocks and never raises: others do the work, one report after another."""

    def __init__(
        self,
        *,
        makers: Mapping[str, Callable[[], Reporter]],
        observer: Observer,
        cluster: str,
        new_thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        """`makers` make the reporters, by name, at the first report of a process; they may raise."""
        self._new_thread = new_thread
        self._makers = makers
        self._observer = observer
        self._cluster = cluster
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[tuple[BaseException, Mapping[str, Any]]] = deque()
        self._thread: threading.Thread | None = None
        self._given_up: threading.Thread | None = None
        self._reporters: dict[str, Reporter] = {}
        self._failing: set[str] = set()

    def report(self, error: BaseException, about: Mapping[str, Any]) -> None:
        """Put it in the line."""
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            has_room = len(self._waiting) < WAITING_MAX
            if has_room:
                self._waiting.append((error, {**about, "cluster": self._cluster}))
            reason = self._set_out() if has_room else f"{WAITING_MAX} reports wait already"
        self._judge(NOBODY, reason)

    def close(self, seconds: float) -> None:
        """Let the line be worked off, for so long at most; what is left then is lost."""
        thread = self._thread
        if self._pid != os.getpid() or thread is None or thread is self._given_up:
            return
        thread.join(seconds)
        if thread.is_alive():
            with self._lock:
                left = len(self._waiting) + 1
                self._waiting.clear()
            self._given_up = thread
            reason = f"at the end, {left} reports were not delivered within {seconds:g} s"
            self._tell(NOBODY, reason)

    def _set_out(self) -> str:
        """See to it that there is a thread; gives the reason why there cannot be one, or nothing."""
        if self._thread is None:
            thread = self._new_thread(target=self._work, name="djq reporter", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._waiting.clear()
                return str(error)
            self._thread = thread
        return ""

    def _work(self) -> None:
        try:
            while (report := self._next()) is not None:
                self._deliver(*report)
        finally:
            self._leave()
            scope.close_own()

    def _leave(self) -> None:
        """Whatever ended this thread: the next report is to find that there is none."""
        with self._lock:
            if self._thread is threading.current_thread():
                self._thread = None

    def _next(self) -> tuple[BaseException, Mapping[str, Any]] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            return None

    def _deliver(self, error: BaseException, about: Mapping[str, Any]) -> None:
        for name, make in self._makers.items():
            reason = ""
            try:
                if name not in self._reporters:
                    self._reporters[name] = make()
                self._reporters[name].report(error, about)
            except BaseException as failed:  # noqa: BLE001 - it may be the user's own, and raise anything
                reason = _words_of(failed)
            self._judge(name, reason)

    def _judge(self, name: str, reason: str) -> None:
        """Say that reports are lost, once until one is not."""
        if not reason:
            self._failing.discard(name)
        elif name not in self._failing:
            self._failing.add(name)
            self._tell(name, reason)

    def _tell(self, name: str, reason: str) -> None:
        # A handler or a filter of the project's log may raise anything, and is not worth a report.
        with suppress(Exception):
            self._observer.notify(ReportLost(name, reason))


def _words_of(error: BaseException) -> str:
    """The exception's line; also of one that cannot be printed."""
    try:
        return "".join(traceback.format_exception_only(error)).strip()
    except Exception:  # noqa: BLE001 - a SyntaxError that somebody has made may have anything in it
        return type(error).__name__
