"""What the author of a wrong runtime is told: each promise that is broken fails the contract."""

from __future__ import annotations

import pytest

from djq_testing.contract.runtime import RuntimeContract
from djq_testing.sim.timeline import Timeline
from tests.contract.runtimes import SimRuntime


def make_wrong(spoil):
    """Make runtimes that are the simulated one, but for what `spoil` does to them."""

    def make_runtime(make):
        runtime = SimRuntime(Timeline(), make)
        spoil(runtime.spawner)
        return runtime

    return make_runtime


def with_links(change):
    """Spoil each link of the parent."""

    def spoil(spawner):
        spawn = spawner.spawn

        def spawn_wrongly(child, label):
            link = spawn(child, label)
            change(link)
            return link

        spawner.spawn = spawn_wrongly

    return spoil


def loses_a_message(link):
    receive = link.receive
    link.receive = lambda: receive()[1:]


def says_it_twice(link):
    receive = link.receive
    link.receive = lambda: [word for word in receive() for _ in range(2)]


def forgets_the_order(link):
    receive = link.receive
    link.receive = lambda: receive()[::-1]


def leaves_what_was_taken_back(link):
    link.recall = lambda: [message for _, message in link.outbox._offers]


def has_room_for_nothing(link):
    link.offer = lambda *messages: 0


def never_ends(link):
    link.inbox.close = lambda: None


def tells_exits_twice(spawner):
    exits = spawner.exits
    told = []

    def exits_again():
        told.extend(exits())
        return told

    spawner.exits = exits_again


def tells_no_crash_from_an_end(spawner):
    report = spawner.report
    spawner.report = lambda child, _code: report(child, 0)


def does_not_kill(spawner):
    spawner.kill = lambda child: None


def confuses_generations(spawner):
    kill = spawner.kill

    def kill_all(child):
        for each in spawner._children:
            kill(each)

    spawner.kill = kill_all


@pytest.mark.parametrize(
    ("spoil", "test"),
    [
        (with_links(loses_a_message), "messages_arrive_whole_and_in_order_both_ways"),
        (with_links(loses_a_message), "exit_is_told_once_and_the_last_words_are_there"),
        (with_links(says_it_twice), "messages_arrive_whole_and_in_order_both_ways"),
        (with_links(forgets_the_order), "messages_arrive_whole_and_in_order_both_ways"),
        (with_links(leaves_what_was_taken_back), "offers_can_be_taken_back_until_they_are_taken"),
        (with_links(leaves_what_was_taken_back), "each_offer_is_taken_by_one_side_only"),
        (with_links(has_room_for_nothing), "what_had_no_room_is_not_kept"),
        (with_links(never_ends), "exit_is_told_once_and_the_last_words_are_there"),
        (tells_exits_twice, "exit_is_told_once_and_the_last_words_are_there"),
        (tells_exits_twice, "killed_child_is_told_once"),
        (tells_no_crash_from_an_end, "crash_is_told_once_and_is_no_clean_exit"),
        (does_not_kill, "killed_child_is_told_once"),
        (does_not_kill, "nothing_new_comes_from_a_child_whose_death_is_known"),
        (confuses_generations, "next_generation_lives_beside_the_one_before"),
    ],
)
def test_a_broken_promise_fails_the_contract(spoil, test):
    with pytest.raises((AssertionError, KeyError)):
        getattr(RuntimeContract(), f"test_{test}")(make_wrong(spoil))


def test_a_contract_that_is_not_filled_in_names_the_hole():
    with pytest.raises(NotImplementedError, match="must define the fixture make_runtime"):
        RuntimeContract.make_runtime.__wrapped__(RuntimeContract())


def test_a_runtime_without_room_skips_what_needs_some_and_says_so():
    class Suite(RuntimeContract):
        offers = False

    make_runtime = make_wrong(with_links(has_room_for_nothing))

    Suite().test_what_had_no_room_is_not_kept(make_runtime)
    with pytest.raises(pytest.skip.Exception, match="offers = False"):
        Suite().test_offers_are_taken_oldest_first(make_runtime)
