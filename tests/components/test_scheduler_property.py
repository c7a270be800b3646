"""Whatever the tick times, the deaths and the number of schedulers: each slot once, none lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from djq.core.call import load_call
from djq.core.schedules import SENDING
from djq_testing.strategies import cron_expressions, moments, time_zones
from tests.components.schedule_parts import Scheduling
from tests.core import schedule_oracle as oracle


class Hands:
    """A clock that a test sets as it likes; `monotonic` goes on by itself."""

    def __init__(self, start):
        self.time, self.seconds = start, 0.0

    def now(self):
        return self.time

    def monotonic(self):
        self.seconds += 0.01
        return self.seconds


@st.composite
def histories(draw):
    """A schedule, and who steps when: (hours since the start, which scheduler, it dies then)."""
    zone = draw(time_zones())
    kind = draw(st.sampled_from("IHDC"))
    fields = {"schedule_type": kind, "time_zone": zone.key}
    if kind == "C":
        fields["cron"] = draw(cron_expressions())
    if kind == "I":
        fields["minutes"] = draw(st.sampled_from([45, 90]))
    start = draw(moments(zone, whole_minutes=True)) - timedelta(hours=draw(st.integers(0, 60)))
    ticks = st.tuples(st.floats(-5, 90), st.integers(0, 2), st.integers(1, 3), st.booleans())
    return fields, start, draw(st.lists(ticks, min_size=1, max_size=12))


@settings(max_examples=60, deadline=None)
@given(histories(), st.booleans())
def test_each_slot_is_sent_and_none_twice(history, shared):
    fields, start, ticks = history
    scene = Scheduling(shared=shared)
    clock = scene.store._clock = Hands(start)
    scene.around = type(scene.around)(clock, scene.around.ids, scene.observer)
    scene.add(next_run=start, intended_date_kwarg="when", **fields)
    schedulers = [scene.another() for _ in range(3)]
    latest = start

    for hours, who, steps, dies in ticks:
        clock.time = start + timedelta(hours=hours)
        latest = max(latest, clock.time)
        for _step in range(steps):
            schedulers[who].step()
        if dies:
            schedulers[who] = scene.another()
    clock.time = latest + SENDING
    scene.run(scene.another())

    ids, messages = {}, scene.sent()
    for message in messages:
        when = datetime.fromisoformat(load_call(message.body)[2]["when"]).astimezone(UTC)
        assert ids.setdefault(when, message.id) == message.id, "one slot, one task"
    assert not shared or len(messages) == len(ids), "in one transaction it is sent once"
    expected = oracle.runs(
        fields["schedule_type"],
        start,
        ZoneInfo(fields["time_zone"]),
        clock.time,
        minutes=fields.get("minutes", 1),
        cron=fields.get("cron"),
    )
    assert sorted(ids) == expected
