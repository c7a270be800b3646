"""The only loop: step, wait as the step says, step again."""

from __future__ import annotations

from collections.abc import Callable

from djq.ports import Component
from djq.runtime.poller import Poller


def drive(component: Component, poller: Poller, until: Callable[[], bool] | None = None) -> bool:
    """Drive one component in this process, to its end or until `until` holds; True: to its end."""
    while until is None or not until():
        wait = component.step()
        if wait is None:
            return True
        poller.wait(wait.seconds)
    return False
