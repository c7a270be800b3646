"""Holds the monitor: save, follow, settle with the broker, tell the sentinel; never otherwise."""

from __future__ import annotations

import pickle
from contextlib import contextmanager

import attrs
import pytest

from djq.components.monitor import NAMED_SUCCESSES_MAX, Monitor
from djq.core.codec import unpack
from djq.core.composition import followers
from djq.core.events import (
    BatchSaved,
    ChildStopped,
    HookFailed,
    ServiceAway,
    ServiceBack,
    TaskHandedBack,
    TaskSaved,
    TaskUnsaved,
)
from djq.core.lifecycle import Role
from djq.core.message import Finished, Kind
from djq.core.protocol import Keep, Kept, Ready, Renew, Renewed, Stop, StopLevel, Verdict
from djq.exceptions import BrokerUnavailable, StoreRefused, StoreUnavailable, TaskRefused
from djq.ports import Broker, Wait
from tests.components import parts

HOOK = "app.hooks.done"


class Journal(list):
    """What broker, store and link were asked for, in order."""

    def of(self, *verbs):
        return [entry for entry in self if entry[0] in verbs]

    @property
    def verbs(self):
        return [entry[0] for entry in self]


class RecordingBroker(Broker):
    """Writes into the journal; each verb may be made to fail."""

    receipts = True

    def __init__(self, journal):
        super().__init__()
        self.journal = journal
        self.away = set()
        self.refuses = set()
        """Names of the tasks that it can never take."""
        self.renewals = {}

    def note(self, verb, value):
        if verb in self.away:
            raise BrokerUnavailable(f"no answer to {verb}")
        self.journal.append((verb, value))

    def enqueue_many(self, tasks):
        messages = [unpack(parts.codec().open(task)) for task in tasks]
        for message in messages:
            if message.name in self.refuses:
                raise TaskRefused(f"{message.name} is too large for this queue")
        self.note("enqueue", messages)
        return [None for _ in tasks]

    def enqueue(self, task):
        return self.enqueue_many([task])[0]

    def acknowledge_many(self, ids):
        self.note("acknowledge", list(ids))

    def release_many(self, ids, *, begun=True):
        self.note("release" if begun else "release unbegun", list(ids))

    def extend_many(self, ids):
        self.note("extend", list(ids))
        return {old: self.renewals[old] for old in ids if old in self.renewals}


class RecordingStore:
    """Writes into the journal; refuses what it is told to."""

    def __init__(self, journal):
        self.alias = None
        self.journal = journal
        self.away = False
        self.forgetful = False
        """It does not answer when it is asked what stands."""
        self.successes = {}
        """What it has kept before, by the ids of the tasks."""
        self.refuses = lambda finished: False
        self.kept = []

    def standing(self, ids):
        if self.forgetful:
            raise StoreUnavailable("no answer to standing")
        self.journal.append(("standing", list(ids)))
        return {id: self.successes[id] for id in ids if id in self.successes}

    def save(self, batch):
        if self.away:
            raise StoreUnavailable("no answer to save")
        if any(self.refuses(finished) for finished in batch):
            raise StoreRefused("too large for its column")
        self.journal.append(("save", [finished.message.name for finished in batch]))
        self.kept += batch

    @contextmanager
    def unit(self):
        self.journal.append(("begin", None))
        kept = list(self.kept)
        try:
            yield
        except BaseException:
            self.kept = kept
            self.journal.append(("roll back", None))
            raise
        self.journal.append(("commit", None))

    def present(self, finished):
        raise AssertionError("a monitor calls no hook")


