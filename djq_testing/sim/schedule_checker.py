"""What must hold of simulated schedules, whatever struck.

S1 every task is for a slot of its schedule's grid, and no earlier than its sender's clock says. S2 a
slot has one task: once where queue and schedules share a database, and otherwise always the same one.
S3 no slot is lost: those that were sent are the first of the grid, without a hole where each missed one
is made up for. S4 slots come in their order. S5 a bad row makes no task and shows its error; when
nothing struck, good ones are on time. S6 `skip` never makes a task while the last is unfinished. S7
in the end nothing is due and nothing is half sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import attrs

from djq.core.call import load_call
from djq.core.message import TaskMessage
from djq.core.schedules import ScheduleEnd, ScheduleRow
from djq_testing.clock import START
from djq_testing.schedules import MemoryScheduleStore
from djq_testing.sim.faults import Violation
from djq_testing.sim.schedule_scene import FUNC, ScheduleScene
from djq_testing.sim.timeline import SimClock
from djq_testing.sim.trace import Trace

STEPS = {"I": timedelta(minutes=1), "H": timedelta(hours=1), "D": timedelta(days=1)}
STEPS["C"] = STEPS["I"]
CLOCKS = {"clock_jump", "clock_skew"}
"""With these a host's clock is wrong, and set right in the end."""
ON_TIME = timedelta(seconds=1.5)


@attrs.frozen
class Arrival:
    """One task that came to the queue."""

    schedule: int
    slot: datetime
    task_id: str
    at: datetime
    """By the server's clock."""


class Grounds(Protocol):
    """Where schedules are: a world of their own, or one side of a cluster's."""

    scene: ScheduleScene
    store: MemoryScheduleStore
    server_clock: SimClock
    trace: Trace

    @property
    def struck(self) -> Mapping[str, int]:
        """What struck, by its name."""
        ...


