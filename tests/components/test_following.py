"""Holds what a monitor makes of chains: saved, then sent; once where that can be; never lost."""

from __future__ import annotations

import attrs
import pytest

from djq.core.call import load_call
from djq.core.events import ServiceAway, TaskSaved, TaskUnsaved
from djq.core.frame import pack, unpack
from djq.core.protocol import Verdict
from djq.exceptions import StoreUnavailable
from tests.components.chain_bench import HOOK, ChainBench, failed, succeeded
from tests.core.chain_samples import CHAIN, chain, link

STOPPED = "ChainStopped"
each_database = pytest.mark.parametrize("one_database", [False, True])


def link_of(first, place):
    """A later link of a chain, as it comes when it is its turn."""
    return first if place == 0 else link_of(unpack(first.rest), place - 1)


# The order.


@each_database
def test_an_outcome_is_saved_then_the_next_link_is_sent_then_it_is_acknowledged(one_database):
    bench = ChainBench(one_database=one_database)
    bench.give(succeeded(chain(2)))
    verbs = [verb for verb in bench.journal.verbs if verb in {"save", "enqueue", "acknowledge"}]

    assert verbs == ["save", "enqueue", "acknowledge"]
    assert [message.name for message in bench.sent] == ["link-1"]


def test_the_links_of_a_batch_are_sent_in_one_call():
    bench = ChainBench()
    chains = [
        attrs.evolve(chain(2), id=f"{number:032x}", name=str(number)) for number in range(5, 8)
    ]
    bench.broker.store.find = lambda _: True
    bench.give(*[succeeded(first) for first in chains])

    assert [len(messages) for _, messages in bench.journal.of("enqueue")] == [1]


def test_nothing_is_sent_after_the_last_link():
    bench = ChainBench()
    bench.end(succeeded(link_of(chain(3), 2)))

    assert bench.sent == []
    assert bench.journal.of("kept") == []


# Failures.


@each_database
def test_a_failed_link_is_kept_together_with_the_links_that_will_never_run(one_database):
    bench = ChainBench(one_database=one_database)
    bench.end(failed(chain(3)))

    assert bench.outcomes == {"link-0": "ValueError", "link-1": STOPPED, "link-2": STOPPED}
    assert bench.journal.of("save") == [("save", ["link-0", "link-1", "link-2"])]
    assert bench.sent == []


@each_database
def test_the_hooks_of_links_that_never_run_are_called_with_their_failures(one_database):
    bench = ChainBench(one_database=one_database)
    bench.end(failed(chain(3, hook=HOOK)))

    assert bench.hooks == [("link-0", False), ("link-1", False), ("link-2", False)]


@each_database
def test_a_chain_that_goes_on_sends_the_next_link_after_a_failure(one_database):
    bench = ChainBench(one_database=one_database)
    bench.end(failed(chain(3, goes_on=True)))

    assert bench.outcomes == {"link-0": "ValueError"}
    assert [message.name for message in bench.sent] == ["link-1"]


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_failure_that_is_left_to_the_broker_is_not_the_end_of_a_link(goes_on):
    bench = ChainBench()
    first = chain(2, goes_on=goes_on)
    bench.end(failed(first), verdict=Verdict.SAVE_AND_LEAVE)
    between = bench.outcomes, bench.sent
    bench.end(succeeded(first, attempt=2))

    assert between == ({"link-0": "ValueError"}, [])
    assert [message.name for message in bench.sent] == ["link-1"]
    assert bench.outcomes == {"link-0": "value"}


def test_an_unsaved_success_sends_the_next_link_all_the_same():
    bench = ChainBench()
    bench.broker.store.find = lambda _: True
    bench.end(succeeded(chain(2, save=False)))

    assert bench.outcomes == {}
    assert [message.name for message in bench.sent] == ["link-1"]


# Links that the broker can never take.


@each_database
def test_a_link_that_the_broker_refuses_is_a_failure_that_stops_the_rest(one_database):
    bench = ChainBench(one_database=one_database)
    bench.broker.refuses = {"link-1"}
    bench.end(succeeded(chain(4, hook=HOOK)))

    assert bench.outcomes == {
        "link-0": "value",
        "link-1": "TaskRefused",
        "link-2": STOPPED,
        "link-3": STOPPED,
    }
    assert bench.hooks == [
        ("link-0", True),
        ("link-1", False),
        ("link-2", False),
        ("link-3", False),
    ]
    assert bench.sent_links == []


@each_database
def test_a_link_that_the_broker_refuses_is_told_with_those_it_stops(one_database):
    bench = ChainBench(one_database=one_database)
    bench.broker.refuses = {"link-1"}
    bench.end(succeeded(chain(3)))
    told = [(event.name, event.success) for event in bench.observer.of(TaskSaved)]

    assert told == [("link-0", True), ("link-1", False), ("link-2", False)]


