"""The scheduler when things go wrong: rows that cannot be read, services that are away, deaths."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import attrs
import pytest

from djq.components.scheduler import LOOK_SECONDS
from djq.core.events import ScheduleFailed, ServiceAway, ServiceBack
from djq.core.protocol import Health
from djq.core.schedules import HELD, RUN_FAILED, SENDING
from djq.exceptions import BrokerUnavailable, StoreUnavailable, TaskRefused
from djq.ports import Wait
from tests.components.parts import NOON
from tests.components.schedule_parts import Scheduling

HOUR = timedelta(hours=1)
BAD = {
    "args": {"args": '__import__("os").system("true")'},
    "kwargs": {"kwargs": "x='" + "y" * 1_000_000 + "'"},
    "cron": {"schedule_type": "C", "cron": "0 0 31 2 *"},
    "cron text": {"schedule_type": "C", "cron": None},
    "type": {"schedule_type": "T"},
    "zone": {"time_zone": "Mars/Olympus"},
    "function": {"func": "no path"},
    "function type": {"func": 7},
    "option": {"q_options": "tiemout=3"},
    "option value": {"q_options": "timeout=-3"},
    "options": {"kwargs": "{'q_options': 3}"},
    "cached": {"q_options": "cached=-1"},
    "queue": {"q_options": "broker=3"},
    "hook": {"hook": "x y"},
    "minutes": {"schedule_type": "I", "minutes": "many"},
    "keyword": {"intended_date_kwarg": 3},
}


@pytest.fixture(params=[True, False], ids=["one transaction", "two"])
def scene(request):
    return Scheduling(shared=request.param)


@pytest.mark.parametrize("name", [name for name in BAD if name != "keyword"])
def test_a_bad_row_shows_its_error_and_stops_no_other(scene, name):
    scene.add(schedule_type="H")
    scene.add(**{"schedule_type": "H", **BAD[name]})
    scene.add(schedule_type="H")

    scene.run()

    assert [message.schedule for message in scene.sent()] == [1, 3]
    assert len(scene.row(2).last_error) > 10
    assert (scene.row(1).last_error, scene.row(3).last_error) == ("", "")


def test_a_bad_row_is_told_once_and_left_alone_for_a_while(scene):
    scene.add(args="x")
    scene.run()

    assert scene.run() == Wait(LOOK_SECONDS)
    scene.clock.advance(HELD.total_seconds())
    scene.run()

    assert len(scene.observer.of(ScheduleFailed)) == 1
    assert scene.store.next_due() == NOON + 2 * HELD


def test_a_mended_row_makes_up_for_the_slots_that_it_missed(scene):
    scene.add(schedule_type="H", args="x", next_run=NOON - HOUR)
    scene.run()
    kept = scene.store.rows[1]
    kept.row, kept.held_until = attrs.evolve(kept.row, args="1"), None

    scene.run()

    assert len(scene.sent()) == 2
    assert scene.row().last_error == ""


def test_the_error_of_a_run_stays_until_a_run_succeeds(scene):
    scene.add(schedule_type="H", last_error=RUN_FAILED + "ValueError: no")

    scene.run()

    assert scene.row().last_error == RUN_FAILED + "ValueError: no"


def test_a_schedule_without_a_run_to_come_says_so(scene):
    scene.add(schedule_type="Y", next_run=NOON.replace(year=2199), id=1)
    scene.clock.advance_to(NOON.replace(year=2199))

    scene.run()

    assert len(scene.sent()) == 1
    assert scene.row().next_run is None
    assert "2199" in scene.row().last_error
    assert scene.store.next_due() is None


def test_a_row_before_the_years_kept_is_parked_with_an_error(scene):
    scene.add(schedule_type="D", next_run=NOON.replace(year=1960))

    scene.run()

    assert scene.sent() == []
    assert (scene.row().next_run, scene.store.next_due()) == (None, None)
    assert scene.row().last_error


def test_a_broker_that_is_away_loses_no_slot(scene):
    scene.add(schedule_type="H")
    scene.broker.before = BrokerUnavailable("away")
    wait = scene.run()
    assert 0 < wait.seconds <= 0.1
    assert len(scene.observer.of(ServiceAway)) == 1

    scene.broker.before = None
    scene.clock.advance(wait.seconds)
    scene.run()

    assert len(scene.sent()) == 1
    assert len(scene.observer.of(ServiceBack)) == 1
    assert (scene.row().pending, scene.row().repeats) == ("", -2)


def test_a_lost_answer_of_the_broker_sends_the_same_task_again():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="H")
    scene.broker.after = BrokerUnavailable("the answer is lost")
    wait = scene.run()
    scene.broker.after = None
    scene.clock.advance(wait.seconds)

    scene.run()

    first, second = scene.sent()
    assert first == second


def test_what_the_broker_took_before_it_went_is_not_sent_again():
    scene = Scheduling(shared=False)
    for _ in range(3):
        scene.add(schedule_type="H")
    send = scene.broker.enqueue_many

    def break_off(tasks):
        send(tasks[1:])
        raise BrokerUnavailable("gone in the midst of it", sent=[1, 2])

    scene.broker.enqueue_many = break_off
    wait = scene.run()
    scene.broker.enqueue_many = send
    scene.clock.advance(wait.seconds)
    scene.run()

    assert sorted(message.schedule for message in scene.sent()) == [1, 2, 3]
    assert {scene.row(id).pending for id in (1, 2, 3)} == {""}


def test_in_one_transaction_nothing_is_sent_when_the_row_cannot_be_written():
    scene = Scheduling()
    scene.add(schedule_type="H")
    before = scene.row()

    def away(_changes):
        raise StoreUnavailable("away")

    scene.store.put = away
    wait = scene.run()

    assert wait.seconds > 0
    assert scene.row() == before
    del scene.store.put
    scene.clock.advance(wait.seconds)
    scene.run()
    assert {message.schedule for message in scene.sent()} == {1}


def test_a_store_that_is_away_is_asked_again_after_growing_pauses(scene):
    scene.add()

    @contextmanager
    def away():
        raise StoreUnavailable("away")
        yield

    scene.store.unit = away
    pauses = []
    for _ in range(9):
        pauses.append(scene.run().seconds)
        scene.clock.advance(pauses[-1])

    assert pauses[:7] == sorted(pauses[:7])
    assert pauses[-1] == pytest.approx(10.0)
    assert len(scene.observer.of(ServiceAway)) == 1
    assert scene.heard(Health) == [Health(store=NOON)]


def test_a_scheduler_that_has_to_wait_asks_nobody_meanwhile(scene):
    scene.add()
    scene.broker.before = BrokerUnavailable("away")
    wait = scene.run()

    scene.clock.advance(wait.seconds / 2)

    assert scene.scheduler.step() == Wait(pytest.approx(wait.seconds / 2))
    assert scene.broker.calls == 1


def test_who_dies_between_taking_and_sending_leaves_the_same_tasks_to_another():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="H", next_run=NOON - HOUR, intended_date_kwarg="when")
    taken = scene.scheduler
    taken.step()
    pending = scene.row().pending
    assert scene.sent() == []

    scene.clock.advance(SENDING.total_seconds())
    scene.run(scene.another())

    messages = scene.sent()
    assert [message.id for message in messages] == pending.split(" ")[2::2]
    assert (scene.row().pending, scene.row().repeats) == ("", -3)
    assert scene.row().next_run == NOON + HOUR


def test_nobody_else_touches_a_row_while_it_is_being_sent():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="I", next_run=NOON)
    scene.scheduler.step()

    scene.clock.advance(SENDING.total_seconds() - 1)

    assert scene.run(scene.another()).seconds > 0
    assert scene.sent() == []


def test_a_sender_that_is_late_leaves_it_to_another():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="D")
    scene.scheduler.step()
    scene.clock.advance(SENDING.total_seconds() + 5)
    scene.run(scene.another())
    assert len(scene.sent()) == 1

    scene.run()

    assert scene.sent() == []
    assert scene.row().pending == ""


def test_once_that_was_left_behind_is_sent_and_goes():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="O", repeats=-1)
    scene.scheduler.step()
    assert scene.row() is not None

    scene.clock.advance(SENDING.total_seconds())
    scene.run(scene.another())

    assert len(scene.sent()) == 1
    assert scene.row() is None


def test_what_was_being_sent_elsewhere_is_sent_in_one_transaction_too():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="O", repeats=-1)
    scene.add(schedule_type="H")
    scene.scheduler.step()
    for queue in scene.queues.values():
        queue.broker.database = "memory"

    scene.clock.advance(SENDING.total_seconds())
    scene.run(scene.another())

    assert {message.schedule for message in scene.sent()} == {1, 2}
    assert scene.row(1) is None
    assert scene.row(2).pending == ""


@pytest.mark.parametrize("schedule_type", ["H", "O"])
def test_a_row_that_broke_while_it_was_being_sent_loses_nothing_and_shows_its_error(schedule_type):
    scene = Scheduling(shared=False)
    scene.add(schedule_type=schedule_type)
    scene.scheduler.step()
    kept = scene.store.rows[1]
    kept.row = attrs.evolve(kept.row, args="broken(")

    scene.clock.advance(SENDING.total_seconds())
    scene.run(scene.another())
    error, sent = scene.row().last_error, scene.sent()
    kept.row = attrs.evolve(kept.row, args="")
    scene.clock.advance(HELD.total_seconds())
    scene.run(scene.another())

    assert "cannot be read" in error
    assert sent == []
    assert len(scene.sent()) == 1


def test_a_queue_that_has_its_tasks_gets_them_once_though_another_is_away():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="H")
    scene.add(schedule_type="H", q_options="broker='far'")
    far = scene.queue_of("far").broker
    far.before = BrokerUnavailable("away")
    for _ in range(4):
        scene.run()
        scene.clock.advance(3)
    far.before = None
    scene.run()

    assert len(scene.sent()) == 1
    assert len(scene.sent("far")) == 1


def test_garbage_in_a_row_that_is_being_sent_wedges_nobody():
    scene = Scheduling(shared=False)
    scene.add(schedule_type="H", pending="what is this")
    scene.store.rows[1].held_until = NOON

    scene.run()

    assert scene.row().pending == ""
    assert len(scene.sent()) == 1


def test_a_task_that_the_broker_never_takes_is_a_failed_run_and_stops_no_other(scene):
    scene.add(schedule_type="H")
    scene.add(schedule_type="H", args="'too large'")
    scene.add(schedule_type="H")
    broker, enqueue = scene.broker, scene.broker.enqueue

    def refuse(_tasks):
        raise TaskRefused("one is too large")

    def choose(task):
        if "too large" in repr(scene.codec.open(task)):
            raise TaskRefused("it is too large")
        return enqueue(task)

    broker.enqueue_many, broker.enqueue = refuse, choose
    scene.run()

    assert {message.schedule for message in scene.sent()} == {1, 3}
    assert scene.row(2).last_error == RUN_FAILED + "it is too large"
    assert scene.row(2).next_run == NOON + HOUR


def test_a_package_larger_than_the_broker_s_own_limit_is_the_row_s_error(scene):
    type(scene.broker).max_payload = 900
    try:
        scene.add(args=f"'{'x' * 1_000}'")
        scene.add()
        scene.run()
    finally:
        type(scene.broker).max_payload = None

    assert [message.schedule for message in scene.sent()] == [2]
    assert "characters" in scene.row(1).last_error


def test_what_another_scheduler_holds_is_asked_for_again_soon(scene):
    scene.add()
    scene.store.take = lambda _now, _limit: []

    assert scene.run() == Wait(0.1)


class WallClock:
    """Shows what a test sets it to."""

    def __init__(self, time):
        self.time = time

    def now(self):
        return self.time


def test_a_clock_that_was_set_forward_and_back_holds_nobody_up():
    scene = Scheduling()
    wall = scene.store._clock = WallClock(NOON)
    scene.run()
    wall.time = NOON + 5 * HOUR
    scene.add(args="no literal(")
    scene.run()
    held = scene.store.rows[1].held_until

    wall.time = NOON
    scene.run()

    assert held == NOON + 5 * HOUR + HELD
    assert scene.store.rows[1].held_until == NOON + HELD