class ScheduleChecker:
    """Sees everything; believes nobody."""

    def __init__(self, world: Grounds) -> None:
        self._world = world
        self.arrivals: list[Arrival] = []
        self._fields = {number + 1: row for number, row in enumerate(world.scene.rows)}
        self._open: dict[int, str] = {}
        """Of `skip`: the task of each schedule that has not ended."""
        self._settled = 0

    def sent(self, message: TaskMessage, now: datetime) -> None:
        """A task comes to the queue."""
        assert message.schedule is not None, "it is a schedule's"
        slot = datetime.fromisoformat(load_call(message.body)[2]["when"])
        arrival = Arrival(message.schedule, slot, message.id, self._world.server_clock.now())
        self._world.trace.add("queue", "gets", arrival)
        if self._is_bad(arrival.schedule):
            raise Violation(f"S5: the bad schedule {arrival.schedule} made a task")
        if not self._is_on_grid(arrival.schedule, slot):
            raise Violation(f"S1: {slot} is no slot of schedule {arrival.schedule}")
        # Between taking and sending, the clock of a host may have been set back.
        moved = self._world.scene.own_clocks and CLOCKS & self._world.struck.keys()
        if slot > now and not moved:
            raise Violation(f"S1: the slot {slot} of schedule {arrival.schedule} came at {now}")
        self.arrivals.append(arrival)
        if not self._world.scene.shared:
            self.committed()

    def mark(self) -> int:
        """Where a transaction begins."""
        return len(self.arrivals)

    def forget(self, mark: int) -> None:
        """A transaction was undone."""
        del self.arrivals[mark:]

    def committed(self) -> None:
        """What has come so far stays."""
        for arrival in self.arrivals[self._settled :]:
            known = [one for one in self.arrivals[: self._settled] if one.slot == arrival.slot]
            known = [one for one in known if one.schedule == arrival.schedule]
            if known and self._world.scene.shared:
                raise Violation(f"S2: the slot {arrival.slot} of {arrival.schedule} was sent twice")
            if any(one.task_id != arrival.task_id for one in known):
                raise Violation(f"S2: the slot {arrival.slot} has two tasks")
            if not known:
                self._check_skip(arrival)
            self._settled += 1

    @property
    def unended(self) -> Mapping[int, str]:
        """Of `skip`: the task of each schedule that has not ended."""
        return self._open

    def ended(self, ends: Sequence[ScheduleEnd]) -> None:
        """Tasks of schedules have ended."""
        for end in ends:
            if self._open.get(end.schedule) == end.task_id:
                del self._open[end.schedule]

    def finish(self) -> None:
        """All is over."""
        self.committed()
        now = self._world.server_clock.now()
        late = now - timedelta(seconds=2)
        for id in self._fields:
            kept = self._world.store.rows.get(id)
            if self._is_bad(id):
                if kept is None or not (kept.row.last_error or _is_to_come(kept.row, now)):
                    raise Violation(f"S5: the bad schedule {id} shows no error")
                continue
            if kept is not None and kept.row.pending:
                raise Violation(f"S7: schedule {id} is still being sent")
            if kept is not None and kept.due_at is not None and kept.due_at < late:
                raise Violation(f"S7: schedule {id} has been due since {kept.due_at}")
            self._check_slots(id, now)

    def _check_slots(self, id: int, now: datetime) -> None:
        fields = self._fields[id]
        first_of: dict[datetime, Arrival] = {}
        for one in self.arrivals:
            if one.schedule == id:
                first_of.setdefault(one.slot, one)
        slots = list(first_of)
        if slots != sorted(slots):
            raise Violation(f"S4: the slots of schedule {id} came out of order")
        self._check_time(id, first_of)
        if fields["schedule_type"] == "O":
            self._check_once(id, slots)
        else:
            self._check_grid(id, slots, now)

    def _check_once(self, id: int, slots: list[datetime]) -> None:
        fields = self._fields[id]
        if slots != [fields["next_run"]]:
            raise Violation(f"S3: schedule {id} ran once for {slots}")
        if (id in self._world.store.rows) is (fields["repeats"] < 0):
            raise Violation(f"S3: the row of schedule {id} is kept, or is not")

    def _check_grid(self, id: int, slots: list[datetime], now: datetime) -> None:
        fields, kept = self._fields[id], self._world.store.rows.get(id)
        assert kept is not None, "only once goes"
        used = fields["repeats"] - kept.row.repeats
        if used != len(slots):
            raise Violation(f"S3: schedule {id} counts {used} runs, and had {len(slots)}")
        if not self._makes_up(id):
            if not slots and self._grid(id, 1)[0] <= now and fields["repeats"]:
                raise Violation(f"S3: schedule {id} never ran")
            return
        if slots != self._grid(id, len(slots)):
            raise Violation(f"S3: schedule {id} has a hole in {slots}")
        if kept.row.repeats != 0 and self._grid(id, len(slots) + 1)[-1] <= now - ON_TIME:
            raise Violation(f"S3: schedule {id} ends with {slots[-1:]} at {now}")

    def _check_time(self, id: int, first_of: dict[datetime, Arrival]) -> None:
        if self._world.struck:
            return
        start = self._grid(id, 1)[0]
        for slot, one in first_of.items():
            due = max(slot, start, START)
            if one.at - due > ON_TIME:
                raise Violation(f"S5: the slot {slot} of schedule {id} came at {one.at}")

    def _check_skip(self, arrival: Arrival) -> None:
        fields = self._fields[arrival.schedule]
        if fields["overlap"] != "skip" or fields["schedule_type"] == "O":
            return
        if arrival.schedule in self._open and not self._world.scene.own_clocks:
            raise Violation(f"S6: schedule {arrival.schedule} overlaps itself at {arrival.slot}")
        self._open[arrival.schedule] = arrival.task_id

    def _makes_up(self, id: int) -> bool:
        own = self._fields[id]["catch_up"]
        makes_up: bool = self._world.scene.catch_up if own is None else own
        return makes_up and self._fields[id]["overlap"] != "skip"

    def _grid(self, id: int, count: int) -> list[datetime]:
        """The first slots, by plain addition: the zone is UTC."""
        fields = self._fields[id]
        start: datetime = fields["next_run"]
        if fields["schedule_type"] == "C":
            whole = start.replace(second=0, microsecond=0)
            start = whole if whole == start else whole + timedelta(minutes=1)
        step = STEPS.get(fields["schedule_type"], timedelta())
        return [start + number * step for number in range(count)]

    def _is_on_grid(self, id: int, slot: datetime) -> bool:
        start, step = self._grid(id, 1)[0], STEPS.get(self._fields[id]["schedule_type"])
        return slot == start if step is None else slot >= start and not (slot - start) % step

    def _is_bad(self, id: int) -> bool:
        fields = self._fields[id]
        wrong = fields["func"] != FUNC or fields["args"] != "1" or fields.get("time_zone")
        kind = fields["schedule_type"] == "T" or (fields["cron"] or "").endswith("31 2 *")
        return bool(wrong or kind)


def _is_to_come(row: ScheduleRow, now: datetime) -> bool:
    """A cron schedule that came due between its slots has been moved on to the next one."""
    return row.next_run is not None and row.next_run > now