def test_a_refused_link_is_told_once_when_its_batch_has_to_wait():
    bench = ChainBench()
    bench.broker.refuses = {"link-1"}
    bench.broker.away = {"acknowledge"}
    bench.give(succeeded(chain(2)))
    bench.broker.away = set()
    bench.settle()

    assert [event.name for event in bench.observer.of(TaskSaved)] == ["link-0", "link-1"]


@pytest.mark.parametrize("refused", [{"link-1"}, {"link-1", "link-2"}])
def test_a_chain_that_goes_on_does_so_after_a_link_that_the_broker_refuses(refused):
    bench = ChainBench()
    bench.broker.refuses = refused
    bench.end(succeeded(chain(4, goes_on=True)))

    assert bench.outcomes == {"link-0": "value", **dict.fromkeys(sorted(refused), "TaskRefused")}
    assert [message.name for message in bench.sent] == [f"link-{len(refused) + 1}"]


def test_a_result_that_makes_the_next_link_too_large_is_its_failure():
    bench = ChainBench()
    bench.broker.max_payload = 3_000
    bench.end(succeeded(chain(3, hands_on=True), "x" * 3_000))
    outcomes = bench.outcomes
    line = bench.store.find("link-1").result

    assert (outcomes["link-1"], outcomes["link-2"]) == ("TaskRefused", STOPPED)
    assert "more than the 3,000 that the broker (OrderlyBroker) takes" in line


# A broker that goes in the midst of a batch.


@each_database
def test_what_was_sent_before_the_broker_went_is_not_sent_again_unless_it_was_undone(one_database):
    bench = ChainBench(one_database=one_database)
    bench.broker.takes = 2
    bench.give(succeeded(chain(2, hook=HOOK)), succeeded(attrs.evolve(link(7), hook=HOOK)))
    between = len(bench.sent)
    bench.broker.takes = None
    bench.settle()

    assert between == (0 if one_database else 2)
    assert bench.hooks == [("link-0", True), ("link-7", True)]
    assert [message.name for message in bench.sent_links] == ["link-1"]
    assert bench.store._sent == {CHAIN: 2}


def test_what_was_sent_before_the_store_went_is_not_sent_again():
    """A link that is refused has a failure, which is kept before its own hook is sent."""
    bench = ChainBench()
    bench.broker.refuses = {"link-1"}
    save, saves = bench.store.save, []

    def save_once(batch):
        saves.append(len(batch))
        if len(saves) == 2:
            raise StoreUnavailable("no answer")
        return save(batch)

    bench.store.save = save_once
    bench.end(succeeded(chain(2, hook=HOOK)))

    assert len(saves) == 3
    assert bench.hooks == [("link-0", True), ("link-1", False)]


# Delivered again.


@each_database
def test_a_redelivered_link_does_not_send_a_link_that_has_run(one_database):
    bench = ChainBench(one_database=one_database)
    first = chain(2)
    bench.end(succeeded(first))
    bench.end(succeeded(link_of(first, 1)))
    bench.end(succeeded(first, attempt=2))

    assert [message.name for message in bench.sent] == ["link-1"]


@each_database
@pytest.mark.parametrize("save", [None, False])
def test_a_redelivered_success_sends_nothing_again(one_database, save):
    bench = ChainBench(one_database=one_database)
    bench.broker.store = None if save is False else bench.store
    first = chain(2, save=save)
    bench.end(succeeded(first))
    bench.end(succeeded(first, attempt=2))

    assert len(bench.sent) == 1


def test_a_link_is_marked_when_it_has_been_sent():
    bench = ChainBench()
    bench.end(succeeded(chain(3)))

    verbs = bench.journal.verbs
    assert verbs.index("save") < verbs.index("enqueue") < verbs.index("mark")


def test_a_store_that_does_not_take_the_mark_has_nothing_sent_again():
    bench = ChainBench()
    bench.store.away = {"mark"}
    bench.give(succeeded(chain(2, hook=HOOK)))
    bench.store.away = set()
    bench.settle()

    assert bench.store._sent == {CHAIN: 2}
    assert len([message for message in bench.sent if message.name == "link-1"]) == 1
    assert bench.journal.verbs.count("enqueue") == 1


def test_what_may_still_be_undone_is_marked_in_the_same_unit():
    bench = ChainBench(one_database=True)
    bench.broker.away = {"acknowledge"}
    bench.give(succeeded(chain(2)))
    after_the_first_try = dict(bench.store._sent)
    bench.broker.away = set()
    bench.settle()

    assert after_the_first_try == {}
    assert bench.store._sent == {CHAIN: 2}


