"""Holds the monitor: services that do not answer, outcomes that cannot be kept, leases, and what it tells."""

from __future__ import annotations

import pickle

import pytest

from djq.components.monitor import NAMED_SUCCESSES_MAX
from djq.core.events import (
    BatchSaved,
    ChildStopped,
    HookFailed,
    ServiceAway,
    ServiceBack,
    TaskSaved,
    TaskUnsaved,
)
from djq.core.lifecycle import Role
from djq.core.message import Kind
from djq.core.protocol import Credit, Health, Keep, Renew, Renewed, Stop, StopLevel, Verdict
from djq.ports import Wait
from tests.components import parts
from tests.components.monitor_bench import HOOK, Bench


@pytest.fixture
def bench():
    return Bench()


# Services that do not answer.


@pytest.mark.parametrize("broken", ["save", "enqueue", "acknowledge", "release"])
def test_stages_before_the_one_that_failed_are_not_repeated(bench, broken):
    bench.broker.away, bench.store.away = {broken}, broken == "save"
    wait = bench.keep(parts.settled(1, hook=HOOK), parts.settled(2, verdict=Verdict.HAND_BACK))
    between = bench.kept_tickets
    bench.broker.away, bench.store.away = set(), False
    bench.settle()
    verbs = bench.journal.verbs

    assert (wait, between) == (Wait(0.1), [])
    assert (verbs.count("save"), verbs.count("enqueue")) == (1, 1)
    assert verbs.index("save") < verbs.index("enqueue") < verbs.index("acknowledge")
    assert verbs[-1] == "Kept"


def test_a_store_that_is_away_is_asked_after_growing_pauses_and_told_of_once(bench):
    bench.store.away = True
    pauses = [bench.keep(parts.settled(1)).seconds]
    for _ in range(3):
        bench.clock.advance(pauses[-1])
        pauses.append(bench.monitor.step().seconds)
    bench.store.away = False
    bench.settle()

    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert [type(event) for event in bench.observer.events] == [ServiceAway, ServiceBack, TaskSaved]
    assert bench.kept_tickets == [1]


@pytest.mark.parametrize("one_database", [False, True])
@pytest.mark.parametrize("broken", ["enqueue", "acknowledge", "release"])
def test_a_broker_that_is_away_is_called_a_broker(one_database, broken):
    bench = Bench(one_database=one_database)
    bench.broker.away = {broken}
    bench.keep(parts.settled(1, hook=HOOK), parts.settled(2, verdict=Verdict.HAND_BACK))
    bench.broker.away = set()
    bench.settle()

    assert bench.observer.of(ServiceAway) == [ServiceAway("broker", f"no answer to {broken}")]
    assert bench.observer.of(ServiceBack) == [ServiceBack("broker")]


def test_a_store_that_is_back_is_told_of_while_the_broker_is_away(bench):
    bench.store.away, bench.broker.away = True, {"acknowledge"}
    bench.keep(parts.settled(1))
    bench.store.away = False
    for _ in range(4):
        bench.clock.advance(bench.monitor.step().seconds)
    bench.broker.away = set()
    bench.settle()
    told = [e for e in bench.observer.events if isinstance(e, (ServiceAway, ServiceBack))]
    health = bench.heard(Health)

    assert told == [
        ServiceAway("result store", "no answer to save"),
        ServiceBack("result store"),
        ServiceAway("broker", "no answer to acknowledge"),
        ServiceBack("broker"),
    ]
    later = health[2].broker
    assert health == [Health(store=parts.NOON), Health(), Health(broker=later), Health()]
    assert later > parts.NOON


def test_what_comes_during_a_pause_waits_and_is_saved_after_it(bench):
    bench.store.away = True
    bench.keep(parts.settled(1))
    bench.store.away = False
    bench.clock.advance(0.04)
    during = (bench.keep(parts.settled(2)).seconds, bench.journal.verbs)
    bench.settle()

    assert during == (pytest.approx(0.06), [])
    assert bench.kept_tickets == [1, 2]


# Outcomes that the store can never keep.


@pytest.mark.parametrize("one_database", [False, True])
def test_one_bad_outcome_among_a_hundred_is_found_and_the_rest_is_kept(one_database):
    bench = Bench(one_database=one_database)
    bench.store.refuses = lambda finished: (
        finished.message.name == "task-57" and finished.outcome.success
    )
    bench.keep(*[parts.settled(number) for number in range(1, 101)])
    bench.settle()
    kept = {finished.message.name: finished.outcome for finished in bench.store.saved}
    line = pickle.loads(kept.pop("task-57").value)

    assert len(bench.store.saved) == 100
    assert {outcome.success for outcome in kept.values()} == {True}
    assert line == "StoreRefused: the outcome could not be saved: too large for its column"
    assert sorted(bench.kept_tickets) == list(range(1, 101))
    assert [event.name for event in bench.observer.of(TaskUnsaved)] == ["task-57"]


