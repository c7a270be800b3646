"""Sets the stage's misfortunes: when tasks come, who dies when, and when somebody asks for a stop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from djq.core.lifecycle import Role
from djq_testing.sim.compositions import Chain, Iter, Single
from djq_testing.sim.workload import draw_poison, package_of

if TYPE_CHECKING:
    from djq_testing.sim.world import World

VICTIMS: dict[str, Role | None] = {
    "kill_worker": Role.WORKER,
    "kill_pusher": Role.PUSHER,
    "kill_monitor": Role.MONITOR,
    "kill_sentinel": Role.SENTINEL,
    "kill_command": None,
}


class Nemesis:
    """Fills the safety phase."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.chaos.rng

    def begin(self) -> None:
        """Set everything that does not depend on how things go."""
        world = self._world
        for _ in range(world.scene.clusters):
            world.start_cluster()
        for one in world.compositions:
            world.timeline.at(one.at, self._enqueue, one)
        for name, role in VICTIMS.items():
            self._repeat(name, partial(self._kill, role))
        self._repeat("pause_process", self._pause)
        self._repeat("clock_jump", self._jump)
        for _ in range(world.scene.stop_signals):
            world.timeline.at(self._rng.uniform(0.0, world.scene.seconds), self.signal)

    def signal(self) -> None:
        """Ask a cluster to stop."""
        commands = self._world.living(None)
        if commands:
            command = self._rng.choice(commands)
            command.signals += 1
            self._world.note(command, "gets a signal", None)
            self._world.checker.signalled(command)
            self._world.wake(command)

    def _enqueue(self, one: Chain | Iter | Single) -> None:
        world = self._world
        for message in one.messages(world.server_clock.now()):
            package = package_of(world.codec, message)
            world.queue.memory.enqueue(package)
            if self._rng.random() < world.chaos.plan.poison:
                world.queue.memory.enqueue(draw_poison(self._rng, package))

    def _repeat(self, name: str, strike: Callable[[], bool]) -> None:
        rate: float = getattr(self._world.chaos.plan, name)
        moment = 0.0
        while rate:
            moment += self._rng.expovariate(rate)
            if moment >= self._world.scene.seconds:
                return
            self._world.timeline.at(moment, self._strike, name, strike)

    def _strike(self, name: str, strike: Callable[[], bool]) -> None:
        if strike():
            self._world.chaos.hits[name] += 1

    def _kill(self, role: Role | None) -> bool:
        victims = self._world.living(role)
        if victims:
            self._world.die(self._rng.choice(victims), -9, "a random kill")
        return bool(victims)

    def _pause(self) -> bool:
        victims = list(self._world.processes.values())
        if victims:
            self._world.pause(self._rng.choice(victims), 15.0 * self._rng.random() ** 3)
        return bool(victims)

    def _jump(self) -> bool:
        shift = timedelta(seconds=self._rng.choice((-86_400, -3_600, -5, 5, 3_600, 86_400 * 400)))
        for process in self._world.processes.values():
            if self._rng.random() < 0.7:
                process.clock.shift = shift
        return True
