"""Children as threads of this process: for systems without fork, for debuggers, for free threading.

A thread cannot be ended from outside. So a kill ends the wait and not the thread: the child's end is
told, its link is cut, and another may take its seat. The thread goes on until what it does returns;
it then finds that its link is cut, and ends. What it says meanwhile goes nowhere, and it takes nothing
that lies on offer. (A task that it began in the very moment of the kill runs to its end there, and may
run a second time: a broker that delivers at least once promises no more.)

Messages go from thread to thread as they are: those of `core.protocol` are frozen. Each way of a link
is a deque with one writer and one reader, and each thread waits on a bell of its own. No thread holds
a lock while it goes on, so one that hangs keeps nobody waiting.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NoReturn

import attrs

from djq.core.lifecycle import ChildId
from djq.core.settlement import EXIT_ABANDONED
from djq.ports import Exit
from djq.runtime.poller import WAIT_SECONDS_MAX
from djq.runtime.spawn import exit_code_of

MAIL_MAX = 1_000
"""With so many messages unread a link counts as clogged: a reader that rarely looks costs little memory."""

LAST_SECONDS_MAX = 5.0
"""How long the exit functions of a program may take before it ends without them."""


class Bell:
    """Ends the waits of one thread; any thread may ring it, a signal's handler too."""

    def __init__(self) -> None:
        # Its `put` may interrupt itself, which no other of Python's ways to wake a thread allows.
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """End the present wait, or the next one."""
        self._rings.put(None)

    def wait(self, seconds: float | None) -> None:
        """Wait for a ring, at most so long and never longer than a day; None: as long as it takes."""
        with suppress(Empty):
            self._rings.get(timeout=None if seconds is None else min(seconds, WAIT_SECONDS_MAX))
            for _ in range(self._rings.qsize()):
                self._rings.get_nowait()


@attrs.define(eq=False)
class Lane:
    """One way of a link."""

    bell: Bell
    """Its reader's."""
    is_closed: bool = False
    """Its writer is gone."""
    mail: deque[Any] = attrs.Factory(deque)
    offers: deque[Any] = attrs.Factory(deque)

    def close(self) -> None:
        self.is_closed = True
        self.bell.ring()


class ThreadLink:
    """One end."""

    def __init__(self, inbox: Lane, outbox: Lane) -> None:
        self._inbox = inbox
        self._outbox = outbox

    def send(self, *messages: object) -> None:
        """Lay the messages where the other end finds them, in order; never blocks."""
        if messages and not self.is_cut:
            for message in messages:
                self._outbox.mail.append(message)
            self._outbox.bell.ring()

    def receive(self) -> Sequence[Any]:
        """All messages that are here, oldest first; never blocks."""
        return _all_of(self._inbox.mail)

    def offer(self, *messages: object) -> int:
        """Lay messages out for the child to take one at a time: there is room for all."""
        for message in messages:
            self._outbox.offers.append(message)
        self._outbox.bell.ring()
        return len(messages)

    def recall(self) -> Sequence[Any]:
        """Take back what was offered and not taken, oldest first."""
        return _all_of(self._outbox.offers)

    def take(self) -> Any | None:
        """At the child's end: the oldest message on offer. None: there is none."""
        if self.is_cut:
            return None
        try:
            return self._inbox.offers.popleft()
        except IndexError:
            return None

    @property
    def ended(self) -> bool:
        """The other end is gone, and all that it had sent has been received."""
        # In this order: what was sent before the end is there when the end is seen.
        return self._inbox.is_closed and not self._inbox.mail

    @property
    def clogged(self) -> bool:
        """The other end has not looked for long."""
        return len(self._outbox.mail) >= MAIL_MAX

    @property
    def is_cut(self) -> bool:
        """Nobody hears what is sent from here any more."""
        return self._outbox.is_closed

    def close(self) -> None:
        """Leave: the other end finds the end behind the last message."""
        self._outbox.close()

    def cut(self) -> None:
        """End both ways at once, at the parent's end; what has arrived can still be received."""
        self._inbox.close()
        # The thread at the other end may be writing just now: that is read by nobody.
        rest = deque(_all_of(self._inbox.mail))
        self._inbox = Lane(self._inbox.bell, is_closed=True, mail=rest)
        self.close()


