"""Processes, threads and the simulated stage, as the runtime contract wants to have them."""

from __future__ import annotations

import threading

from djq.ports import Wait
from djq.runtime.clock import SystemClock
from djq.runtime.loop import drive
from djq.runtime.poller import Poller
from djq.runtime.spawn import ForkSpawner
from djq.runtime.threads import Bell, ThreadSpawner
from djq_testing.contract.parents import SECONDS_MAX
from djq_testing.sim.faults import KilledError
from djq_testing.sim.spawn import SimSpawner
from djq_testing.sim.stage import Calm, Stage
from djq_testing.sim.trace import Trace


class RealRuntime:
    """A parent in the test's own thread; nobody is left behind."""

    def __init__(self, make):
        self.clock = SystemClock()
        self.waiter, self.spawner = self._open(make)

    def run(self, until, seconds):
        end = self.clock.monotonic() + seconds
        while not until():
            self.waiter.wait(max(end - self.clock.monotonic(), 0))
            if self.clock.monotonic() >= end:
                return False
        return True

    def leave(self, _child, link):
        link.close()
        return self.run(self.spawner.exits, SECONDS_MAX)


class ForkRuntime(RealRuntime):
    def _open(self, make):
        poller = Poller()

        def live(child, label, link, poller):
            drive(make(child, label, link), poller)

        return poller, ForkSpawner(poller=poller, main=live)

    def close(self):
        for child in self.spawner._processes:
            self.spawner.kill(child)
        while self.spawner.pids():
            self.spawner.reap()
            self.waiter.wait(SECONDS_MAX)
            self.spawner.exits()
        for process in self.spawner._ended.values():
            process.link.close()
        self.waiter.close()


class ThreadRuntime(RealRuntime):
    def _open(self, make):
        bell = Bell()
        self.threads = []

        def live(child, label, link, bell):
            self.threads.append(threading.current_thread())
            drive(make(child, label, link), bell, lambda: link.is_cut)

        return bell, ThreadSpawner(bell=bell, main=live)

    def close(self):
        for child in [*self.spawner._living]:
            self.spawner.kill(child)
        for thread in self.threads:
            thread.join(SECONDS_MAX)
            assert not thread.is_alive()


class Onlooker:
    """What runs in the parent: the test looks at its links from outside."""

    def step(self):
        return Wait(None)


class Mortal:
    """A component that may crash: on the stage that is a fault of djq, and here a death."""

    def __init__(self, component):
        self._component = component

    def step(self):
        try:
            return self._component.step()
        except RuntimeError as error:
            raise KilledError from error


class SimRuntime(Stage):
    def __init__(self, timeline, make):
        super().__init__(Calm(), timeline, Trace(timeline))
        self._make = make
        self.parent = self.start_cluster()
        self.spawner = self.parent.spawner = SimSpawner(self, self.parent)

    def make(self, process):
        if process.child is None:
            return Onlooker()
        label = process.name.split()[0]
        return Mortal(self._make(process.child, label, process.links[0]))

    def run(self, until, seconds):
        return self.timeline.run(self.timeline.now + seconds, until)

    def leave(self, child, _link):
        self.die(self.parent, -9, "the test")
        return self.run(
            lambda: child not in [p.child for p in self.processes.values()], SECONDS_MAX
        )

    def close(self):
        """Nothing of it is real."""
