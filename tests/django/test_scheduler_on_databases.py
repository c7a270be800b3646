"""The scheduler on the store of each database, with its queue there and with its queue elsewhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from djq.assembly import make_codec
from djq.brokers.orm import OrmBroker
from djq.components.scheduler import Queue, Scheduler
from djq.core.call import load_call
from djq.core.frame import unpack
from djq.core.schedules import SENDING, Custom
from djq.exceptions import BrokerUnavailable
from djq.models import Schedule
from djq.schedules.database import DatabaseScheduleStore
from djq_testing.memory import MemoryBroker
from tests.components.parts import NOON, Scene
from tests.components.schedule_parts import zone_of


class Bench(Scene):
    """A scheduler on a real store."""

    def __init__(self, alias, *, shared):
        super().__init__()
        self.rows = Schedule.objects.using(alias)
        self.store = DatabaseScheduleStore(alias=alias, clock=self.clock)
        self.codec = make_codec(queue="bench")
        self.broker = (
            OrmBroker("bench", alias=alias, clock=self.clock, retry_seconds=60)
            if shared
            else MemoryBroker("bench", clock=self.clock)
        )

    def make(self, **fields):
        return self.rows.create(**{"func": "math.floor", "args": "1", "next_run": NOON, **fields})

    def another(self):
        return Scheduler(
            link=self.link,
            store=self.store,
            queue_of=lambda _name: Queue(self.broker, self.codec),
            custom=Custom(catch_up=True, time_zone="Europe/Berlin"),
            zone_of=zone_of,
            around=self.around,
            label="bench",
            pid=1,
        )

    def run(self):
        scheduler = self.another()
        while scheduler.step().seconds == 0:
            pass

    def sent(self):
        return [unpack(self.codec.open(package)) for _, package in self.broker.dequeue(1_000)]


@pytest.fixture(params=[True, False], ids=["queue there", "queue elsewhere"])
def bench(request, database):
    return Bench(database, shared=request.param)


def test_rows_of_every_kind_go_on_as_they_should(bench):
    start = NOON - timedelta(hours=2)
    once, kept, hourly, twice, bad = (
        bench.make(schedule_type="O"),
        bench.make(schedule_type="O", repeats=3),
        bench.make(schedule_type="H", next_run=start, intended_date_kwarg="when"),
        bench.make(schedule_type="I", minutes=30, next_run=start, repeats=2),
        bench.make(schedule_type="D", kwargs="x=" + "1" * 200_000),
    )

    bench.run()

    counts = [message.schedule for message in bench.sent()]
    assert {id: counts.count(id) for id in counts} == {
        once.pk: 1,
        kept.pk: 1,
        hourly.pk: 3,
        twice.pk: 2,
    }
    found = {row.pk: row for row in bench.rows.all()}
    assert once.pk not in found
    assert (found[kept.pk].repeats, found[kept.pk].next_run) == (0, NOON)
    assert (found[hourly.pk].repeats, found[hourly.pk].next_run) == (-4, NOON + timedelta(hours=1))
    assert found[twice.pk].repeats == 0
    assert "longer than the 100,000" in found[bad.pk].last_error
    assert {row.pending for row in found.values()} == {""}
    assert bench.store.next_due() == NOON + timedelta(minutes=10)


def test_a_gap_is_remembered_from_run_to_run(bench):
    first = NOON.replace(month=3, day=28, hour=1, minute=30)
    bench.make(schedule_type="D", next_run=first, repeats=3, intended_date_kwarg="when")
    bench.run()

    times = [load_call(message.body)[2]["when"][5:16] for message in bench.sent()]

    assert times == ["03-28T02:30", "03-29T03:00", "03-30T02:30"]


def test_who_dies_between_two_writes_leaves_it_to_another(database):
    bench = Bench(database, shared=False)
    rows = [bench.make(schedule_type="O"), bench.make(schedule_type="H")]
    bench.another().step()
    pending = [row.pending.split()[2] for row in bench.rows.order_by("id")]
    assert bench.sent() == []

    bench.clock.advance(SENDING.total_seconds())
    bench.run()

    assert [message.id for message in bench.sent()] == pending
    assert [row.pk for row in bench.rows.all()] == [rows[1].pk]
    assert bench.rows.get().pending == ""


def test_a_queue_that_fails_leaves_the_rows_as_they_were(database):
    bench = Bench(database, shared=True)
    bench.make(schedule_type="H")
    before = bench.rows.values().get()

    def fail(_tasks):
        raise BrokerUnavailable("away")

    bench.broker.enqueue_many = fail
    bench.run()

    assert bench.rows.values().get() == before