def test_an_outcome_that_is_refused_is_not_acknowledged_before_something_is_kept(bench):
    bench.store.refuses = lambda finished: finished.outcome.success
    bench.keep(parts.settled(1))
    before = bench.journal.verbs
    bench.settle()

    assert before == []
    assert bench.journal.verbs == ["save", "acknowledge", "Kept"]


def test_a_task_that_is_refused_for_its_call_is_kept_without_it(bench):
    bench.store.refuses = lambda finished: finished.message.group is not None
    bench.keep(parts.settled(1, group="g" * 500, hook=HOOK))
    bench.settle()
    (finished,) = bench.store.saved
    message = finished.message

    assert (message.name, message.func) == ("task-1", "math.copysign")
    assert (message.body, message.group, message.hook) == (b"", None, None)
    assert not finished.outcome.success
    assert bench.kept_tickets == [1]


def test_a_task_that_is_refused_even_when_it_is_bare_has_the_log_and_blocks_nobody(bench):
    bench.store.refuses = lambda finished: finished.message.name == "task-1"
    bench.keep(parts.settled(1), parts.settled(2))
    bench.settle()

    assert [finished.message.name for finished in bench.store.saved] == ["task-2"]
    assert sorted(bench.kept_tickets) == [1, 2]
    assert len(bench.observer.of(TaskUnsaved)) == 3


@pytest.mark.parametrize("steps", range(5))
def test_what_comes_beside_a_refused_task_is_saved_all_the_same(bench, steps):
    bench.store.refuses = lambda finished: finished.message.name == "task-1"
    bench.keep(parts.settled(1))
    for _ in range(steps):
        bench.monitor.step()
    for number in range(2, 12):
        bench.keep(parts.settled(number))
    bench.settle()

    assert len(bench.store.saved) == 10
    assert sorted(bench.kept_tickets) == list(range(1, 12))


def test_batches_grow_again_after_a_refusal(bench):
    bench.store.refuses = lambda finished: (
        finished.message.name == "task-1" and finished.outcome.success
    )
    bench.keep(*[parts.settled(number) for number in range(1, 9)])
    bench.settle()
    del bench.journal[:]
    bench.keep(*[parts.settled(number) for number in range(11, 41)])
    bench.settle()

    assert [len(names) for _, names in bench.journal.of("save")] == [16, 14]


# Leases.


def test_leases_are_extended_without_a_word_where_receipts_stay(bench):
    bench.sentinel.send(Renew(("r1", "r2")))
    bench.monitor.step()

    assert bench.journal == [("extend", ["r1", "r2"])]


def test_changed_receipts_are_told_and_used(bench):
    bench.broker.renewals = {"r1": "s1"}
    bench.sentinel.send(Renew(("r1", "r2")))
    bench.keep(parts.settled(1), parts.settled(2), parts.settled(3, verdict=Verdict.HAND_BACK))

    assert bench.journal.of("Renewed") == [("Renewed", Renewed((("r1", "s1"),)))]
    assert bench.journal.of("acknowledge") == [("acknowledge", ["s1", "r2"])]


def test_an_outcome_that_waits_is_acknowledged_by_its_latest_receipt(bench):
    bench.store.away = True
    bench.keep(parts.settled(1), parts.settled(2, verdict=Verdict.HAND_BACK))
    bench.broker.renewals = {"r1": "s1", "s1": "t1", "t1": "u1", "r2": "s2"}
    for receipts in [("r1", "r2"), ("s1", "s2"), ("t1", "s2")]:
        bench.sentinel.send(Renew(receipts))
        bench.monitor.step()
    bench.store.away = False
    bench.settle()

    assert bench.journal.of("acknowledge") == [("acknowledge", ["u1"])]
    assert bench.journal.of("release") == [("release", ["s2"])]


def test_a_receipt_that_changed_twice_before_the_sentinel_heard_of_it_is_followed(bench):
    bench.broker.renewals = {"r1": "s1", "s1": "t1"}
    bench.sentinel.send(Renew(("r1",)), Renew(("r1",)))
    bench.monitor.step()
    told = bench.journal.of("Renewed")
    bench.keep(parts.settled(1, receipt="s1"))

    assert told == [
        ("Renewed", Renewed((("r1", "s1"),))),
        ("Renewed", Renewed((("s1", "t1"),))),
    ]
    assert bench.journal.of("acknowledge") == [("acknowledge", ["t1"])]


