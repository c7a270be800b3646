"""Whether a world has healed, and if not, what it waits for and how everything stands."""

from __future__ import annotations

from collections.abc import Iterator

from djq.core.lifecycle import ChildState, ClusterState, Role
from djq_testing.sim.spawn import SimProcess
from djq_testing.sim.world import World

NAMED_MAX = 5
"""Of more than these only the number is told."""


def is_healed(world: World) -> bool:
    """Whether all is done and every seat is filled."""
    if world.queue.size or next(reasons(world), None) is not None:
        return False
    links = (link for process in world.processes.values() for link in process.links)
    return all(link.inbox.is_empty for link in links)


def pending(world: World) -> str:
    """Why it is not done, and what stands in the way."""
    return "; ".join([*reasons(world), *circumstances(world)])


def reasons(world: World) -> Iterator[str]:
    """What has to be done yet, the queue left out. Nothing: all has healed."""
    if world.unsure:
        yield f"{world.unsure} callers are about to enqueue again"
    for process in world.processes.values():
        if process.run is not None:
            task = world.checker.name(process.run.delivery.task_id)
            until = process.run.began + process.run.seconds
            yield f"{process.name} runs {task}, until {until:.3f} s"
    yield from world.scheduling.due()
    clusters = [p for p in world.living(Role.SENTINEL) if p.component is not None]
    for process in clusters:
        why = _why_not_whole(world, process)
        if why:
            yield f"{process.name}: {why}"
    if len(clusters) < world.scene.clusters and not world.scene.run_once:
        yield f"{len(clusters)} of {world.scene.clusters} clusters live"


def circumstances(world: World) -> Iterator[str]:
    """How everything stands that may explain it: the queue, who starts, who stands still."""
    now = world.timeline.now
    waiting = list(world.queue.waiting())
    if waiting:
        yield f"in the queue wait {_some(waiting)}"
    leased = [
        f"{name} to cluster {cluster} until {until:.3f} s"
        for name, cluster, until in world.queue.leases()
    ]
    if leased:
        yield f"leased are {_some(leased)}"
    for process in world.processes.values():
        if process.component is None:
            yield f"{process.name} has not started yet"
        elif process.ready_at > now and process.run is None:
            yield f"{process.name} stands still until {process.ready_at:.3f} s"


def _some(names: list[str]) -> str:
    if len(names) <= NAMED_MAX:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED_MAX])} and {len(names) - NAMED_MAX} others"


def _why_not_whole(world: World, process: SimProcess) -> str:
    """What a sentinel still has to do. Empty: it is idle, and every seat is filled."""
    sentinel = process.component
    assert isinstance(sentinel, world.parts.sentinel), "that is what runs there"
    if sentinel.book.entries:
        held = [
            f"{world.checker.name(entry.delivery.task_id)} ({entry.state.value})"
            for entry in sentinel.book.entries.values()
        ]
        return f"its book has {_some(held)}"
    if world.scene.run_once:
        return ""
    if sentinel.closing.state is not ClusterState.WORKING:
        return f"it is {sentinel.closing.state.value}"
    for role, seats in world.plan().seats.items():
        children = sentinel.supervision.of(role)
        running = [child for child in children if child.state is ChildState.RUNNING]
        if not len(running) == len(children) == seats:
            return f"{len(running)} of {len(children)} {role.value}s run, {seats} are wanted"
    return ""
