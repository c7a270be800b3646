"""Holds `async_chain` and `Chain`: links in their order, and what becomes of them after a failure."""

from __future__ import annotations

import copy

import pytest
from django.db import transaction

from djq.core.call import load_call
from djq.core.frame import unpack
from djq.exceptions import TaskRefused
from djq.models import Task
from djq.tasks import Chain, async_chain, async_task, fetch_group, queue_size, result_group
from tests.django import task_samples as samples
from tests.django.sending_parts import CountingBroker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]
each_place = pytest.mark.parametrize("cached", [False, True])


@pytest.fixture
def broker():
    return CountingBroker()


def links_of(message):
    """All links of a chain whose first one was sent."""
    links = [message]
    while links[-1].rest:
        links.append(unpack(links[-1].rest))
    return links


def sent_links(broker):
    (first,) = broker.sent()
    return links_of(first)


def kinds(tasks):
    return [task.result if task.success else task.result.split(":")[0] for task in tasks]


# Sending.


def test_only_the_first_link_is_sent_with_the_others_inside(broker):
    label = async_chain([("math.copysign", (1, -1)), ("math.floor", (1,))], broker=broker)
    links = sent_links(broker)

    assert broker.calls == [1]
    assert [load_call(link.body)[:2] for link in links] == [
        ("math.copysign", (1, -1)),
        ("math.floor", (1,)),
    ]
    assert {(link.group, link.total) for link in links} == {(label, 2)}
    assert [link.place for link in links] == [0, 1]
    assert (len({link.id for link in links}), len(label)) == (2, 32)


def test_a_link_has_options_of_its_own(broker):
    async_chain(
        [
            ("m.f", (), {"hook": "a.b", "save": False, "timeout": 3, "key": 1}),
            ("m.f", (), {"q_options": {"task_name": "mine", "max_attempts": 2}, "group": 7}),
            "m.f",
        ],
        group="letters",
        broker=broker,
    )
    first, second, third = sent_links(broker)

    assert (first.hook, first.save, first.timeout) == ("a.b", False, 3)
    assert (second.hook, second.name, second.max_attempts) == (None, "mine", 2)
    assert [load_call(link.body)[2] for link in (first, second)] == [{"key": 1}, {"group": 7}]
    assert {link.group for link in (first, second, third)} == {"letters"}


def test_the_caller_s_objects_are_not_changed(broker):
    links = [("m.f", (1,), {"hook": "a.b", "q_options": None}), ["m.f", [2]], "m.f"]
    before = copy.deepcopy(links)
    async_chain(links, broker=broker)
    Chain(links, broker=broker).append("m.f")

    assert links == before


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (("m.f", (), {"group": "g"}), "link 2: the option group is for the whole chain"),
        (("m.f", (), {"cached": False}), "link 2: the option cached is for the whole chain"),
        (("m.f", (), {"sync": True}), "link 2: the option sync"),
        (("m.f", (), {"q_options": {"broker": CountingBroker()}}), "link 2: the option broker"),
        (("m.f", (), {"on_commit": True}), "link 2: the option on_commit"),
        (("m.f", (), {"timeout": 0}), "link 2: the option timeout"),
        (("m.f", 1), "link 2: .*is no call"),
        (("m.f", (lambda: 1,)), "link 2: argument 1"),
        (lambda: 1, "link 2: "),
        (None, "link 2: None is no call"),
    ],
)
@pytest.mark.parametrize("sync", [False, True])
def test_a_link_that_cannot_be_queued_is_named_and_nothing_is_sent(link, words, sync):
    with pytest.raises(TaskRefused, match=words):
        async_chain(["m.f", link], sync=sync)

    assert (queue_size(), Task.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"on_failure": "retry"}, "on_failure is 'retry'"),
        ({"pass_result": 1}, "pass_result is 1"),
        ({"group": 7}, "option group"),
        ({"cached": 0}, "option cached"),
        ({"sync": 1}, "option sync"),
        ({"broker": "x"}, "option broker"),
        ({"on_commit": 1}, "option on_commit"),
    ],
)
def test_a_wrong_option_is_refused_by_name(option, words):
    with pytest.raises(TaskRefused, match=words):
        async_chain(["m.f"], **option)
    with pytest.raises(TaskRefused, match=words):
        Chain(["m.f"], **option).run()


def test_a_chain_that_is_too_large_is_refused_as_a_whole(broker):
    broker.max_payload = 2_000

    with pytest.raises(TaskRefused, match="2,000"):
        async_chain([("m.f", ("x" * 1_000,))] * 3, broker=broker)

    assert broker.calls == []


@each_place
def test_an_empty_chain_has_ended_when_it_is_run(broker, cached):
    chain = Chain(broker=broker, cached=cached, sync=True)
    label = chain.run()

    assert (chain.length(), chain.current(), chain.result(), list(chain.fetch())) == (0, 0, [], [])
    assert (result_group(label, count=0, cached=cached), broker.calls) == ([], [])


@pytest.mark.django_db(transaction=True)
def test_on_commit_sends_at_the_commit_and_not_after_a_rollback(broker):
    with transaction.atomic():
        Chain(["m.f"], broker=broker, on_commit=True).run()
        before = list(broker.calls)
    with transaction.atomic():
        async_chain(["m.f"], broker=broker, on_commit=True)
        transaction.set_rollback(True)

    assert (before, broker.calls) == ([], [1])


