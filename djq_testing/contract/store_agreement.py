"""Random verbs, played on a result store and on its twin in memory: every answer has to agree.

class TestMyStoreAgrees(ResultStoreAgreement):
def make_store(self, save_limit):
return MyStore(save_limit=save_limit)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from djq.core.message import Finished
from djq.exceptions import StoreRefused
from djq_testing.contract.agreement import run_machine
from djq_testing.contract.chains import link
from djq_testing.contract.groups import member
from djq_testing.contract.outcomes import TASK_ATTRIBUTES
from djq_testing.contract.samples import SearchableStore, element, finished, messages, task_id
from djq_testing.memory import MemoryStore

TASKS = range(6)
ITERS = {900: 2, 901: 3}
"""Iters and the number of their elements."""
LABELS = st.sampled_from(["g", "h", "nobody"])
OUTCOMES = st.builds(
    finished,
    st.sampled_from(TASKS),
    success=st.booleans(),
    result=st.integers(0, 9),
    minute=st.integers(0, 5),
    attempt=st.integers(1, 3),
    save=st.sampled_from([None, None, True, False]),
    name=st.sampled_from(["same", "other"]),
    # One in twelve can never be kept.
    group=st.sampled_from([*("g", "g", "h", None) * 3, "g" * 101]),
)
MEMBERS = st.builds(
    member, st.sampled_from(TASKS), second=st.integers(0, 3), place=st.integers(0, 2)
)
ELEMENTS = st.sampled_from([(of, place) for of, total in ITERS.items() for place in range(total)])


@st.composite
def _element(draw: st.DrawFn) -> Finished:
    of, place = draw(ELEMENTS)
    success = draw(st.booleans())
    return element(
        place, ITERS[of], of=of, success=success, result=draw(st.integers(0, 9)), group="g"
    )


class ResultStoreAgreement:
    """Whatever is asked of them, in whatever order: the store and its twin answer alike."""

    examples: ClassVar[int] = 40

    def make_store(self, save_limit: int) -> SearchableStore:
        """An empty store with this limit; made anew for each example."""
        raise NotImplementedError(f"{type(self).__name__} must define make_store(self, save_limit)")

    def test_answers_as_its_twin_whatever_is_asked(self) -> None:
        run_machine(type("Agreement", (_StoreMachine,), {"agreement": self}), self.examples)


class _StoreMachine(RuleBasedStateMachine):
    agreement: ClassVar[ResultStoreAgreement]

    @initialize(save_limit=st.sampled_from([0, 0, 1, 3, -1]))
    def begin(self, save_limit: int) -> None:
        self.stores = (MemoryStore(save_limit=save_limit), self.agreement.make_store(save_limit))

    @rule(batch=st.lists(OUTCOMES | MEMBERS | _element(), min_size=1, max_size=4))
    def save(self, batch: list[Finished]) -> None:
        def saved(store: SearchableStore) -> object:
            try:
                gathered = store.save(batch)
            except StoreRefused:
                return "refused"
            return sorted((one.finished.message.id, one.line) for one in gathered)

        self.both("save", saved)

    @rule(links=st.lists(st.builds(link, st.integers(0, 3), st.integers(1, 2)), max_size=3))
    def mark_sent(self, links: list[Any]) -> None:
        self.both("mark_sent", lambda store: store.mark_sent(links))

    @rule()
    def sent(self) -> None:
        links = [link(0, chain) for chain in (1, 2)]
        self.both("sent", lambda store: dict(store.sent(links)))

    @rule(wanted=st.sampled_from([*map(task_id, [*TASKS, *ITERS]), "same", "other", "task-900"]))
    def find(self, wanted: str) -> None:
        self.both("find", lambda store: _shown(store.find(wanted)))

    @rule(label=LABELS, failures=st.booleans())
    def look_at_a_group(self, label: str, *, failures: bool) -> None:
        self.both(
            "group_tasks",
            lambda store: [_shown(task) for task in store.group_tasks(label, failures=failures)],
        )
        self.both("group_results", lambda store: store.group_results(label, failures=failures))
        self.both("group_count", lambda store: store.group_count(label, failures=failures))

    @rule(label=LABELS, rows=st.booleans())
    def delete_a_group(self, label: str, *, rows: bool) -> None:
        self.both("group_delete", lambda store: store.group_delete(label, rows=rows))

    @invariant()
    def what_is_kept_agrees(self) -> None:
        tasks = messages(*TASKS, *ITERS)
        self.both("kept", lambda store: dict(store.kept(tasks)))

    def both(self, verb: str, ask: Callable[[SearchableStore], object]) -> None:
        twins, ours = map(ask, self.stores)
        assert ours == twins, f"{verb}: the twin gives {twins!r}, the store {ours!r}"


def _shown(task: Any) -> object:
    return None if task is None else {name: getattr(task, name) for name in TASK_ATTRIBUTES}