def test_a_cache_that_takes_no_part_in_a_unit_is_told_after_it():
    bench = ChainBench(one_database=True)
    bench.end(succeeded(chain(2, cached=True)))

    verbs = bench.journal.verbs
    assert verbs.index("commit") < verbs.index("mark")
    assert bench.store._sent == {CHAIN: 2}


def test_a_cache_that_is_away_after_a_unit_stops_nothing():
    bench = ChainBench(one_database=True)
    bench.store.away = {"mark"}
    bench.end(succeeded(chain(2, cached=True)))

    assert bench.kept_tickets == [1]
    assert len(bench.sent) == 1


@each_database
def test_a_redelivered_success_that_fails_now_stops_nothing(one_database):
    bench = ChainBench(one_database=one_database)
    first = chain(3)
    bench.end(succeeded(first))
    bench.end(failed(first, attempt=2))

    assert bench.outcomes == {"link-0": "value"}


@each_database
def test_a_redelivered_failure_that_succeeds_now_lets_the_chain_run(one_database):
    bench = ChainBench(one_database=one_database)
    first = chain(3)
    bench.end(failed(first))
    bench.end(succeeded(first, attempt=2))
    bench.end(*[succeeded(link_of(first, 1))])
    bench.end(*[succeeded(link_of(first, 2))])

    assert [message.name for message in bench.sent] == ["link-1", "link-2"]
    assert bench.outcomes == dict.fromkeys(["link-0", "link-1", "link-2"], "value")


def handed_on(bench):
    """What the links that were sent get from the one before, none of them otherwise."""
    return {load_call(message.body)[1][0] for message in bench.sent_links}


def test_a_link_gets_the_result_that_stands_when_the_one_before_was_run_twice():
    bench = ChainBench()
    first = chain(2, hands_on=True)
    bench.end(succeeded(first, "first"))
    bench.end(succeeded(first, "second", attempt=2))

    assert bench.outcomes == {"link-0": "first"}
    assert handed_on(bench) == {"first"}


@each_database
@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize(
    "twice",
    [
        (succeeded, "first", succeeded, "second"),
        (succeeded, "first", failed, "E: no"),
        (failed, "E: no", succeeded, "first"),
    ],
)
def test_of_a_link_twice_in_a_batch_the_outcome_that_is_kept_goes_on(one_database, goes_on, twice):
    bench = ChainBench(one_database=one_database)
    first = chain(2, hands_on=True, goes_on=goes_on, hook=HOOK)
    make, value, make_again, value_again = twice
    bench.end(make(first, value), make_again(first, value_again, attempt=2))

    assert bench.outcomes == {"link-0": "first"}
    assert handed_on(bench) == {"first"}
    assert len(bench.sent_links) == 1
    assert bench.hooks == [("link-0", True)]


@each_database
def test_of_a_failed_link_twice_in_a_batch_the_rest_is_stopped_once(one_database):
    bench = ChainBench(one_database=one_database)
    first = chain(2)
    bench.end(failed(first, "E: 1"), failed(first, "E: 2", attempt=2))

    assert bench.journal.of("save") == [("save", ["link-0", "link-0", "link-1"])]
    assert bench.store.find("link-0").result == "E: 2"


@each_database
def test_two_links_of_a_chain_may_come_in_one_batch(one_database):
    bench = ChainBench(one_database=one_database)
    first = chain(3)
    bench.end(succeeded(first, attempt=2), succeeded(link_of(first, 1)))

    assert {message.name for message in bench.sent} >= {"link-2"}
    assert bench.outcomes == {"link-0": "value", "link-1": "value"}


@each_database
@pytest.mark.parametrize("same_batch", [False, True])
def test_a_link_that_succeeded_has_no_failure_s_hook_when_one_before_it_fails_later(
    one_database, same_batch
):
    bench = ChainBench(one_database=one_database)
    # Its own success is not kept, so the failure of another delivery is all that is known of it.
    first = attrs.evolve(chain(2, hook=HOOK), save=False, hook=None)
    second, late = succeeded(link_of(first, 1)), failed(first, attempt=2)
    for batch in [[second, late]] if same_batch else [[second], [late]]:
        bench.end(*batch)

    assert bench.store.find("link-1").success
    assert set(bench.hooks) == {("link-1", True)}


# Services that are away.


POINTS = ["kept", "save", "enqueue", "acknowledge"]


def disturb(bench, points, away):
    bench.store.away = bench.broker.away = set(points) if away else set()


