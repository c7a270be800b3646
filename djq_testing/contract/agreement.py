"""Random verbs and clock moves, played on an adapter and on its twin in memory: every answer has to agree.

    class TestMyBrokerAgrees(BrokerAgreement):
        def make_broker(self, clock):
            return MyBroker(clock=clock, retry_seconds=self.retry_seconds)

A failure is shrunk by Hypothesis to the shortest history that still fails, and printed as the calls
that it consists of. The examples are few, for seconds; `DJQ_TEST_EXAMPLES=2000` asks for more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from djq.core.received import Waiting
from djq.ports import Broker
from djq_testing.clock import ManualClock
from djq_testing.contract.peeking import text_of
from djq_testing.histories import EnqueueLater, Player, Step
from djq_testing.memory import MemoryBroker
from djq_testing.strategies import broker_steps

RETRY_SECONDS = 10.0
SECONDS_APART_MAX = 0.001


class BrokerAgreement:
    """Whatever is asked of them, in whatever order: the broker and its twin answer alike.

    For brokers that deliver in order and keep the clock that they are given.
    """

    examples: ClassVar[int] = 40
    retry_seconds: ClassVar[float] = RETRY_SECONDS
    """The lease that `make_broker` has to give."""

    switches: Mapping[str, Any] = MappingProxyType({})
    """What the twin is like, where it differs from `MemoryBroker`'s defaults."""

    without: ClassVar[Sequence[str]] = ()
    """Steps that are never played, as `djq_testing.histories` calls them: `("Extend", "Delete")`."""

    def make_broker(self, clock: ManualClock) -> Broker:
        """A broker with an empty queue, which keeps this clock; made anew for each example."""
        raise NotImplementedError(f"{type(self).__name__} must define make_broker(self, clock)")

    def make_twin(self, clock: ManualClock) -> Broker:
        """What it is compared with."""
        return MemoryBroker(clock=clock, retry_seconds=self.retry_seconds, **self.switches)

    def test_answers_as_its_twin_whatever_is_asked(self) -> None:
        run_machine(type("Agreement", (_BrokerMachine,), {"agreement": self}), self.examples)


def run_machine(machine: type[RuleBasedStateMachine], examples: int) -> None:
    """Play it: so many examples, or more if the environment asks for more."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(examples, int(os.environ.get("DJQ_TEST_EXAMPLES", "0"))),
            stateful_step_count=30,
            deadline=None,
            report_multiple_bugs=False,
            # What else might have stood in the history is no part of its story.
            phases=set(Phase) - {Phase.explain},
            suppress_health_check=list(HealthCheck),
        ),
    )


class _BrokerMachine(RuleBasedStateMachine):
    agreement: ClassVar[BrokerAgreement]

    def __init__(self) -> None:
        super().__init__()
        twins, ours = ManualClock(), ManualClock()
        self.twin = Player(self.agreement.make_twin(twins), twins)
        self.broker = Player(self.agreement.make_broker(ours), ours)

    @rule(step=broker_steps(RETRY_SECONDS))
    def play(self, step: Step) -> None:
        if type(step).__name__ in self.agreement.without:
            return
        if isinstance(step, EnqueueLater) and not self.broker.delays:
            return
        came, *sizes, seen = self.broker.play(step)
        expected, *expected_sizes, wanted_seen = self.twin.play(step)
        assert came == expected, f"{step}: the twin gives {expected}, the broker {came}"
        for verb, size, wanted in zip(
            ("queue_size", "lock_size"), sizes, expected_sizes, strict=True
        ):
            # A broker may be unable to tell how many packages are out.
            assert size in {wanted, None}, f"{verb}() after {step}: the twin {wanted}, here {size}"
        assert shows_the_same(seen, wanted_seen), (
            f"peek() after {step}: the twin {wanted_seen}, here {seen}"
        )


def shows_the_same(seen: object, wanted: object) -> bool:
    """Whether two brokers show the same packages, as old as far as each knows."""
    if not (isinstance(seen, Sequence) and isinstance(wanted, Sequence)):
        return True  # one of them cannot tell
    pairs = list(zip(seen, wanted, strict=False))
    return len(seen) == len(wanted) and all(is_the_same(one, other) for one, other in pairs)


def is_the_same(one: Waiting, other: Waiting) -> bool:
    """Whether both show one package; of its age one of them may know nothing."""
    if one.seconds is not None and other.seconds is not None:
        is_as_old = abs(one.seconds - other.seconds) < SECONDS_APART_MAX
    else:
        is_as_old = True
    return text_of(one) == text_of(other) and is_as_old
