"""Asks somebody who may not answer, in a thread beside: whoever wants to know waits as long as he likes.

A client library waits as long as it was told, and some were told nothing. In a thread of a web server no
alarm ends that, so the question is asked in another thread, which is given up when it takes too long.

One question is under way at a time. Who asks meanwhile gets its answer, so a server that hangs costs one
thread for as long as its client waits, however often it is asked about. The thread is there only while it
asks, and closes what it has opened. After a fork nothing of the parent's question is there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

from djq.runtime import scope

Answer = TypeVar("Answer")


class Lookout(Generic[Answer]):
    """Asks one question, again and again."""

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._asked: Future[Answer] | None = None

    def ask(self, question: Callable[[], Answer]) -> Future[Answer]:
        """Begin to ask, or join the question that is under way; does not wait.

        Whoever waits for the answer, with `result(seconds)`, gets what the question raised, or
        `TimeoutError`.

        Raises:
            RuntimeError: There can be no more threads.
        """
        if self._pid != os.getpid():
            self._begin()
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = ask(question, thread="djq lookout")
            return self._asked


def ask(question: Callable[[], Answer], *, thread: str) -> Future[Answer]:
    """Ask in a thread of this name, which keeps no program from its end; does not wait.

    Raises:
        RuntimeError: There can be no more threads.
    """
    asked: Future[Answer] = Future()
    threading.Thread(target=_answer, args=(asked, question), name=thread, daemon=True).start()
    return asked


def _answer(asked: Future[Answer], question: Callable[[], Answer]) -> None:
    try:
        answer = question()
    except BaseException as error:  # noqa: BLE001 - whoever waits is to have it, whatever it is
        _close()
        asked.set_exception(error)
    else:
        _close()
        asked.set_result(answer)


def _close() -> None:
    # The answer is there: that a connection closes badly changes nothing.
    with suppress(Exception):
        scope.close_own()
