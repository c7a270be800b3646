"""Holds the monitor: save, follow, settle with the broker, tell the sentinel; never otherwise."""

from __future__ import annotations

import pickle

import attrs
import pytest

from djq.components.monitor import Monitor
from djq.core import composition
from djq.core.events import (
    HookFailed,
    ServiceAway,
    TaskHandedBack,
    TaskSaved,
)
from djq.core.frame import unpack
from djq.core.message import Finished, Kind
from djq.core.protocol import Keep, Kept, Ready, Verdict
from djq.core.schedules import RUN_FAILED
from djq.ports import Wait
from djq_testing.clock import ManualClock
from djq_testing.schedules import MemoryScheduleStore
from tests.components import parts
from tests.components.monitor_bench import HOOK, Bench


@pytest.fixture
def bench():
    return Bench()


# The order.


def test_a_monitor_says_once_that_it_is_ready_and_waits(bench):
    assert bench.monitor.step() == Wait(None)
    assert bench.heard() == [Ready(9)]


def test_a_batch_is_saved_then_followed_then_acknowledged_then_told(bench):
    first, second = parts.settled(1, hook=HOOK), parts.settled(2, outcome=parts.FAILURE)
    wait = bench.keep(first, second)
    hook = hook_of(first)

    assert wait == Wait(0.0)
    assert bench.journal == [
        ("save", ["task-1", "task-2"]),
        ("enqueue", [hook]),
        ("acknowledge", ["r1", "r2"]),
        ("Kept", Kept((1, 2))),
    ]


def test_a_batch_is_whatever_has_come_since_the_last_one(bench):
    bench.sentinel.send(Keep((parts.settled(1),)), Keep((parts.settled(2), parts.settled(3))))
    bench.monitor.step()

    assert bench.journal.of("save") == [("save", ["task-1", "task-2", "task-3"])]


def test_a_failure_that_is_left_to_the_broker_is_saved_and_not_acknowledged(bench):
    left = parts.settled(1, verdict=Verdict.SAVE_AND_LEAVE, outcome=parts.FAILURE)
    bench.keep(left, parts.settled(2))

    assert bench.journal.of("acknowledge") == [("acknowledge", ["r2"])]
    assert bench.kept_tickets == [1, 2]


def test_an_outcome_tells_how_often_its_task_was_delivered(bench):
    item = parts.settled(1)
    item = attrs.evolve(item, delivery=attrs.evolve(item.delivery, attempt=3))
    bench.keep(item)

    assert bench.store.saved == [Finished(parts.message(1), parts.SUCCESS, 3)]


def test_hooks_are_acknowledged_and_kept_nowhere(bench):
    bench.keep(parts.settled(1, kind=Kind.HOOK))

    assert bench.journal.verbs == ["acknowledge", "Kept"]


def test_a_broker_without_receipts_is_acknowledged_nothing():
    bench = Bench(receipts=False)
    bench.keep(parts.settled(1, receipt=None))

    assert bench.journal.verbs == ["save", "Kept"]


def test_a_hook_that_is_too_large_to_send_is_told_and_stops_nothing():
    bench = Bench(max_payload=100)
    bench.keep(parts.settled(1, hook=HOOK))
    (event,) = bench.observer.of(HookFailed)

    assert (event.name, event.func) == ("task-1", HOOK)
    assert "max_payload" in event.error
    assert bench.kept_tickets == [1]


def hook_of(item):
    message = unpack(item.delivery.frame)
    return composition.hook_of(Finished(message, item.outcome, item.delivery.attempt))


def test_a_hook_that_is_too_large_for_the_broker_is_told_and_the_others_are_sent(bench):
    bench.broker.max_payload = 3_000
    large = attrs.evolve(parts.SUCCESS, value=b"x" * 3_000)
    items = [parts.settled(n, hook=HOOK, outcome=o) for n, o in [(1, large), (2, parts.SUCCESS)]]
    bench.keep(*items)
    (event,) = bench.observer.of(HookFailed)

    assert (event.name, event.func) == ("task-1", HOOK)
    assert "more than the 3,000 that the broker (RecordingBroker) takes" in event.error
    assert bench.journal.of("enqueue") == [("enqueue", [hook_of(items[1])])]
    assert bench.kept_tickets == [1, 2]


@pytest.mark.parametrize("one_database", [False, True])
def test_a_hook_that_the_broker_refuses_is_told_once_and_the_others_are_sent(one_database):
    bench = Bench(one_database=one_database)
    items = [parts.settled(number, hook=HOOK) for number in range(1, 4)]
    hooks = [hook_of(item) for item in items]
    bench.broker.refuses = {hooks[1].name}
    bench.broker.away = {"acknowledge"}
    bench.keep(*items)
    bench.broker.away = set()
    bench.settle()
    sent = (
        bench.journal
        if not one_database
        else bench.journal[bench.journal.verbs.index("roll back") :]
    )

    assert [(e.name, e.error) for e in bench.observer.of(HookFailed)] == [
        ("task-2", f"{hooks[1].name} is too large for this queue")
    ]
    assert [each for verb, value in sent if verb == "enqueue" for each in value] == hooks[::2]
    assert bench.kept_tickets == [1, 2, 3]


