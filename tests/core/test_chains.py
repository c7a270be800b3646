"""Holds what follows from a chain's link: the next one, or the failures of those that will never run."""

from __future__ import annotations

import pickle
from datetime import timedelta

import attrs
import pytest

from djq.core.call import dump_call, load_call
from djq.core.composition import hook_of, next_link, sends_next, stopped_links
from djq.core.frame import pack, unpack
from djq.core.message import Finished
from djq.core.settlement import failure, stopped_line, was_stopped, winners
from tests.core import chain_samples as samples
from tests.core.chain_samples import CHAIN, NOON, chain, failed, link, succeeded


@pytest.fixture(autouse=True)
def opened():
    samples.opened.clear()
    return samples.opened


def kept(*outcomes):
    return {finished.message.id: finished for finished in outcomes}


# The next link.


def test_a_link_is_followed_by_the_next_with_the_rest_inside():
    following = next_link(succeeded(chain(3)))

    assert (following.id, following.place, following.total) == (f"{1:032x}", 1, 3)
    assert unpack(following.rest).id == f"{2:032x}"


def test_nothing_follows_the_last_link():
    assert next_link(succeeded(chain(1))) is None
    assert list(stopped_links(failed(chain(1)))) == []


def test_the_next_link_was_asked_for_when_the_one_before_had_ended():
    assert next_link(succeeded(chain(2), after=7)).enqueued_at == NOON + timedelta(seconds=7)


@pytest.mark.parametrize("outcome", [succeeded, failed])
def test_links_keep_their_order_where_a_worker_s_clock_is_behind(outcome):
    behind = outcome(chain(3, goes_on=outcome is failed), after=-60)

    assert next_link(behind).enqueued_at == NOON


def test_stopped_links_keep_their_order_where_a_worker_s_clock_is_behind():
    stopped = stopped_links(failed(chain(3), after=-60))

    assert [one.message.enqueued_at for one in stopped] == [NOON, NOON]


def test_nothing_follows_a_failed_link_unless_the_chain_goes_on():
    assert next_link(failed(chain(2))) is None
    assert next_link(failed(chain(2, goes_on=True))).id == f"{1:032x}"


def test_links_get_no_result_of_another_unless_it_is_wanted():
    assert load_call(next_link(succeeded(chain(2))).body) == ("builtins.list", (), {})


@pytest.mark.parametrize("value", [0, None, "", [], ["a", 1]])
def test_a_result_is_handed_on_before_the_other_arguments(value):
    rest = link(1, body=dump_call("m.f", (1, 2), {"key": 3}), total=2)
    first = chain(2, hands_on=True)
    from_one = attrs.evolve(first, rest=pack(rest))

    following = next_link(succeeded(from_one, value))

    assert load_call(following.body) == ("m.f", (value, 1, 2), {"key": 3})


def test_after_a_failure_none_is_handed_on():
    following = next_link(failed(chain(2, hands_on=True, goes_on=True)))

    assert load_call(following.body) == ("builtins.list", (None,), {})


@pytest.mark.parametrize("value", [samples.Trap("result"), samples.Broken()])
def test_a_result_that_is_handed_on_is_not_opened_on_the_way(value, opened):
    next_link(succeeded(chain(2, hands_on=True), value))

    assert opened == []


# Links that will never run.


def test_each_link_after_a_failed_one_fails_and_says_which_one_it_was():
    first = chain(3)
    stopped = list(stopped_links(failed(first)))
    line = f"ChainStopped: not run, since link 1 of 3 (builtins.list, task {0:032x}) failed"

    assert [one.message.id for one in stopped] == [f"{1:032x}", f"{2:032x}"]
    assert [pickle.loads(one.outcome.value) for one in stopped] == [line, line]
    assert {one.outcome.success for one in stopped} == {False}
    assert {one.attempt for one in stopped} == {0}
    assert {one.message.rest for one in stopped} == {b""}
    assert all(one.outcome.stopped_at == NOON + timedelta(seconds=1) for one in stopped)


def test_no_link_is_stopped_after_a_success_or_where_the_chain_goes_on():
    assert list(stopped_links(succeeded(chain(3)))) == []
    assert list(stopped_links(failed(chain(3, goes_on=True)))) == []


def test_the_hook_of_a_link_carries_its_outcome_and_not_the_rest_of_the_chain():
    hook = hook_of(succeeded(chain(2, hook="app.hooks.done")))
    (stopped,) = stopped_links(failed(chain(2, hook="app.hooks.done")))

    assert pickle.loads(hook.body).message.rest == b""
    assert pickle.loads(hook_of(stopped).body) == stopped


def test_a_failure_that_was_never_run_is_told_from_one_that_was():
    (stopped,) = stopped_links(failed(chain(2)))
    same_line = failed(chain(1), stopped_line(chain(2)))

    assert was_stopped(stopped)
    assert not was_stopped(failed(chain(1), attempt=0))
    assert not was_stopped(same_line), "a task may raise what it likes"
    assert not was_stopped(succeeded(chain(1), stopped_line(chain(2)), attempt=0))


# Whether the next link has to be sent.


def sends(*before, sent=0):
    following = link(1, chain=CHAIN)
    return sends_next(following, kept(*before), {CHAIN: sent} if sent else {})


def test_a_link_of_which_nothing_is_known_is_sent():
    assert sends()
    assert sends(succeeded(link(0)))
    assert sends(sent=1)


@pytest.mark.parametrize("outcome", [succeeded, failed])
def test_a_link_that_has_run_is_not_sent_again(outcome):
    assert not sends(outcome(link(1)))


def test_a_link_that_was_stopped_is_sent_when_the_one_before_succeeds_after_all():
    stopped = Finished(link(1), failure(stopped_line(chain(2)), NOON), attempt=0)

    assert sends(failed(link(0)), stopped)


@pytest.mark.parametrize("sent", [2, 3])
def test_a_link_that_was_sent_is_not_sent_again(sent):
    assert not sends(sent=sent)


# Of one task twice.


def test_of_one_task_the_first_success_wins_otherwise_the_last_failure():
    a, b = link(1), link(2)
    first, second = succeeded(a, 1), succeeded(a, 2)
    early, late = failed(b, "E: 1"), failed(b, "E: 2")

    assert winners([late, early, failed(a), first, second, failed(a)]) == [first, early]
    assert winners([early, late]) == [late]
    assert winners([]) == []