@each_database
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("make", [succeeded, failed])
@pytest.mark.parametrize("goes_on", [False, True])
def test_a_service_that_comes_back_finds_nothing_lost_and_nothing_twice(
    one_database, point, make, goes_on
):
    first = chain(3, hook=HOOK, goes_on=goes_on)
    calm, bench = ChainBench(one_database=one_database), ChainBench(one_database=one_database)
    calm.end(make(first))
    disturb(bench, {point}, away=True)
    bench.give(make(first))
    acknowledged = bench.kept_tickets
    disturb(bench, {point}, away=False)
    bench.settle()

    assert acknowledged == []
    assert bench.observer.of(ServiceAway)
    assert (bench.outcomes, bench.sent) == (calm.outcomes, calm.sent)
    assert bench.kept_tickets == [1]


@each_database
def test_a_store_that_is_away_when_a_refused_link_is_to_be_kept_is_asked_again(one_database):
    bench = ChainBench(one_database=one_database)
    bench.broker.refuses = {"link-1"}
    saves = []

    def fail_at_the_second(batch):
        saves.append(batch)
        if len(saves) == 2:
            bench.store.away = {"save"}
        return type(bench.store).save(bench.store, batch)

    bench.store.save = fail_at_the_second
    bench.give(succeeded(chain(3)))
    between = bench.kept_tickets
    bench.store.away = set()
    bench.settle()

    assert between == []
    assert bench.outcomes == {"link-0": "value", "link-1": "TaskRefused", "link-2": STOPPED}
    assert [event.name for event in bench.observer.of(TaskSaved)] == ["link-0", "link-1", "link-2"]


@each_database
def test_a_broker_that_is_away_after_a_refused_link_was_kept_has_it_told_once(one_database):
    bench = ChainBench(one_database=one_database)
    bench.broker.refuses = {"link-1"}
    note = bench.broker.note
    calls = []

    def fail_at_the_second(verb, value):
        calls.append(verb)
        bench.broker.away = {"enqueue"} if calls.count("enqueue") == 2 else set()
        note(verb, value)

    bench.broker.note = fail_at_the_second
    bench.end(succeeded(chain(2, hook=HOOK)))

    assert [event.name for event in bench.observer.of(TaskSaved)] == ["link-0", "link-1"]
    assert set(bench.hooks) == {("link-0", True), ("link-1", False)}


@each_database
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("make", [succeeded, failed])
def test_a_monitor_that_dies_at_any_point_leaves_nothing_undone(one_database, point, make):
    first = chain(3, hook=HOOK)
    calm, bench = ChainBench(one_database=one_database), ChainBench(one_database=one_database)
    calm.end(make(first))
    disturb(bench, {point}, away=True)
    bench.give(make(first))
    disturb(bench, {point}, away=False)
    bench.replace()
    bench.end(make(first, attempt=2))

    assert bench.outcomes == calm.outcomes
    assert {message.id for message in bench.sent} == {message.id for message in calm.sent}
    if one_database:
        assert len(bench.sent) == len(calm.sent)


# Failures of links that the store can never keep as they are.


def chain_with_an_unkeepable_link():
    last = link(2, total=3, chain=CHAIN)
    middle = link(1, total=3, chain=CHAIN, group="g" * 101, rest=pack(last))
    return link(0, total=3, chain=CHAIN, rest=pack(middle))


@each_database
def test_a_link_that_never_ran_and_cannot_be_kept_costs_no_other_its_outcome(one_database):
    bench = ChainBench(one_database=one_database)
    bench.end(failed(chain_with_an_unkeepable_link()))

    assert bench.outcomes == {"link-0": "ValueError", "link-1": STOPPED, "link-2": STOPPED}
    assert bench.store.find("link-1").group is None
    assert [event.name for event in bench.observer.of(TaskUnsaved)] == ["link-1"]
    assert bench.kept_tickets == [1]


@each_database
def test_a_link_that_neither_broker_nor_store_takes_is_kept_bare(one_database):
    bench = ChainBench(one_database=one_database)
    bench.broker.refuses = {"link-1"}
    bench.end(succeeded(chain_with_an_unkeepable_link()))

    assert bench.outcomes == {"link-0": "value", "link-1": "TaskRefused", "link-2": STOPPED}
    assert [event.name for event in bench.observer.of(TaskUnsaved)] == ["link-1"]
    assert bench.kept_tickets == [1]


def test_an_unkeepable_link_in_a_batch_of_several_harms_none_of_them():
    bench = ChainBench()
    other = attrs.evolve(link(7), name="other")
    bench.end(failed(chain_with_an_unkeepable_link()), succeeded(other))

    assert bench.outcomes == {
        "link-0": "ValueError",
        "link-1": STOPPED,
        "link-2": STOPPED,
        "other": "value",
    }
    assert sorted(bench.kept_tickets) == [1, 2]
