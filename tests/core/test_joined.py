"""Holds the pickles made of pickles: they stay shut until somebody reads the whole."""

from __future__ import annotations

import pickle

import pytest

from djq.core.call import CallUnreadable, dump_call, load_call, load_value
from djq.core.gathering import Element, gather
from djq.core.joined import ElementFailed, join_calls, join_values, with_first_argument
from tests.core import chain_samples as samples
from tests.core.chain_samples import NOON, Broken, Trap, link


@pytest.fixture(autouse=True)
def opened():
    samples.opened.clear()
    return samples.opened


def test_results_become_one_list_in_their_order():
    joined = join_values([(True, pickle.dumps(value)) for value in (3, None, [1], "text")])

    assert load_value(joined) == [3, None, [1], "text"]
    assert load_value(join_values([])) == []


def test_the_line_of_a_failed_element_is_a_text_of_its_own_kind():
    joined = join_values([(True, pickle.dumps("E: no")), (False, pickle.dumps("E: no"))])
    returned, line = load_value(joined)

    assert returned == line == "E: no"
    assert (type(returned), type(line)) == (str, ElementFailed)
    assert repr(line) == "<failed: E: no>"


def test_a_list_with_a_failed_element_can_be_pickled_on():
    line = ElementFailed("E: no")

    assert pickle.loads(pickle.dumps(line)) == line
    assert type(pickle.loads(pickle.dumps(line))) is ElementFailed


def test_calls_become_one_whose_arguments_are_theirs():
    bodies = [dump_call("m.f", (number, -number), {"key": 1}) for number in range(3)]

    assert load_call(join_calls("m.f", bodies)) == (
        "m.f",
        ((0, 0), (1, -1), (2, -2)),
        {"key": 1},
    )
    assert load_call(join_calls("m.f", [])) == ("m.f", (), {})


def test_a_first_argument_comes_before_the_others():
    body = with_first_argument(pickle.dumps("first"), dump_call("m.f", (1,), {"key": 2}))

    assert load_call(body) == ("m.f", ("first", 1), {"key": 2})


def join(value):
    data = pickle.dumps(value)
    return join_values([(True, data), (False, data)])


def hand_on(value):
    return with_first_argument(pickle.dumps(value), dump_call("m.f", (value,), {}))


def call(value):
    return join_calls("m.f", [dump_call("m.f", (value,), {})])


def collate(value):
    data = pickle.dumps(value)
    elements = [Element(0, True, data, dump_call("m.f", (value,), {}), "", NOON)]
    return gather(link(0, iter="a" * 32, total=1), elements).finished.outcome.value


@pytest.mark.parametrize("make", [join, hand_on, call, collate])
def test_what_is_joined_is_opened_by_its_reader_alone(make, opened):
    joined = make(Trap("inside"))
    before = list(opened)
    pickle.loads(joined)

    assert before == []
    assert set(opened) == {"inside"}


@pytest.mark.parametrize("make", [join, hand_on, call, collate])
def test_what_does_not_open_fails_its_reader_alone(make):
    joined = make(Broken())

    with pytest.raises((RuntimeError, CallUnreadable), match="does not open"):
        pickle.loads(joined)


def test_a_handed_on_result_that_does_not_open_is_told_once():
    body = with_first_argument(pickle.dumps(None), dump_call("m.f", (Broken(),), {}))

    with pytest.raises(CallUnreadable) as caught:
        load_call(body)

    assert str(caught.value).count("cannot be unpickled") == 1
