"""Sets the stage's misfortunes: when tasks come, who dies when, and when somebody asks for a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from djq.core.lifecycle import Role
from djq_testing.sim.case import Strike
from djq_testing.sim.compositions import Composition
from djq_testing.sim.workload import draw_poison, package_of
from djq_testing.sim.world import Outage

if TYPE_CHECKING:
    from djq_testing.sim.world import World

VICTIMS: dict[str, Role | None] = {
    "kill_worker": Role.WORKER,
    "kill_pusher": Role.PUSHER,
    "kill_monitor": Role.MONITOR,
    "kill_sentinel": Role.SENTINEL,
    "kill_command": None,
}


OUTAGE_SECONDS = (0.5, 8.0)
HALF = 0.5


class Nemesis:
    """Fills the safety phase."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng = world.chaos.rng
        self._poisons = 0

    def begin(self) -> None:
        """Set everything that does not depend on how things go."""
        world = self._world
        for _ in range(world.scene.clusters):
            world.start_cluster()
        for one in world.compositions:
            world.timeline.at(one.at, self._ask, one)
        for name, role in VICTIMS.items():
            self._repeat(name, partial(self._kill, role))
        self._repeat("pause_process", self._pause)
        self._repeat("clock_jump", self._jump)
        for name, strike in self._later().items():
            self._repeat_later(name, strike)
        for _ in range(world.scene.stop_signals):
            world.timeline.at(world.rng.uniform(0.0, world.scene.seconds), self.signal)

    def signal(self) -> None:
        """Ask a cluster to stop."""
        commands = self._world.living(None)
        if commands:
            command = self._rng.choice(commands)
            command.signals += 1
            self._world.note(command, "gets a signal", None)
            self._world.checker.signalled(command)
            self._world.wake(command)

    def _ask(self, one: Composition) -> None:
        """Somebody asks for tasks; who gets no answer asks again, by the same ids."""
        world = self._world
        if not world.chaos.strikes("enqueue_unknown"):
            self._enqueue(one)
            return
        own = Random(f"{one.tasks[0].id} unknown")
        if own.random() < HALF:
            self._enqueue(one)
        world.unsure += 1
        world.timeline.after(own.uniform(0.1, 2.0), self._ask_again, one)

    def _ask_again(self, one: Composition) -> None:
        self._world.unsure -= 1
        self._enqueue(one)

    def _enqueue(self, one: Composition) -> None:
        world = self._world
        for message in one.messages(world.server_clock.now()):
            package = package_of(world.codec, message)
            world.queue.memory.enqueue(package)
            world.trace.add("a caller", "enqueues", message)
            if self._rng.random() < world.chaos.plan.poison:
                self._poisons += 1
                if world.chaos.allows(("poison", self._poisons)):
                    world.queue.memory.enqueue(draw_poison(self._rng, package))
                    world.chaos.struck.append(("poison", self._poisons))
                    world.trace.add("somebody", "enqueues poison", None)

    def _repeat(self, name: str, strike: Callable[[], bool]) -> None:
        for number, moment in enumerate(self._moments(name, self._world.rng), 1):
            self._set(moment, (name, number), strike)

    def _repeat_later(self, name: str, strike: Callable[[Random], bool]) -> None:
        """As `_repeat`, with numbers that are nobody else's: those of each strike its own."""
        seed = self._world.case.seed
        for number, moment in enumerate(self._moments(name, Random(f"{name} moments {seed}")), 1):
            own = Random(f"{name} {number} {seed}")
            self._set(moment, (name, number), partial(strike, own))

    def _moments(self, name: str, rng: Random) -> Iterator[float]:
        rate: float = getattr(self._world.chaos.plan, name)
        moment = 0.0
        while rate and (moment := moment + rng.expovariate(rate)) < self._world.scene.seconds:
            yield moment

    def _set(self, moment: float, which: Strike, strike: Callable[[], bool]) -> None:
        if self._world.chaos.allows(which):
            self._world.timeline.at(moment, self._strike, which, strike)

    def _strike(self, which: Strike, strike: Callable[[], bool]) -> None:
        if strike():
            self._world.chaos.has_struck(which)

    def _later(self) -> dict[str, Callable[[Random], bool]]:
        """Misfortunes that are drawn by numbers of their own."""
        return {
            "broker_outage": partial(self._outage, "broker"),
            "store_outage": partial(self._outage, "store"),
            "pause_cluster": self._pause_cluster,
        }

    def _outage(self, service: str, rng: Random) -> bool:
        clusters = [process.cluster for process in self._world.living(None)]
        seconds = rng.uniform(*OUTAGE_SECONDS)
        cluster = rng.choice(clusters) if clusters and rng.random() < HALF else None
        self._world.outages.append(Outage(service, cluster, self._world.timeline.now + seconds))
        whom = "everybody" if cluster is None else f"cluster {cluster}"
        self._world.trace.add(service, "is away", f"for {seconds:.3f} s, to {whom}")
        return True

    def _pause_cluster(self, rng: Random) -> bool:
        commands = self._world.living(None)
        if not commands:
            return False
        cluster = rng.choice(commands).cluster
        seconds = self._world.scene.lease_seconds * rng.uniform(0.3, 3.0)
        for process in self._world.processes.values():
            if process.cluster == cluster:
                self._world.pause(process, seconds)
        return True

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