def test_renewals_that_nobody_can_ask_for_any_more_are_forgotten(bench):
    bench.broker.renewals = {f"s{n}": f"s{n + 1}" for n in range(100)}
    for number in range(100):
        bench.sentinel.send(Renew((f"s{number}", "kept")))
        bench.monitor.step()

    assert len(bench.monitor._renewed) <= 2


def test_leases_that_cannot_be_extended_now_are_told_once_and_stop_nothing(bench):
    bench.broker.away = {"extend"}
    for _ in range(3):
        bench.sentinel.send(Renew(("r1",)))
        bench.monitor.step()
    bench.keep(parts.settled(1))
    bench.broker.away = set()
    bench.sentinel.send(Renew(("r2",)))
    bench.monitor.step()

    assert [type(event) for event in bench.observer.events] == [ServiceAway, TaskSaved, ServiceBack]
    assert bench.kept_tickets == [1]


def test_leases_that_were_extended_beside_one_that_failed_are_known_by_their_new_receipts(bench):
    bench.broker.renewals, bench.broker.unextended = {"r1": "s1"}, {"r2"}
    bench.sentinel.send(Renew(("r1", "r2")))
    bench.monitor.step()
    told = list(bench.observer.events)
    bench.keep(parts.settled(1))

    assert told == [ServiceAway("broker (renewing leases)", "some were not extended")]
    assert bench.journal.of("Renewed") == [("Renewed", Renewed((("r1", "s1"),)))]
    assert bench.journal.of("acknowledge") == [("acknowledge", ["s1"])]


# What it tells.


def test_each_outcome_of_a_small_batch_is_told(bench):
    bench.keep(parts.settled(1, group="letters"), parts.settled(2, outcome=parts.FAILURE))

    assert bench.observer.events == [
        TaskSaved(f"{1:032x}", "task-1", "math.copysign", "letters", 1, True, "", 0.5),
        TaskSaved(f"{2:032x}", "task-2", "math.copysign", None, 1, False, "ValueError: no", 0.5),
    ]


def test_of_a_large_batch_the_number_is_told_and_each_failure(bench):
    successes = [parts.settled(number) for number in range(NAMED_SUCCESSES_MAX)]
    bench.keep(*successes, parts.settled(99, outcome=parts.FAILURE))

    assert bench.observer.events[0] == BatchSaved(NAMED_SUCCESSES_MAX + 1)
    assert [event.name for event in bench.observer.of(TaskSaved)] == ["task-99"]


def test_a_hook_that_failed_is_told_with_its_traceback_and_one_that_did_not_is_not(bench):
    bench.keep(
        parts.settled(1, kind=Kind.HOOK, func=HOOK),
        parts.settled(2, kind=Kind.HOOK, func=HOOK, outcome=parts.FAILURE),
    )

    assert bench.observer.events == [
        HookFailed(f"{2:032x}", "task-2", HOOK, None, 1, "ValueError: no", "Traceback: no")
    ]


# Leaving.


def test_a_monitor_that_is_told_to_leave_keeps_what_it_has_first(bench):
    bench.sentinel.send(Stop(StopLevel.GENTLE))
    bench.keep(parts.settled(1))
    end = bench.monitor.step()

    assert end is None
    assert bench.kept_tickets == [1]
    assert bench.observer.events[-1] == ChildStopped(Role.MONITOR, "Process-1:3", 9)


def test_a_monitor_that_is_told_to_leave_waits_for_a_store_that_is_away(bench):
    bench.store.away = True
    bench.sentinel.send(Stop(StopLevel.GENTLE))

    assert bench.keep(parts.settled(1)) == Wait(0.1)


def test_a_monitor_without_a_sentinel_keeps_what_it_has_and_leaves(bench):
    bench.sentinel.send(Keep((parts.settled(1),)))
    bench.sentinel.close()
    steps = [bench.monitor.step(), bench.monitor.step()]

    assert steps == [Wait(0.0), None]
    assert len(bench.store.saved) == 1


def test_a_monitor_without_a_sentinel_does_not_wait_for_a_store_that_is_away(bench):
    bench.store.away = True
    bench.keep(parts.settled(1))
    bench.sentinel.close()

    assert bench.monitor.step() is None


def test_a_message_that_is_for_another_box_is_passed_over(bench):
    bench.sentinel.send(Credit(5))

    assert bench.monitor.step() == Wait(None)
    assert bench.journal == []
