"""How long tasks take, as a test says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, TypeAlias

from djq.core.call import func_path, load_call, resolve
from djq.core.frame import unpack
from djq.core.message import Kind
from djq.core.protocol import Delivery

Duration: TypeAlias = float | Sequence[float] | Callable[..., float]
"""Seconds; or those of each run in turn, the last of them for all later ones; or a function of the
task's arguments that gives them."""


class Durations:
    """The seconds of each function that was named; all others take no time."""

    def __init__(self) -> None:
        self._durations: dict[str, Callable[[Delivery], float]] = {}
        self._paths: dict[str, str] = {}

    def set(self, func: Callable[..., Any] | str, seconds: Duration) -> None:
        """Say how long each run of a function takes.

        Raises:
            TaskRefused, ImportError, AttributeError, TypeError: There is no such function.
            ValueError: These are no seconds.
        """
        path = func_path(resolve(func) if isinstance(func, str) else func)
        if callable(seconds):
            self._durations[path] = lambda delivery: _checked(seconds(*_arguments(delivery)))
            return
        row = [seconds] if isinstance(seconds, int | float) else list(seconds)
        if not row:
            raise ValueError("seconds is empty; give the seconds of at least one run")
        left = [_checked(each) for each in row]
        self._durations[path] = lambda _delivery: left.pop(0) if len(left) > 1 else left[0]

    def of(self, delivery: Delivery) -> float:
        """How long this run takes."""
        if not self._durations:
            return 0.0
        duration = self._durations.get(self._path_of(delivery.func))
        return 0.0 if duration is None else duration(delivery)

    def _path_of(self, path: str) -> str:
        """Where a function was defined, which a task may know by another path."""
        if path not in self._paths:
            try:
                self._paths[path] = func_path(resolve(path))
            except Exception:  # noqa: BLE001 - the task itself will fail of it, and says so
                self._paths[path] = path
        return self._paths[path]


def _arguments(delivery: Delivery) -> tuple[Any, ...]:
    message = unpack(delivery.frame)
    return () if message.kind is Kind.HOOK else load_call(message.body)[1]


def _checked(seconds: object) -> float:
    if not isinstance(seconds, int | float) or not isfinite(seconds) or seconds < 0:
        raise ValueError(f"{seconds!r:.100} is no duration; it must be seconds, 0 or more")
    return float(seconds)
