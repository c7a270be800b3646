"""The only loop: step, wait as the step says, step again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from djq.ports import Component


class Waiter(Protocol):
    """What ends the waits of one process or thread."""

    def wait(self, seconds: float | None) -> None:
        """Wait until something comes, at most so long; None: as long as it takes."""
        ...


def drive(component: Component, waiter: Waiter, until: Callable[[], bool] | None = None) -> bool:
    """Drive one component here, to its end or until `until` holds; True: to its end."""
    while until is None or not until():
        wait = component.step()
        if wait is None:
            return True
        waiter.wait(wait.seconds)
    return False