def called_with(bench):
    """What the hooks that were sent will be called with; each has the id that belongs to it."""
    hooks = [hook for _, sent in bench.journal.of("enqueue") for hook in sent]
    outcomes = [pickle.loads(hook.body) for hook in hooks]
    assert [hook.id for hook in hooks] == [composition.hook_of(one).id for one in outcomes]
    return outcomes


def earlier(number, value):
    """A success that was kept before the monitor began."""
    outcome = attrs.evolve(parts.SUCCESS, value=pickle.dumps(value))
    return Finished(parts.message(number, hook=HOOK), outcome, 1)


def test_hooks_of_a_failure_get_the_success_that_stands(bench):
    bench.store.successes = {f"{n:032x}": earlier(n, n) for n in (1, 3)}
    bench.keep(*[parts.settled(n, hook=HOOK, outcome=parts.FAILURE) for n in (1, 2)])
    failed = Finished(parts.message(2, hook=HOOK), parts.FAILURE, 1)

    assert bench.journal.verbs[:3] == ["save", "kept", "enqueue"]
    assert bench.journal.of("kept") == [("kept", [f"{1:032x}", f"{2:032x}"])]
    assert called_with(bench) == [earlier(1, 1), failed]


def test_nobody_is_asked_what_stands_but_for_failures_with_a_hook(bench):
    bench.keep(
        parts.settled(1, hook=HOOK),
        parts.settled(2, outcome=parts.FAILURE),
        parts.settled(3, hook=HOOK, verdict=Verdict.HAND_BACK),
        parts.settled(4, kind=Kind.HOOK, outcome=parts.FAILURE),
    )

    assert bench.journal.of("kept") == []


@pytest.mark.parametrize(
    "outcomes",
    [
        (parts.SUCCESS, parts.FAILURE),
        (parts.FAILURE, parts.SUCCESS),
        (parts.SUCCESS, attrs.evolve(parts.SUCCESS, value=b"other")),
    ],
)
def test_of_one_task_twice_in_a_batch_the_kept_outcome_has_the_hook(bench, outcomes):
    bench.store.successes = {f"{1:032x}": earlier(1, 42)}
    bench.keep(*[parts.settled(1, hook=HOOK, outcome=outcome) for outcome in outcomes])

    assert called_with(bench) == [earlier(1, 42)]


def test_of_one_failure_twice_in_a_batch_the_last_has_the_hook(bench):
    last = attrs.evolve(parts.FAILURE, value=pickle.dumps("last"))
    bench.keep(*[parts.settled(1, hook=HOOK, outcome=outcome) for outcome in (parts.FAILURE, last)])
    failed = Finished(parts.message(1, hook=HOOK), last, 1)

    assert called_with(bench) == [failed]


def test_a_store_that_does_not_say_what_stands_is_asked_again(bench):
    bench.store.forgetful = True
    wait = bench.keep(parts.settled(1, hook=HOOK, outcome=parts.FAILURE))
    bench.store.forgetful = False
    bench.settle()

    assert wait == Wait(0.1)
    assert bench.journal.verbs == ["save", "kept", "enqueue", "acknowledge", "Kept"]
    assert bench.observer.of(ServiceAway) == [ServiceAway("result store", "no answer to kept")]


# Handing back.


def test_what_is_handed_back_is_released(bench):
    bench.keep(parts.settled(1, verdict=Verdict.HAND_BACK), parts.settled(2))

    assert bench.journal == [
        ("save", ["task-2"]),
        ("acknowledge", ["r2"]),
        ("release", ["r1"]),
        ("Kept", Kept((1, 2))),
    ]
    assert bench.observer.of(TaskHandedBack) == [
        TaskHandedBack(f"{1:032x}", "task-1", "math.copysign", None, 1)
    ]


def test_the_broker_is_told_which_of_them_have_not_begun(bench):
    verdicts = (Verdict.HAND_BACK_UNBEGUN, Verdict.HAND_BACK, Verdict.HAND_BACK_UNBEGUN)
    bench.keep(*[parts.settled(n, verdict=verdict) for n, verdict in enumerate(verdicts, 1)])

    assert bench.journal == [
        ("release", ["r2"]),
        ("release unbegun", ["r1", "r3"]),
        ("Kept", Kept((1, 2, 3))),
    ]
    assert [event.name for event in bench.observer.of(TaskHandedBack)] == [
        "task-1",
        "task-2",
        "task-3",
    ]


