"""Holds how the outcomes of an iter's elements become one."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from djq.core.call import dump_call, load_call, load_value
from djq.core.gathering import (
    CALL_BYTES_MAX,
    TRACEBACKS_MAX,
    element_of,
    gather,
    lost_element,
    oversized_iter,
    refused_iter,
)
from djq.core.joined import ElementFailed
from djq.core.message import TRACEBACK_CHARACTERS_MAX
from tests.core.chain_samples import NOON, failed, link, succeeded

ITER = "a" * 32


def message(place, total, **changes):
    own = {"iter": ITER, "total": total, "group": "letters", "name": "the-iter", "save": True}
    return link(place, body=dump_call("m.f", (place,), {"key": 1}), **{**own, **changes})


def gathered(*outcomes):
    return gather(outcomes[-1].message, [element_of(finished) for finished in outcomes])


def successes(count):
    return [succeeded(message(place, count), place) for place in range(count)]


def test_successes_become_one_with_the_list_of_results():
    whole = gathered(*successes(3))
    finished = whole.finished

    assert finished.outcome.success
    assert load_value(finished.outcome.value) == [0, 1, 2]
    assert (finished.outcome.traceback, whole.line) == ("", "")


def test_the_whole_has_the_id_of_the_iter_and_its_options():
    first = message(0, 1, cached=60.0, timeout=3, max_attempts=2)
    whole = gathered(succeeded(first)).finished.message

    assert (whole.id, whole.name, whole.group) == (ITER, "the-iter", "letters")
    assert (whole.save, whole.cached, whole.place) == (True, 60.0, 0)
    assert (whole.iter, whole.total, whole.enqueued_at) == (None, 1, NOON)


def test_the_whole_has_the_arguments_of_all():
    whole = gathered(*successes(3)).finished.message

    assert load_call(whole.body) == ("builtins.list", ((0,), (1,), (2,)), {"key": 1})


def test_the_whole_ended_with_its_last_element():
    ends = [succeeded(message(place, 3), after=after) for place, after in enumerate((5, 9, 1))]

    assert gathered(*ends).finished.outcome.stopped_at == NOON + timedelta(seconds=9)


def test_the_delivery_that_was_the_last_leaves_no_trace():
    ends = [succeeded(message(place, 2), attempt=place + 1) for place in range(2)]
    elements = [element_of(one) for one in ends]

    assert gather(ends[0].message, elements) == gather(ends[1].message, elements)


def test_one_failed_element_makes_the_whole_a_failure_with_every_outcome():
    ends = successes(4)
    ends[1], ends[3] = failed(ends[1].message, "E: one"), failed(ends[3].message, "E: three")
    whole = gathered(*ends)

    assert not whole.finished.outcome.success
    assert load_value(whole.finished.outcome.value) == [0, "E: one", 2, "E: three"]
    assert isinstance(load_value(whole.finished.outcome.value)[3], ElementFailed)
    assert whole.line == "2 of 4 elements failed; element 1: E: one"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_element_that_failed_at_any_place_makes_the_whole_a_failure(place):
    ends = successes(3)
    ends[place] = failed(ends[place].message)

    assert not gathered(*ends).finished.outcome.success


def test_tracebacks_are_kept_with_their_elements():
    ends = [succeeded(message(0, 3)), failed(message(1, 3)), failed(message(2, 3), traceback="")]

    assert gathered(*ends).finished.outcome.traceback == "Element 1:\nTraceback: no"


@pytest.mark.parametrize("count", [1, 3, TRACEBACKS_MAX, 40])
def test_tracebacks_have_their_bound_together(count):
    long = "x" * (TRACEBACK_CHARACTERS_MAX + 5)
    ends = [failed(message(place, count), traceback=long) for place in range(count)]
    traceback = gathered(*ends).finished.outcome.traceback

    assert 0.9 * TRACEBACK_CHARACTERS_MAX < len(traceback) <= TRACEBACK_CHARACTERS_MAX
    assert traceback.count("Element ") == min(count, TRACEBACKS_MAX)
    assert f"Element {min(count, TRACEBACKS_MAX) - 1}:" in traceback


def test_arguments_that_are_too_much_together_are_left_out():
    size = CALL_BYTES_MAX // 2
    ends = [
        succeeded(link(place, body=b"x" * (size + 1), iter=ITER, total=2)) for place in range(2)
    ]

    assert [element_of(one).body for one in ends] == [b"", b""]
    assert gathered(*ends).finished.message.body == b""


def test_an_element_that_was_lost_is_a_failure_in_its_place():
    first = succeeded(message(0, 2), "there")
    whole = gather(first.message, [element_of(first), lost_element(1, NOON)])

    assert load_value(whole.finished.outcome.value)[1].startswith("ResultLost: ")
    assert whole.finished.message.body == b""
    assert whole.line.startswith("1 of 2 elements failed; element 1: ResultLost")


def test_a_whole_that_is_refused_is_a_failure_that_says_so():
    refused = refused_iter(gathered(*successes(2)), ValueError("too large"))
    outcome = refused.finished.outcome

    assert not outcome.success
    assert pickle.loads(outcome.value) == refused.line
    assert refused.line == (
        "StoreRefused: the results of all elements could not be saved together: too large"
    )
    assert (refused.finished.message.id, refused.finished.message.body) == (ITER, b"")


def test_results_that_are_too_large_together_are_a_failure_that_says_how_large():
    one = message(0, 7)

    whole = oversized_iter(one, 2_000_000, 1_000_000, NOON)

    assert (whole.finished.message.id, whole.finished.message.body) == (ITER, b"")
    assert load_value(whole.finished.outcome.value) == whole.line
    assert whole.line.startswith(
        "ResultTooLarge: the results of all 7 elements have 2,000,000 bytes together, more than the "
        "1,000,000 that max_payload"
    )