ThreadMain = Callable[[ChildId, str, ThreadLink, Bell], None]
"""Runs in the new thread: what the child is, the label of its log lines, its link, its bell."""


@attrs.frozen
class Living:
    """A child that has not ended, nor been killed."""

    thread: threading.Thread
    link: ThreadLink


class ThreadSpawner:
    """Children as threads; all but the ends of the children is the parent's thread alone."""

    def __init__(self, *, bell: Bell, main: ThreadMain) -> None:
        """`bell` is the parent's own."""
        self._bell = bell
        self._main = main
        self._living: dict[ChildId, Living] = {}
        self._ends: deque[Exit] = deque()
        self._exits: list[Exit] = []

    def spawn(self, child: ChildId, label: str) -> ThreadLink:
        """Start a thread. Raises OSError when the system has no room for another."""
        bell = Bell()
        down, up = Lane(bell), Lane(self._bell)
        thread = threading.Thread(
            target=self._live,
            args=(child, label, ThreadLink(down, up), bell),
            name=f"djq {child.role.value} {label}",
            # The process can end while a thread is still at work.
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(str(error)) from error
        link = ThreadLink(up, down)
        self._living[child] = Living(thread, link)
        return link

    def kill(self, child: ChildId) -> None:
        """Count the child as ended, whatever it does; one that has ended already is no error."""
        self._collect()
        living = self._living.pop(child, None)
        if living is not None:
            living.link.cut()
            self._exits.append(Exit(child, EXIT_ABANDONED))
            self._bell.ring()

    def exits(self) -> list[Exit]:
        self._collect()
        exits, self._exits = self._exits, []
        return exits

    def forget(self, child: ChildId) -> None:
        """Nothing is left of an ended child."""

    def pids(self) -> list[int]:
        """The system's numbers of the threads that have not ended, oldest first."""
        numbers = (living.thread.native_id for living in self._living.values())
        return [number for number in numbers if number is not None]

    def close(self) -> None:
        """The parent is leaving: the children find their links ended, and leave as well."""
        for living in self._living.values():
            living.link.close()

    def _collect(self) -> None:
        while self._ends:
            end = self._ends.popleft()
            if self._living.pop(end.child, None) is not None:
                self._exits.append(end)

    def _live(self, child: ChildId, label: str, link: ThreadLink, bell: Bell) -> None:
        """The child's whole life."""
        code = exit_code_of(lambda: self._main(child, label, link, bell))
        link.close()
        self._ends.append(Exit(child, code))
        self._bell.ring()


class ThreadOrphans:
    """Knows the threads of a sentinel that died; nothing but the end of the process ends them."""

    fate = "threads of a sentinel that died are still at work, and are left to themselves"

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def adopt(self, pids: Sequence[int]) -> None:
        self._threads += [each for each in threading.enumerate() if each.native_id in pids]

    def end(self) -> int:
        """Forget them; gives how many are still at work."""
        living = [thread for thread in self._threads if thread.is_alive()]
        self._threads.clear()
        return len(living)


def end_process(code: int, seconds: float = LAST_SECONDS_MAX) -> NoReturn:
    """End this process as a program ends, but wait for no thread: one may be at work for ever.

    Its exit functions may take so many seconds.

    Python's own end waits for threads that a task has started, and breaks off when a daemon thread
    is writing to standard output just then.
    """
    watch = threading.Timer(seconds, os._exit, [code])
    watch.daemon = True
    try:
        watch.start()
        atexit._run_exitfuncs()  # noqa: SLF001 - what a program ends with; there is no public name
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _all_of(messages: deque[Any]) -> list[Any]:
    """Take all messages that are there, oldest first."""
    taken = []
    with suppress(IndexError):
        # Never more than there are now, or one talkative child would keep its parent from the others.
        for _ in range(len(messages)):
            taken.append(messages.popleft())  # noqa: PERF401 - what was taken before the end counts
    return taken
