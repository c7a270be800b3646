"""What surrounds each run of a function: where it may be cut off between two of its lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from djq.core.call import resolve
from djq_testing.sim.faults import KilledError

if TYPE_CHECKING:
    from djq_testing.sim.world import World


@contextmanager
def inside(world: World) -> Iterator[None]:
    """Run a function as the world has it: a project's own in its scope, and maybe not to its end."""
    process = world.stepping
    assert process is not None, "a function runs in a step of its worker"
    assert process.run is not None, "and its worker has begun it"
    spec = world.checker.specs.get(process.run.delivery.task_id)
    if spec is None or spec.given is None:
        yield
        return
    process.clock.behind = 0.0
    with world.given.scope(), _cut_off(world, spec.given.func):
        yield


@contextmanager
def _cut_off(world: World, path: str) -> Iterator[None]:
    """Let the process die before any line of the function's module that is about to run.

    What dies is an exception for the function, so that what it holds is let go of, as the system does
    it; what it then says does not get out of the process.
    """
    if not world.chaos.plan.crash_inside:
        yield
        return
    code = getattr(resolve(path), "__code__", None)
    file = None if code is None else code.co_filename

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if frame.f_code.co_filename != file:
            return None
        dead = world.dead_inside is world.stepping
        if event == "line" and not dead and world.chaos.strikes("crash_inside"):
            world.dead_inside = world.stepping
            raise KilledError
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
