"""Random verbs and clock moves, played on a schedule store and on its twin: every answer has to agree.

class TestMyScheduleStoreAgrees(ScheduleStoreAgreement):
def make_kept(self, clock):
return MyKept(clock)  # as in the contract
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from djq.core.schedules import RUN_FAILED, Change, ScheduleEnd, ScheduleRow
from djq_testing.clock import ManualClock
from djq_testing.contract.agreement import run_machine
from djq_testing.contract.schedules import HOUR, NOON, Kept, change_of
from djq_testing.schedules import MemoryScheduleStore

TOKENS = ("a" * 32, "b" * 32)
NUMBERS = st.integers(0, 4)
HOURS = st.sampled_from([None, -2, -1, 0, 1, 2, 3])
ADDED = st.fixed_dictionaries(
    {
        "hours": HOURS,
        "repeats": st.sampled_from([-1, 0, 1]),
        "enabled": st.booleans(),
        "schedule_type": st.sampled_from("OH"),
        "overlap": st.sampled_from(["allow", "skip"]),
    }
)
"""A new schedule."""
WRITTEN = st.fixed_dictionaries(
    {
        "hours": HOURS,
        "held": HOURS,
        "repeats": st.sampled_from([-3, -1, 0, 1]),
        "task": st.integers(0, 1),
        "unfinished": st.none() | st.integers(0, 1),
        "last_error": st.sampled_from(["", "args cannot be read", RUN_FAILED + "ValueError: no"]),
        "pending": st.none() | st.sampled_from(TOKENS),
        "delete": st.booleans(),
    }
)
"""What becomes of a row that was taken."""


class _Undone(Exception):
    """Ends a unit that is to leave everything as it was."""


class ScheduleStoreAgreement:
    """Whatever is asked of them, in whatever order: the store and its twin answer alike."""

    examples: ClassVar[int] = 40

    def make_kept(self, clock: ManualClock) -> Kept:
        """A store without rows and its side door, as in the contract; made anew for each example."""
        raise NotImplementedError(f"{type(self).__name__} must define make_kept(self, clock)")

    def test_answers_as_its_twin_whatever_is_asked(self) -> None:
        run_machine(type("Agreement", (_ScheduleMachine,), {"agreement": self}), self.examples)


@attrs.frozen
class _Side:
    """One of the two, whose rows have numbers of ours."""

    kept: Kept
    ids: list[int] = attrs.field(factory=list)

    def add(self, **fields: Any) -> None:
        self.ids.append(self.kept.add(**fields))

    def shown(self, row: ScheduleRow | None) -> ScheduleRow | None:
        return None if row is None else attrs.evolve(row, id=self.ids.index(row.id))

    def rows(self) -> list[ScheduleRow | None]:
        return [self.shown(self.kept.row(id)) for id in self.ids]

    def work(
        self, limit: int, written: Sequence[Mapping[str, Any]], *, undone: bool
    ) -> list[ScheduleRow | None]:
        """Take rows and write what became of them, in one unit."""
        taken: list[ScheduleRow] = []
        store = self.kept.store
        with suppress(_Undone), store.unit():
            taken = list(store.take(store.now(), limit))
            store.put([self.change(*pair) for pair in zip(taken, written, strict=False)])
            if undone:
                raise _Undone
        return [self.shown(row) for row in taken]

    def change(self, row: ScheduleRow, written: Mapping[str, Any]) -> Change:
        number = self.ids.index(row.id)
        sending = written["pending"] is not None
        held = 1 if sending and written["held"] is None else written["held"]
        return change_of(
            row,
            next_run=_at(written["hours"]),
            held_until=_at(held),
            repeats=written["repeats"],
            task=_task(number, written["task"]),
            unfinished=_task(number, written["unfinished"]),
            last_error=written["last_error"],
            pending=f"{written['pending']} x y" if sending else "",
            sent_at=NOON if sending else row.sent_at,
            delete=written["delete"],
        )

    def known(self, numbers: Sequence[int]) -> list[int]:
        return [self.ids[number] for number in numbers if number < len(self.ids)]


class _ScheduleMachine(RuleBasedStateMachine):
    agreement: ClassVar[ScheduleStoreAgreement]

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(NOON - HOUR)
        twin = MemoryScheduleStore(clock=self.clock)
        self.sides = (_Side(twin), _Side(self.agreement.make_kept(self.clock)))

    @rule(added=ADDED)
    def add(self, added: dict[str, Any]) -> None:
        fields = {**added, "func": "math.floor", "next_run": _at(added["hours"])}
        del fields["hours"]
        for side in self.sides:
            side.add(**fields)

    @rule(limit=st.integers(1, 3), written=st.lists(WRITTEN, max_size=3), undone=st.booleans())
    def work(self, limit: int, written: list[dict[str, Any]], *, undone: bool) -> None:
        twins, ours = (side.work(limit, written, undone=undone) for side in self.sides)
        assert ours == twins, "what was taken"

    @rule(token=st.sampled_from(TOKENS), numbers=st.lists(NUMBERS, unique=True))
    def sent(self, token: str, numbers: list[int]) -> None:
        for side in self.sides:
            side.kept.store.sent(token, side.known(numbers))

    @rule(ends=st.lists(st.tuples(NUMBERS, st.integers(0, 1), st.sampled_from(["", "E: no", "F"]))))
    def ended(self, ends: list[tuple[int, int, str]]) -> None:
        for side in self.sides:
            told = [
                ScheduleEnd(id, _task(number, task), error)
                for number, task, error in ends
                for id in side.known([number])
            ]
            side.kept.store.ended(told)

    @rule(hours=st.integers(0, 2))
    def unhold(self, hours: int) -> None:
        now = self.clock.now()
        for side in self.sides:
            side.kept.store.unhold(now, now + hours * HOUR)

    @rule(minutes=st.sampled_from([1, 30, 60]))
    def wait(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    @rule()
    def look_at_the_rows(self) -> None:
        twins, ours = (side.rows() for side in self.sides)
        assert ours == twins, "the rows"

    @invariant()
    def next_due_agrees(self) -> None:
        twins, ours = (side.kept.store.next_due() for side in self.sides)
        assert ours == twins, "next_due()"


def _at(hours: int | None) -> Any:
    return None if hours is None else NOON + hours * HOUR


def _task(number: int, task: int | None) -> str:
    """The id of one of the tasks of a schedule."""
    return "" if task is None else f"{number:031x}{task}"
