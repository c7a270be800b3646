"""What every schedule store has to do; its author runs this against it.

class TestMyStore(ScheduleStoreContract):
    @pytest.fixture
    def kept(self):
        return MyKept(...)  # a store, and a way to put rows in and look at them
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import attrs
import pytest

from djq.core.schedules import RUN_FAILED, Change, ScheduleEnd, ScheduleRow
from djq.ports import ScheduleStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOKEN = "a" * 32


class Kept(Protocol):
    """A store with a side door."""

    @property
    def store(self) -> ScheduleStore:
        """The store itself."""
        ...

    def add(self, **fields: Any) -> int:
        """Keep a schedule with these fields (`enabled` too); gives its key."""
        ...

    def row(self, id: int) -> ScheduleRow | None:
        """The row as it is kept now. None: it is gone."""
        ...


def change_of(row: ScheduleRow, **fields: Any) -> Change:
    """The change that leaves a row as it is, but for these fields."""
    names = {field.name for field in attrs.fields(Change)} & {
        field.name for field in attrs.fields(ScheduleRow)
    }
    return Change(**{name: getattr(row, name) for name in names} | fields)


class ScheduleStoreContract:
    """The tests; `kept` is the only hole in them."""

    @pytest.fixture
    def kept(self) -> Kept:
        """Give a store without rows."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture kept(self)")

    def _add(self, kept: Kept, **fields: Any) -> int:
        return kept.add(**{"func": "math.floor", "next_run": NOON, **fields})

    def _take(self, kept: Kept, now: datetime = NOON, limit: int = 10) -> list[ScheduleRow]:
        with kept.store.unit():
            return list(kept.store.take(now, limit))

    def _put(self, kept: Kept, **fields: Any) -> ScheduleRow | None:
        """Take the only row there is, and write it with these fields."""
        with kept.store.unit():
            (row,) = kept.store.take(NOON, 10)
            kept.store.put([change_of(row, **fields)])
        return kept.row(row.id)

    def test_its_time_is_aware_and_utc(self, kept: Kept) -> None:
        assert kept.store.now().utcoffset() == timedelta()

    def test_an_empty_store_has_nothing_due(self, kept: Kept) -> None:
        assert kept.store.next_due() is None
        assert self._take(kept) == []

    def test_rows_are_taken_when_they_are_due_oldest_first(self, kept: Kept) -> None:
        self._add(kept, next_run=NOON + HOUR)
        late, later = (self._add(kept, next_run=NOON - hours * HOUR) for hours in (1, 2))
        now = self._add(kept)

        assert [row.id for row in self._take(kept)] == [later, late, now]
        assert kept.store.next_due() == NOON - 2 * HOUR

    def test_no_more_rows_are_taken_than_asked_for(self, kept: Kept) -> None:
        ids = [self._add(kept) for _ in range(4)]

        assert [row.id for row in self._take(kept, limit=3)] == ids[:3]

    def test_a_row_is_taken_as_it_was_written(self, kept: Kept) -> None:
        fields: dict[str, Any] = {
            "name": "Grüße",
            "hook": "hooks.print_result",
            "args": "2, -2",
            "kwargs": "x=1",
            "q_options": "timeout=3",
            "schedule_type": "C",
            "minutes": 7,
            "repeats": -40_000,
            "cron": "0 13 * * *",
            "time_zone": "Europe/Berlin",
            "catch_up": False,
            "overlap": "skip",
            "intended_date_kwarg": "when",
        }
        id = self._add(kept, **fields)

        assert self._take(kept) == [ScheduleRow(id=id, func="math.floor", next_run=NOON, **fields)]

    @pytest.mark.parametrize(
        "fields",
        [{"enabled": False}, {"repeats": 0}, {"next_run": None}],
        ids=["paused", "used up", "without a time"],
    )
    def test_a_row_that_never_runs_is_never_due(self, kept: Kept, fields: dict[str, Any]) -> None:
        self._add(kept, **fields)

        assert kept.store.next_due() is None
        assert self._take(kept, NOON + 9 * HOUR) == []

    def test_what_is_put_is_kept(self, kept: Kept) -> None:
        id = self._add(kept, last_error="before")
        changed: dict[str, Any] = {
            "next_run": NOON + HOUR,
            "repeats": -2,
            "task": "b" * 32,
            "last_error": "ouch\n\\x00 …",
            "anchor": "2026-01-01T13:00:00+00:00 2026-01-01T13:00:00 UTC",
            "unfinished": "b" * 32,
            "sent_at": NOON,
        }

        row = self._put(kept, **changed)

        assert row == ScheduleRow(id=id, func="math.floor", **changed)
        assert kept.store.next_due() == NOON + HOUR

    def test_many_changes_are_put_at_once_each_to_its_row(self, kept: Kept) -> None:
        ids = [self._add(kept) for _ in range(5)]

        with kept.store.unit():
            changes = [
                change_of(row, next_run=None if row.id == ids[2] else NOON + row.id * HOUR)
                for row in kept.store.take(NOON, 10)
            ]
            kept.store.put(changes[::-1])

        kept_times = [row.next_run for row in map(kept.row, ids) if row is not None]
        assert kept_times == [None if id == ids[2] else NOON + id * HOUR for id in ids]

    def test_a_change_may_end_its_row(self, kept: Kept) -> None:
        gone, stays = self._add(kept), self._add(kept)

        with kept.store.unit():
            changes = [change_of(row, delete=row.id == gone) for row in kept.store.take(NOON, 10)]
            kept.store.put(changes)

        assert kept.row(gone) is None
        assert kept.row(stays) is not None

    def test_a_held_row_comes_due_when_it_is_held_no_longer(self, kept: Kept) -> None:
        self._add(kept)

        self._put(kept, held_until=NOON + HOUR, last_error="wrong")

        assert kept.store.next_due() == NOON + HOUR
        assert self._take(kept) == []
        assert [row.held for row in self._take(kept, NOON + HOUR)] == [True]

    def test_a_row_that_is_being_sent_comes_due_even_when_it_is_used_up(self, kept: Kept) -> None:
        self._add(kept, repeats=1)

        self._put(kept, repeats=0, pending=f"{TOKEN} x y", held_until=NOON + HOUR)

        assert kept.store.next_due() == NOON + HOUR
        assert [row.pending for row in self._take(kept, NOON + HOUR)] == [f"{TOKEN} x y"]

    def test_what_was_sent_is_being_sent_no_longer(self, kept: Kept) -> None:
        id = self._add(kept)
        self._put(kept, next_run=NOON + 2 * HOUR, pending=f"{TOKEN} x y", held_until=NOON + HOUR)

        kept.store.sent(TOKEN, [id])

        row = kept.row(id)
        assert row is not None
        assert (row.pending, row.held) == ("", False)
        assert kept.store.next_due() == NOON + 2 * HOUR

    def test_a_late_word_of_another_sender_changes_nothing(self, kept: Kept) -> None:
        id = self._add(kept)
        before = self._put(kept, pending=f"{TOKEN} x y", held_until=NOON + HOUR)

        kept.store.sent("b" * 32, [id])

        assert kept.row(id) == before

    @pytest.mark.parametrize(("repeats", "goes"), [(-1, True), (1, False)])
    def test_once_goes_when_it_was_sent(self, kept: Kept, repeats: int, goes: bool) -> None:  # noqa: FBT001
        id = self._add(kept, repeats=repeats)
        self._put(kept, next_run=None, pending=f"{TOKEN} x y", held_until=NOON + HOUR, delete=goes)

        kept.store.sent(TOKEN, [id])

        assert (kept.row(id) is None) is goes

    def test_a_unit_that_fails_leaves_everything_as_it_was(self, kept: Kept) -> None:
        id = self._add(kept)
        before = kept.row(id)

        with pytest.raises(RuntimeError), kept.store.unit():  # noqa: PT012
            (row,) = kept.store.take(NOON, 10)
            kept.store.put([change_of(row, next_run=None)])
            raise RuntimeError

        assert kept.row(id) == before

    @pytest.mark.parametrize("error", ["", "ValueError: no"])
    def test_the_end_of_the_last_task_is_told(self, kept: Kept, error: str) -> None:
        id = self._add(kept, overlap="skip")
        self._put(kept, task="b" * 32, unfinished="b" * 32, next_run=NOON + HOUR)

        kept.store.ended([ScheduleEnd(id, "b" * 32, error)])

        row = kept.row(id)
        assert row is not None
        assert row.unfinished == ""
        assert row.last_error == (RUN_FAILED + error if error else "")

    def test_a_success_takes_the_error_of_an_earlier_run_away(self, kept: Kept) -> None:
        id = self._add(kept)
        self._put(kept, task="b" * 32, last_error=RUN_FAILED + "ValueError: no")

        kept.store.ended([ScheduleEnd(id, "b" * 32, "")])

        row = kept.row(id)
        assert row is not None
        assert row.last_error == ""

    def test_a_task_does_not_take_the_schedule_s_own_error_away(self, kept: Kept) -> None:
        id = self._add(kept)
        before = self._put(kept, task="b" * 32, last_error="args cannot be read")

        kept.store.ended([ScheduleEnd(id, "b" * 32, ""), ScheduleEnd(id + 1, "b" * 32, "gone")])

        assert kept.row(id) == before

    def test_the_end_of_an_earlier_task_is_no_news(self, kept: Kept) -> None:
        id = self._add(kept)
        before = self._put(kept, task="b" * 32, unfinished="b" * 32)

        kept.store.ended([ScheduleEnd(id, "c" * 32, "ValueError: no")])

        assert kept.row(id) == before

    def test_what_is_held_for_too_long_comes_due(self, kept: Kept) -> None:
        self._add(kept)
        self._put(kept, held_until=NOON + 2 * HOUR)
        kept.store.unhold(NOON, NOON + 2 * HOUR)
        assert kept.store.next_due() == NOON + 2 * HOUR

        kept.store.unhold(NOON, NOON + HOUR)

        assert kept.store.next_due() == NOON
