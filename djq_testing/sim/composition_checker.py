"""What must hold of chains and iters, whatever struck; and what exactly when nothing struck.

A link is sent when the one before it has its outcome and lets the chain go on, and never otherwise.
An element counts once, the first outcome of each place, and an iter has one record, once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from djq.core.call import load_value
from djq.core.gathering import Element, Gathered
from djq.core.joined import ElementFailed
from djq.core.message import Finished, TaskMessage
from djq.core.settlement import STOPPED_LINK
from djq_testing.memory import MemoryStore, MemoryTask
from djq_testing.sim.compositions import Chain, Iter
from djq_testing.sim.faults import Violation
from djq_testing.sim.workload import Behaviour, TaskSpec

if TYPE_CHECKING:
    from djq_testing.sim.checker import Checker
    from djq_testing.sim.spawn import SimProcess
    from djq_testing.sim.world import World

STORE_AWAY = {"store_error_before", "store_outage"}
"""With these an outcome is saved at a later try."""
NO_ANSWER = {"broker_error_before", "broker_error_after", "broker_outage"}
SECOND_TRIES = STORE_AWAY | {"store_error_after"}
"""With these a monitor saves what it had looked at some time before."""


@attrs.frozen
class Kept:
    """What the store holds at one moment."""

    tasks: Mapping[str, MemoryTask]
    """The records by their ids."""
    elements: Mapping[str, Mapping[int, Element]]
    """What is kept aside of each iter, by the places."""

    @classmethod
    def by(cls, store: MemoryStore) -> Kept:
        """Look at what a store holds now."""
        return cls(dict(vars(store)["_tasks"]), dict(vars(store)["_elements"]))


@attrs.frozen
class Link:
    """Where a task stands in its chain; the first link of each is sent like any task."""

    chain: Chain
    place: int
    """1 or more."""

    @property
    def before(self) -> TaskSpec:
        """Which comes before it."""
        return self.chain.links[self.place - 1]


class CompositionChecker:
    """Sees what becomes of chains and iters."""

    def __init__(self, world: World, checker: Checker) -> None:
        self._world = world
        self._checker = checker
        self._chains = [one for one in world.compositions if isinstance(one, Chain)]
        self.iters = {one.id: one for one in world.compositions if isinstance(one, Iter)}
        self.elements = {spec.id for one in self.iters.values() for spec in one.elements}
        """The ids of tasks that have no record of their own."""
        self._links = {
            spec.id: Link(chain, place)
            for chain in self._chains
            for place, spec in enumerate(chain.links)
            if place
        }
        self._sent: Counter[str] = Counter()
        """How often each link was sent, the first of each chain left out."""
        self._senders: set[tuple[int, str]] = set()
        """Which process has sent which link."""
        self._outcomes: defaultdict[str, set[tuple[bool, object]]] = defaultdict(set)
        """What each element has come to, by its id."""
        self._before: dict[int, Kept] = {}
        """What was kept before each process' last save."""

    # Seen while it happens.

    def sent(self, process: SimProcess, message: TaskMessage | None) -> None:
        """A monitor sends something."""
        link = None if message is None else self._links.get(message.id)
        if message is None or link is None:
            return
        before = self._world.store.find(link.before.id)
        if before is None:
            raise Violation(f"I6: {_say(link)} was sent before the outcome of the last one")
        if not before.success and not link.chain.goes_on:
            raise Violation(f"I3: {_say(link)} was sent, and the chain had stopped")
        if not before.success and not self._checker.has_failed_for_good(link.before):
            raise Violation(f"I3: {_say(link)} was sent while the last one is tried again")
        self._sent[message.id] += 1
        self._check_again(process, message, link)
        self._check_twice_by_one(process, message, link)

    def committed(self, before: Kept, sent: Sequence[TaskMessage]) -> None:
        """A transaction is over in which these were sent; `before` is what was kept until then."""
        for message in sent:
            link = self._links.get(message.id)
            kept = None if link is None else before.tasks.get(link.before.id)
            if link is not None and kept is not None and kept.success:
                raise Violation(f"I3: {_say(link)} was sent again, which the database knew")

    def handed_on(self, spec: TaskSpec, handed: tuple[object, ...]) -> None:
        """A task was called with what the link before it has come to."""
        link = self._links.get(spec.id)
        if link is None or not link.chain.hands_on:
            allowed: list[tuple[object, ...]] = [()]
        else:
            saves = self._checker.saves
            values = [(True, link.before.number * 2), (False, None)]
            allowed = [(value,) for success, value in values if saves[link.before.id, success]]
        if handed not in allowed:
            raise Violation(f"I2: task {spec.number} was handed {handed!r}")

    def saved(
        self,
        process: SimProcess,
        batch: Sequence[Finished],
        gathered: Sequence[Gathered],
        before: Kept,
    ) -> None:
        """The store has kept a batch, each outcome of which is justified."""
        self._before[process.pid] = before
        now = Kept.by(self._world.store)
        for finished in batch:
            if finished.message.iter is not None:
                if self._checker.specs[finished.message.id].given is None:
                    value = load_value(finished.outcome.value)
                    self._outcomes[finished.message.id].add((finished.outcome.success, value))
                self._check_aside(finished.message.iter, finished.message.place, before, now)
        for complete in gathered:
            self._check_gathered(complete, before, now)
        told = {complete.finished.message.id for complete in gathered}
        for id, one in self.iters.items():
            if id in before.tasks and now.tasks.get(id) != before.tasks[id]:
                raise Violation(f"I5: the outcome of {_name(one)} was replaced")
            if id in now.tasks and id not in before.tasks and id not in told:
                raise Violation(f"I5: nobody was told that {_name(one)} is complete")

    def is_kept(self, message: TaskMessage) -> bool:
        """Whether the outcome of a task is kept, be it aside."""
        if message.iter is None:
            return self._world.store.find(message.id) is not None
        return message.place in Kept.by(self._world.store).elements.get(message.iter, {})

    def was_stopped(self, spec: TaskSpec, line: str) -> bool:
        """Whether a link rightly says that it did not run, since the chain had stopped."""
        link = self._links.get(spec.id)
        if link is None or link.chain.goes_on:
            return False
        for number, one in enumerate(link.chain.links[: link.place], 1):
            if f"link {number} of {len(link.chain.links)} " in line and f"task {one.id})" in line:
                record = self._world.store.find(one.id)
                failed = record is not None and not record.success
                return failed and self._checker.has_failed_for_good(one)
        return False

    # Judged at the end.

    def is_reached(self, spec: TaskSpec) -> bool:
        """Whether a task is to run, given what is kept of the link before it."""
        link = self._links.get(spec.id)
        if link is None or link.chain.goes_on:
            return True
        record = self._world.store.find(link.before.id)
        return record is not None and record.success

    def finish(self, *, may_be_lost: bool) -> None:
        """All is over."""
        for chain in self._chains:
            self._check_chain(chain, may_be_lost=may_be_lost)
        for one in self.iters.values():
            record = self._world.store.find(one.id)
            if record is None and not may_be_lost:
                raise Violation(f"I1: {_name(one)} has no outcome")
            if record is not None and not self._checker.is_disturbed:
                self._check_elements_exactly(one, record)

    def _check_again(self, process: SimProcess, message: TaskMessage, link: Link) -> None:
        """Without receipts a link may also be sent by being handed back."""
        scene, hits = self._world.scene, self._world.chaos.hits
        if not scene.receipts or (SECOND_TRIES & hits.keys() and not scene.one_unit):
            return
        known = self._before[process.pid].tasks.get(message.id)
        if known is not None and not _says_stopped(known):
            raise Violation(f"I3: {_say(link)} was sent again, and had an outcome")

    def _check_twice_by_one(self, process: SimProcess, message: TaskMessage, link: Link) -> None:
        """A monitor that lives on knows what it has sent, unless the broker gave no answer."""
        scene, hits = self._world.scene, self._world.chaos.hits
        known = (process.pid, message.id) in self._senders
        self._senders.add((process.pid, message.id))
        if known and scene.receipts and not scene.one_unit and not NO_ANSWER & hits.keys():
            raise Violation(f"I3: {_say(link)} was sent twice by one monitor")

    def _check_aside(self, id: str, place: int, before: Kept, now: Kept) -> None:
        first = before.elements.get(id, {}).get(place)
        kept = now.elements.get(id, {}).get(place)
        if kept is None:
            raise Violation(f"I5: element {place} of {_name(self.iters[id])} was not kept aside")
        if first is not None and kept != first:
            raise Violation(f"I5: element {place} of {_name(self.iters[id])} was replaced")

    def _check_gathered(self, gathered: Gathered, before: Kept, now: Kept) -> None:
        id = gathered.finished.message.id
        if id not in self.iters:
            raise Violation(f"I2: nobody enqueued the iter {id}")
        if id in before.tasks:
            raise Violation(f"I5: {_name(self.iters[id])} was gathered a second time")
        if now.tasks.get(id) != self._world.store.present(gathered.finished):
            raise Violation(f"I5: the outcome of {_name(self.iters[id])} was not kept")
        self._check_record(self.iters[id], now.tasks[id])

    def _check_record(self, one: Iter, record: MemoryTask) -> None:
        """The record of an iter is complete and in order, and each value is one of its element's."""
        if not one.is_keepable:
            if record.success or not str(record.result).startswith("StoreRefused: "):
                raise Violation(f"I5: {_name(one)} was kept, which no store can")
            return
        results: list[Any] = record.result
        if len(results) != len(one.elements):
            raise Violation(f"I5: {_name(one)} has {len(results)} results")
        successes = [not isinstance(result, ElementFailed) for result in results]
        given = any(spec.given is not None for spec in one.elements)
        for spec, success, result in zip(one.elements, successes, results, strict=True):
            if not given and (success, result) not in self._outcomes[spec.id]:
                raise Violation(f"I2: {_name(one)} has the invented result {result!r}")
        if record.success is not all(successes):
            raise Violation(f"I5: {_name(one)} ended with success {record.success}")
        garbled = any(spec.behaviour is Behaviour.GARBLED for spec in one.elements)
        if (
            not garbled
            and not given
            and record.args != tuple((spec.number,) for spec in one.elements)
        ):
            raise Violation(f"I5: {_name(one)} was called with {record.args}")
        if record.group != one.group:
            raise Violation(f"I5: {_name(one)} has the group {record.group!r}")

    def _check_elements_exactly(self, one: Iter, record: MemoryTask) -> None:
        if not one.is_keepable:
            return
        for spec, result in zip(one.elements, record.result, strict=True):
            _, success = self._checker.expected(spec)
            if spec.behaviour in {Behaviour.GRAZES, Behaviour.GIVEN}:
                continue
            if success is isinstance(result, ElementFailed):
                raise Violation(f"I5: task {spec.number} of {_name(one)} came to {result!r}")

    def _check_chain(self, chain: Chain, *, may_be_lost: bool) -> None:
        kept = {task.id: task for task in self._world.store.tasks}
        links = [spec for spec in chain.links if spec.id in kept]
        if links != list(chain.links[: len(links)]):
            raise Violation(f"I1: {chain.group} has an outcome behind a link without one")
        ids = {spec.id for spec in links if chain.has_in_its_group(spec)}
        members = {task.id for task in kept.values() if task.group == chain.group}
        if members != ids:
            raise Violation(f"I5: {chain.group} has {len(members)} members, not {len(ids)}")
        stopped = [spec for spec in links if _says_stopped(kept[spec.id])]
        if any(self.is_reached(spec) for spec in stopped) and not may_be_lost:
            raise Violation(f"I5: {chain.group} is kept as stopped and was not")
        unreached = [spec for spec in links if not self.is_reached(spec)]
        if any(spec not in stopped for spec in unreached):
            raise Violation(f"I5: links of {chain.group} do not say that it stopped")
        if self._checker.is_disturbed:
            return
        if STORE_AWAY & self._world.chaos.hits.keys() or not self._world.scene.receipts:
            # Without receipts a stop hands a link back by sending it.
            return
        for spec in links[1:]:
            if self._sent[spec.id] != self.is_reached(spec):
                raise Violation(f"I3: {chain.group} had a link sent {self._sent[spec.id]} times")


def _say(link: Link) -> str:
    return f"link {link.place + 1} of {link.chain.group}"


def _says_stopped(record: MemoryTask) -> bool:
    return not record.success and str(record.result).startswith(f"{STOPPED_LINK}: ")


def _name(one: Iter) -> str:
    return f"iter {one.id[:8]}"
