"""A schedule store in memory: the specification of the real one, in the plainest code there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import attrs

from djq.core.schedules import RUN_FAILED, Change, ScheduleEnd, ScheduleRow
from djq.ports import Clock


@attrs.define
class MemoryRow:
    """A schedule, and what the scheduler does not decide by."""

    row: ScheduleRow
    enabled: bool = True
    held_until: datetime | None = None

    @property
    def shown(self) -> ScheduleRow:
        """As a scheduler sees it."""
        return attrs.evolve(self.row, held=self.held_until is not None)

    @property
    def due_at(self) -> datetime | None:
        """When a scheduler has to look at it. None: never."""
        if self.row.pending:
            return self.held_until
        if self.enabled and self.row.repeats != 0:
            return self.held_until or self.row.next_run
        return None


class MemoryScheduleStore:
    """Schedules in memory."""

    alias: str | None = None

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._last_id = 0
        self.rows: dict[int, MemoryRow] = {}

    @property
    def store(self) -> MemoryScheduleStore:
        """Itself: of a store in memory the side door is open, as the contract wants one."""
        return self

    def add(self, *, enabled: bool = True, **fields: Any) -> int:
        """Keep a new schedule; gives its key."""
        id: int = fields.pop("id", self._last_id + 1)
        self._last_id = max(self._last_id, id)
        self.rows[id] = MemoryRow(ScheduleRow(id=id, **fields), enabled)
        return id

    def row(self, id: int) -> ScheduleRow | None:
        """The row as it is kept now. None: it is gone."""
        kept = self.rows.get(id)
        return None if kept is None else kept.shown

    def now(self) -> datetime:
        return self._clock.now()

    def next_due(self) -> datetime | None:
        rows = self.rows.values()
        return min((at for each in rows if (at := each.due_at) is not None), default=None)

    @contextmanager
    def unit(self) -> Iterator[None]:
        """What goes wrong in it leaves everything as it was."""
        before = {
            id: MemoryRow(each.row, each.enabled, each.held_until) for id, each in self.rows.items()
        }
        try:
            yield
        except BaseException:
            self.rows = before
            raise

    def take(self, now: datetime, limit: int) -> list[ScheduleRow]:
        due = sorted(
            (at, id)
            for id, each in self.rows.items()
            if (at := each.due_at) is not None and at <= now
        )
        return [self.rows[id].shown for _, id in due[:limit]]

    def put(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.delete and not change.pending:
                del self.rows[change.id]
                continue
            values = attrs.asdict(change, recurse=False)
            for name in ("id", "delete", "held_until"):
                del values[name]
            kept = self.rows[change.id]
            kept.row = attrs.evolve(kept.row, **values)
            kept.held_until = change.held_until

    def sent(self, token: str, ids: Sequence[int]) -> None:
        for id in ids:
            kept = self.rows.get(id)
            if kept is None or not kept.row.pending.startswith(token):
                continue
            row = kept.row
            if row.schedule_type == "O" and row.repeats < 0 and row.next_run is None:
                del self.rows[id]
            kept.row, kept.held_until = attrs.evolve(row, pending=""), None

    def ended(self, ends: Sequence[ScheduleEnd]) -> None:
        for end in ends:
            kept = self.rows.get(end.schedule)
            if kept is None:
                continue
            row = kept.row
            if row.unfinished == end.task_id:
                row = attrs.evolve(row, unfinished="")
            own = row.last_error and not row.last_error.startswith(RUN_FAILED)
            if row.task == end.task_id and not own:
                row = attrs.evolve(row, last_error=end.error and RUN_FAILED + end.error)
            kept.row = row

    def unhold(self, now: datetime, latest: datetime) -> None:
        for kept in self.rows.values():
            if kept.held_until is not None and kept.held_until > latest:
                kept.held_until = now