class Bench(parts.Scene):
    """A monitor that has said that it is ready, and the sentinel's end of its link."""

    def __init__(self, *, one_database=False, receipts=True):
        super().__init__()
        self.journal = Journal()
        self.broker = RecordingBroker(self.journal)
        self.broker.receipts = receipts
        self.store = RecordingStore(self.journal)
        if one_database:
            self.broker.database = self.store.alias = "default"
        self.monitor = Monitor(
            link=self,
            broker=self.broker,
            store=self.store,
            codec=parts.codec(),
            around=self.around,
            label="Process-1:3",
            pid=9,
        )
        self.monitor.step()
        del self.journal[:]

    # The monitor's end of its link, which writes into the journal too.

    def send(self, *messages):
        self.journal.extend((type(message).__name__, message) for message in messages)
        self.link.send(*messages)

    def receive(self):
        return self.link.receive()

    @property
    def ended(self):
        return self.link.ended

    def keep(self, *items):
        self.sentinel.send(Keep(items))
        return self.monitor.step()

    def settle(self):
        """Step until there is nothing to do."""
        for _ in range(10_000):
            wait = self.monitor.step()
            if wait is None or wait.seconds is None:
                return
            self.clock.advance(wait.seconds)
        raise AssertionError("the monitor never comes to rest")

    @property
    def kept_tickets(self):
        return [ticket for _, message in self.journal.of("Kept") for ticket in message.tickets]


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
    hooks = followers(Finished(unpack(first.delivery.frame), first.outcome, 1))

    assert wait == Wait(0.0)
    assert bench.journal == [
        ("save", ["task-1", "task-2"]),
        ("enqueue", hooks),
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

    assert bench.store.kept == [Finished(parts.message(1), parts.SUCCESS, 3)]


def test_hooks_are_acknowledged_and_kept_nowhere(bench):
    bench.keep(parts.settled(1, kind=Kind.HOOK))

    assert bench.journal.verbs == ["acknowledge", "Kept"]


def test_a_broker_without_receipts_is_acknowledged_nothing():
    bench = Bench(receipts=False)
    bench.keep(parts.settled(1, receipt=None))

    assert bench.journal.verbs == ["save", "Kept"]


def test_a_hook_that_is_too_large_to_send_is_told_and_stops_nothing(bench):
    bench.monitor._codec = parts.codec(max_payload=100)
    bench.keep(parts.settled(1, hook=HOOK))
    (event,) = bench.observer.of(HookFailed)

    assert (event.name, event.hook) == ("task-1", HOOK)
    assert "max_payload" in event.error
    assert bench.kept_tickets == [1]


def hook_of(item):
    (hook,) = followers(Finished(unpack(item.delivery.frame), item.outcome, item.delivery.attempt))
    return hook


def test_a_hook_that_is_too_large_for_the_broker_is_told_and_the_others_are_sent(bench):
    bench.broker.max_payload = 3_000
    large = attrs.evolve(parts.SUCCESS, value=b"x" * 3_000)
    items = [parts.settled(n, hook=HOOK, outcome=o) for n, o in [(1, large), (2, parts.SUCCESS)]]
    bench.keep(*items)
    (event,) = bench.observer.of(HookFailed)

    assert (event.name, event.hook) == ("task-1", HOOK)
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
    assert [hook.id for hook in hooks] == [followers(one)[0].id for one in outcomes]
    return outcomes


def earlier(number, value):
    """A success that was kept before the monitor began."""
    outcome = attrs.evolve(parts.SUCCESS, value=pickle.dumps(value))
    return Finished(parts.message(number, hook=HOOK), outcome, 1)


def test_hooks_of_a_failure_get_the_success_that_stands(bench):
    bench.store.successes = {f"{n:032x}": earlier(n, n) for n in (1, 3)}
    bench.keep(*[parts.settled(n, hook=HOOK, outcome=parts.FAILURE) for n in (1, 2)])
    failed = Finished(parts.message(2, hook=HOOK), parts.FAILURE, 1)

    assert bench.journal.verbs[:3] == ["save", "standing", "enqueue"]
    assert bench.journal.of("standing") == [("standing", [f"{1:032x}", f"{2:032x}"])]
    assert called_with(bench) == [earlier(1, 1), failed]


def test_nobody_is_asked_what_stands_but_for_failures_with_a_hook(bench):
    bench.keep(
        parts.settled(1, hook=HOOK),
        parts.settled(2, outcome=parts.FAILURE),
        parts.settled(3, hook=HOOK, verdict=Verdict.HAND_BACK),
        parts.settled(4, kind=Kind.HOOK, outcome=parts.FAILURE),
    )

    assert bench.journal.of("standing") == []


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
    assert bench.journal.verbs == ["save", "standing", "enqueue", "acknowledge", "Kept"]
    assert bench.observer.of(ServiceAway) == [ServiceAway("result store", "no answer to standing")]


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
        TaskHandedBack(f"{1:032x}", "task-1", "math.copysign")
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
@pytest.mark.parametrize("by", ["the broker", "its limit", "the setting"])
def test_what_cannot_be_handed_back_is_kept_as_a_failure_that_says_so(by, one_database):
    bench = Bench(receipts=False, one_database=one_database)
    bench.broker.refuses = {"task-2"} if by == "the broker" else set()
    bench.broker.max_payload = 1_000 if by == "its limit" else None
    if by == "the setting":
        bench.monitor._codec = parts.codec(max_payload=1_000)
    unbegun = {"verdict": Verdict.HAND_BACK_UNBEGUN, "receipt": None}
    args = ("x" * 1_000,)
    items = [parts.settled(1, **unbegun), parts.settled(2, args=args, **unbegun)]
    bench.keep(*items, parts.settled(3, receipt=None))
    between = bench.kept_tickets
    bench.settle()
    outcomes = {finished.message.name: finished.outcome for finished in bench.store.kept}
    line = pickle.loads(outcomes["task-2"].value)

    assert between == [1, 3]
    assert bench.kept_tickets == [1, 3, 2]
    assert bench.journal.of("enqueue") == [("enqueue", [parts.message(1)])]
    assert outcomes["task-3"].success
    assert not outcomes["task-2"].success
    assert line.startswith("TaskRefused: it could not be handed back: ")
    assert [event.name for event in bench.observer.of(TaskHandedBack)] == ["task-1"]
    assert ("task-2", line) in [(e.name, e.error) for e in bench.observer.of(TaskSaved)]


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

    assert told == [
        ServiceAway("result store", "no answer to save"),
        ServiceBack("result store"),
        ServiceAway("broker", "no answer to acknowledge"),
        ServiceBack("broker"),
    ]


def test_what_comes_during_a_pause_waits_and_is_saved_after_it(bench):
    bench.store.away = True
    bench.keep(parts.settled(1))
    bench.store.away = False
    bench.clock.advance(0.04)
    during = (bench.keep(parts.settled(2)).seconds, bench.journal.verbs)
    bench.settle()

    assert during == (pytest.approx(0.06), [])
    assert bench.kept_tickets == [1, 2]


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
    between = (list(bench.store.kept), bench.journal.verbs[-1], bench.kept_tickets)
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


# Outcomes that the store can never keep.


@pytest.mark.parametrize("one_database", [False, True])
def test_one_bad_outcome_among_a_hundred_is_found_and_the_rest_is_kept(one_database):
    bench = Bench(one_database=one_database)
    bench.store.refuses = lambda finished: (
        finished.message.name == "task-57" and finished.outcome.success
    )
    bench.keep(*[parts.settled(number) for number in range(1, 101)])
    bench.settle()
    kept = {finished.message.name: finished.outcome for finished in bench.store.kept}
    line = pickle.loads(kept.pop("task-57").value)

    assert len(bench.store.kept) == 100
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
    (finished,) = bench.store.kept
    message = finished.message

    assert (message.name, message.func) == ("task-1", "math.copysign")
    assert (message.body, message.group, message.hook) == (b"", None, None)
    assert not finished.outcome.success
    assert bench.kept_tickets == [1]


def test_a_task_that_is_refused_even_when_it_is_bare_has_the_log_and_blocks_nobody(bench):
    bench.store.refuses = lambda finished: finished.message.name == "task-1"
    bench.keep(parts.settled(1), parts.settled(2))
    bench.settle()

    assert [finished.message.name for finished in bench.store.kept] == ["task-2"]
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

    assert len(bench.store.kept) == 10
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


# What it tells.


def test_each_outcome_of_a_small_batch_is_told(bench):
    bench.keep(parts.settled(1), parts.settled(2, outcome=parts.FAILURE))

    assert bench.observer.events == [
        TaskSaved(f"{1:032x}", "task-1", "math.copysign", True, "", 0.5),
        TaskSaved(f"{2:032x}", "task-2", "math.copysign", False, "ValueError: no", 0.5),
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
        HookFailed(f"{2:032x}", "task-2", HOOK, "ValueError: no", "Traceback: no")
    ]


# Leaving.


def test_a_monitor_that_is_told_to_leave_keeps_what_it_has_first(bench):
    bench.sentinel.send(Stop(StopLevel.GENTLE))
    bench.keep(parts.settled(1))
    end = bench.monitor.step()

    assert end is None
    assert bench.kept_tickets == [1]
    assert bench.observer.events[-1] == ChildStopped(Role.MONITOR, "Process-1:3")


def test_a_monitor_that_is_told_to_leave_waits_for_a_store_that_is_away(bench):
    bench.store.away = True
    bench.sentinel.send(Stop(StopLevel.GENTLE))

    assert bench.keep(parts.settled(1)) == Wait(0.1)


def test_a_monitor_without_a_sentinel_keeps_what_it_has_and_leaves(bench):
    bench.sentinel.send(Keep((parts.settled(1),)))
    bench.sentinel.close()
    steps = [bench.monitor.step(), bench.monitor.step()]

    assert steps == [Wait(0.0), None]
    assert len(bench.store.kept) == 1


def test_a_monitor_without_a_sentinel_does_not_wait_for_a_store_that_is_away(bench):
    bench.store.away = True
    bench.keep(parts.settled(1))
    bench.sentinel.close()

    assert bench.monitor.step() is None