# Running.


@each_place
def test_the_documented_example_gives_what_it_says(cached):
    chain = Chain(cached=cached, sync=True)
    lengths = [chain.append("math.copysign", 1, -1), chain.append("math.floor", 1)]
    before = chain.current()
    label = chain.run()

    assert (lengths, chain.length(), before) == ([1, 2], 2, None)
    assert chain.result() == [-1.0, 1]
    assert [task.func for task in chain.fetch()] == ["math.copysign", "math.floor"]
    assert result_group(label, count=2, cached=cached) == [-1.0, 1]
    assert Task.objects.count() == (0 if cached else 2)


@each_place
def test_a_failed_link_stops_the_rest_and_waiting_ends(cached):
    chain = Chain([(samples.give, (1,)), samples.fail, samples.give, samples.give], cached=cached)
    chain.sync = True
    chain.run()

    assert chain.result() == [1]
    assert kinds(chain.fetch()) == [1, "ValueError", "ChainStopped", "ChainStopped"]
    assert kinds(chain.fetch(failures=False)) == [1]
    assert chain.current() == 4


@each_place
def test_a_chain_may_go_on_after_a_failure(cached):
    chain = Chain(on_failure="continue", cached=cached, sync=True)
    chain.append(samples.fail)
    chain.append(samples.give, 2)
    chain.run()

    assert kinds(chain.fetch()) == ["ValueError", 2]


@each_place
def test_each_link_may_get_the_result_of_the_one_before(cached):
    chain = Chain(pass_result=True, cached=cached, sync=True)
    chain.append(samples.give, 10)
    chain.append(samples.grow)
    chain.append(samples.grow, step=5)
    chain.append(samples.pair, "second")
    chain.run()

    assert chain.result() == [10, 11, 16, [16, "second"]]


def test_after_a_failure_a_link_gets_none():
    chain = Chain([samples.fail, samples.grow], on_failure="continue", pass_result=True, sync=True)
    chain.run()

    assert kinds(chain.fetch()) == ["ValueError", 1]


def test_a_link_that_is_not_saved_is_followed_all_the_same():
    label = async_chain([(samples.give, (1,), {"save": False}), (samples.give, (2,))], sync=True)

    assert result_group(label) == [2]


def test_hooks_of_links_are_called_in_their_turn_those_of_stopped_ones_too():
    samples.heard.clear()
    hook = {"hook": samples.note}
    links = [(samples.give, (1,), hook), (samples.fail, (), hook), (samples.give, (2,), hook)]
    async_chain(links, sync=True)
    heard = kinds(samples.heard)
    samples.heard.clear()

    assert heard == [1, "ValueError", "ChainStopped"]


@pytest.mark.parametrize("stored", range(4))
def test_current_is_the_index_of_the_link_that_runs(broker, stored):
    chain = Chain(["m.f"] * 3, group="g", broker=broker)
    chain.run()
    for _ in range(stored):
        async_task(samples.give, 1, group="g", sync=True)

    assert chain.current() == stored


# Run again.


@each_place
@pytest.mark.parametrize("group", [None, "mine"])
def test_a_second_run_has_its_own_outcomes_alone(cached, group):
    chain = Chain(group=group, cached=cached, sync=True)
    chain.append(samples.give, 1)
    first = chain.run()
    chain.append(samples.give, 2)
    between = chain.started, chain.result(), list(chain.fetch()), chain.current()
    second = chain.run()
    third = chain.run()

    assert between == (False, [], [], None)
    assert (first == second == third) is (group is not None)
    assert chain.result() == [1, 2]
    assert len(fetch_group(third, cached=cached)) == 2


CHANGES = {
    "group": "other",
    "cached": True,
    "sync": False,
    "broker": CountingBroker(),
    "on_failure": "continue",
    "pass_result": True,
    "on_commit": True,
    "chain": [samples.pair],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_makes_the_results_void(name):
    chain = Chain([(samples.give, (1,))], sync=True)
    chain.run()
    before = chain.result()
    setattr(chain, name, CHANGES[name])

    assert before == [1]
    assert (chain.started, chain.result(), chain.fetch(), chain.current()) == (False, [], [], None)


@pytest.mark.parametrize(
    "change",
    [
        lambda links: links.append("m.f"),
        lambda links: links[0].append({"key": 1}),
        lambda links: links[0].__setitem__(1, [object()]),
        lambda links: links[0].__setitem__(1, 7),
        lambda links: links.pop(),
    ],
)
def test_a_change_of_a_link_in_its_place_makes_the_results_void(change):
    chain = Chain([[samples.give, [1]], (samples.give, (2,))], sync=True)
    chain.run()
    change(chain.chain)

    assert not chain.started


def test_a_run_that_is_refused_leaves_the_outcomes_of_the_one_before():
    chain = Chain([(samples.give, (1,))], group="mine", sync=True)
    chain.run()
    chain.append(lambda: 1)

    with pytest.raises(TaskRefused):
        chain.run()
    assert result_group("mine") == [1]
