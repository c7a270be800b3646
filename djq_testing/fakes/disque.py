"""Disque in memory: djq's own adapter on nodes that answer at once, and keep the test's clock.

`djq_testing.fakes.disque_server` serves the same over TCP, for the real client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ResponseError

from djq.brokers.disque import Client, DisqueBroker
from djq.core.config import Config
from djq.ports import Broker, Clock
from djq_testing.fakes.disque_jobs import FakeDisque

__all__ = ["FakeDisque", "FakeDisqueBroker", "FakeNode", "FakeNodes", "broker_maker", "make_fake"]


class FakeNode:
    """One node, and a connection to it."""

    def __init__(self, disque: FakeDisque) -> None:
        self.disque = disque
        self.up = True
        self.hangs_up: str | None = None
        """Once: "before" it does what is asked, or "after" that, so that nobody hears the answer."""
        self.has_copies = True
        """It knows the jobs; False: it has not heard of any, and cannot renew their leases."""
        self.counts_anew = False
        """It has not heard of what other nodes delivered: to it every delivery is the first."""
        self.round_trips = 0

    def ask(self, *commands: Sequence[Any]) -> list[Any]:
        self.round_trips += 1
        when, self.hangs_up = self.hangs_up, None
        if when == "before":
            self.up = False
            raise NoConnection("Connection closed by server.")
        answers = [self._answer(command) for command in commands]
        if when == "after":
            self.up = False
            raise NoConnection("Connection closed by server.")
        return answers

    def _answer(self, command: Sequence[Any]) -> Any:
        if command[0] == "WORKING" and not self.has_copies:
            return ResponseError("NOJOB Job not known in the context of this node.")
        answer = self.disque.answer(command)
        if command[0] == "GETJOB" and self.counts_anew:
            return [[*job[:4], 0, job[5], 0] for job in answer or []]
        return answer

    def is_open(self) -> bool:
        return self.up

    def close(self) -> None:
        """Another connection is as good."""


class FakeNodes:
    """The nodes of one Disque, in their order."""

    def __init__(self, disque: FakeDisque) -> None:
        self.disque = disque
        self.nodes = [FakeNode(disque) for _ in disque.ports]
        disque.members = self.nodes

    @property
    def round_trips(self) -> int:
        """How often a node was asked something."""
        return sum(node.round_trips for node in self.nodes)

    def connect(self) -> FakeNode:
        return next(self.each())

    def each(self) -> Iterator[FakeNode]:
        up = [node for node in self.nodes if node.up]
        if not up:
            raise NoConnection("Error 111 connecting to 127.0.0.1:7711. Connection refused.")
        yield from up

    def others(self, than: Client | None) -> Iterator[FakeNode]:
        yield from (node for node in self.nodes if node.up and node is not than)

    def shun(self, client: Client) -> None:
        """A node that has hung up is not up."""


class FakeDisqueBroker(DisqueBroker):
    """The broker, and what a test cluster has to know besides."""

    def __init__(self, list_key: str, *, nodes: FakeNodes, **options: Any) -> None:
        super().__init__(list_key, nodes=nodes, **options)
        self.disque = nodes.disque

    def lock_size(self) -> int | None:
        """How many packages are out: a real Disque does not tell."""
        return self.disque.lent(self._queue)

    def next_available(self) -> datetime | None:
        """When the next package comes; in the past: it is here. None: there is none."""
        return self.disque.next_available(self._queue)


def broker_maker(_name: str) -> Callable[[Config, str, Clock], Broker]:
    """Start a Disque in memory: give what makes the brokers of its queues."""
    found: list[FakeNodes] = []

    def make(config: Config, list_key: str, clock: Clock) -> Broker:
        if not found:
            found.append(FakeNodes(FakeDisque(clock)))
        return make_fake(list_key, nodes=found[0], retry_seconds=config.retry)

    return make


def make_fake(list_key: str, *, nodes: FakeNodes, retry_seconds: float) -> FakeDisqueBroker:
    """Make a broker that keeps the time of these nodes."""
    return FakeDisqueBroker(list_key, nodes=nodes, retry_seconds=retry_seconds, wait_seconds=0)