def test_what_is_handed_back_without_receipts_is_sent_as_it_came():
    bench = Bench(receipts=False)
    bench.keep(parts.settled(1, verdict=Verdict.HAND_BACK_UNBEGUN, receipt=None))

    assert bench.journal == [("enqueue", [parts.message(1)]), ("Kept", Kept((1,)))]


@pytest.mark.parametrize("one_database", [False, True])
def test_what_was_handed_back_before_the_broker_went_is_not_sent_again_unless_it_was_undone(
    one_database,
):
    bench = Bench(receipts=False, one_database=one_database)
    bench.broker.takes = 2
    unbegun = {"verdict": Verdict.HAND_BACK_UNBEGUN, "receipt": None}
    bench.keep(*[parts.settled(number, **unbegun) for number in (1, 2, 3)])
    bench.broker.takes = None
    bench.settle()
    sent = [[message.name for message in messages] for _, messages in bench.journal.of("enqueue")]

    again = ["task-1", "task-2"] if one_database else []
    assert sent == [["task-1", "task-2"], [*again, "task-3"]]
    assert bench.kept_tickets == [1, 2, 3]


@pytest.mark.parametrize("one_database", [False, True])
@pytest.mark.parametrize("by", ["the broker", "its limit", "the setting"])
def test_what_cannot_be_handed_back_is_kept_as_a_failure_that_says_so(by, one_database):
    max_payload = 1_000 if by == "the setting" else 1_000_000
    bench = Bench(receipts=False, one_database=one_database, max_payload=max_payload)
    bench.broker.refuses = {"task-2"} if by == "the broker" else set()
    bench.broker.max_payload = 1_000 if by == "its limit" else None
    unbegun = {"verdict": Verdict.HAND_BACK_UNBEGUN, "receipt": None}
    args = ("x" * 1_000,)
    items = [parts.settled(1, **unbegun), parts.settled(2, args=args, **unbegun)]
    bench.keep(*items, parts.settled(3, receipt=None))
    between = bench.kept_tickets
    bench.settle()
    outcomes = {finished.message.name: finished.outcome for finished in bench.store.saved}
    line = pickle.loads(outcomes["task-2"].value)

    assert between == [1, 3]
    assert bench.kept_tickets == [1, 3, 2]
    assert bench.journal.of("enqueue") == [("enqueue", [parts.message(1)])]
    assert outcomes["task-3"].success
    assert not outcomes["task-2"].success
    assert line.startswith("TaskRefused: it could not be handed back: ")
    assert [event.name for event in bench.observer.of(TaskHandedBack)] == ["task-1"]
    assert ("task-2", line) in [(e.name, e.error) for e in bench.observer.of(TaskSaved)]


# One transaction, where broker and store share a database.


def test_a_shared_database_makes_all_stages_one_transaction():
    bench = Bench(one_database=True)
    bench.keep(parts.settled(1, hook=HOOK))

    assert bench.journal.verbs == ["begin", "save", "enqueue", "acknowledge", "commit", "Kept"]


@pytest.mark.parametrize("broken", ["enqueue", "acknowledge"])
def test_a_transaction_that_failed_is_done_again_from_its_beginning(broken):
    bench = Bench(one_database=True)
    bench.broker.away = {broken}
    bench.keep(parts.settled(1, hook=HOOK))
    between = (list(bench.store.saved), bench.journal.verbs[-1], bench.kept_tickets)
    bench.broker.away = set()
    del bench.journal[:]
    bench.settle()

    assert between == ([], "roll back", [])
    assert bench.journal.verbs == ["begin", "save", "enqueue", "acknowledge", "commit", "Kept"]


@pytest.mark.parametrize(
    ("broker", "store"), [("default", "other"), (None, None), ("default", None)]
)
def test_two_databases_are_two_transactions(broker, store):
    bench = Bench()
    bench.broker.database, bench.store.alias = broker, store
    monitor = Monitor(
        link=bench,
        broker=bench.broker,
        store=bench.store,
        codec=parts.codec(),
        around=bench.around,
        label="",
        pid=1,
    )
    bench.sentinel.send(Keep((parts.settled(1),)))
    monitor.step()

    assert "begin" not in bench.journal.verbs
    assert bench.kept_tickets == [1]


def test_a_schedule_is_told_how_its_task_ended():
    schedules = MemoryScheduleStore(clock=ManualClock())
    task_id = parts.message(1).id
    rows = [schedules.add(func="f.g", task=task_id, unfinished=task_id) for _ in range(2)]
    bench = Bench(schedules=schedules)
    bench.keep(parts.settled(1, outcome=parts.FAILURE, schedule=rows[0]), parts.settled(2))
    told, other = map(schedules.row, rows)

    assert (told.unfinished, told.last_error) == ("", RUN_FAILED + "ValueError: no")
    assert (other.unfinished, other.last_error) == (task_id, "")
