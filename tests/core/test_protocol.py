"""Holds that every word between boxes survives its way through a pipe."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from djq.core import protocol
from djq.core.message import ERROR_CHARACTERS_MAX, Outcome, cut, first_line
from djq.core.protocol import (
    Assign,
    Credit,
    Deliveries,
    Delivery,
    Empty,
    FuncTotal,
    Health,
    Keep,
    Kept,
    Probe,
    Ready,
    Renew,
    Renewed,
    Report,
    Restarts,
    Retire,
    Returned,
    Running,
    Settled,
    Started,
    Stop,
    StopLevel,
    Verdict,
    Word,
)
from djq.core.tally import Count

DELIVERY = Delivery("a" * 32, "name", "math.modf", 1.5, None, "r1", 2, b"frame")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOME = Outcome(False, b"value", "trace", MOMENT, 0.25)
RUNNING = Running("a" * 32, "name", "math.modf", 7, MOMENT, 2)
TOTAL = FuncTotal("math.modf", 2, 1, 0.75, (1, 2))
WORDS = [
    DELIVERY,
    Settled(1, DELIVERY, Verdict.SAVE, OUTCOME),
    Stop(StopLevel.HASTY),
    Ready(7),
    Credit(-3),
    Probe(1),
    Empty(1),
    Deliveries((DELIVERY,)),
    Assign(((1, DELIVERY),)),
    Started(1),
    Returned(1, OUTCOME),
    Retire("too large"),
    Keep((Settled(1, DELIVERY, Verdict.HAND_BACK, None),)),
    Kept((1, 2)),
    Renew(("r1",)),
    Renewed((("r1", "r2"),)),
    Health(broker=MOMENT),
    RUNNING,
    TOTAL,
    Restarts(1, 2, 3, 4, 5, 6),
    Report(
        "WORKING", True, (("worker", 7),), 0, 0, 0, False, (RUNNING,), Count(2, 1), counted=(TOTAL,)
    ),
]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_a_word_comes_out_as_it_went_in(word):
    assert pickle.loads(pickle.dumps(word, 5)) == word


def test_no_word_is_left_out_here():
    defined = {kind for kind in vars(protocol).values() if isinstance(kind, type)}

    assert {kind for kind in defined if issubclass(kind, Word)} - {Word} == set(map(type, WORDS))


@pytest.mark.parametrize("length", [0, 1, ERROR_CHARACTERS_MAX])
def test_a_text_within_its_bound_is_left_alone(length):
    assert cut("x" * length, ERROR_CHARACTERS_MAX) == "x" * length


def test_a_text_beyond_its_bound_keeps_both_its_ends():
    text = cut("first" + "x" * 5_000 + "last", ERROR_CHARACTERS_MAX)

    assert len(text) <= ERROR_CHARACTERS_MAX
    assert text.startswith("first")
    assert text.endswith("last")
    assert "4009 characters left out" in text


@pytest.mark.parametrize(
    ("text", "line"),
    [("", ""), ("short", "short"), ("a\0b", "a\\x00b"), ("longer", "longe…"), ("one\ntwo", "one…")],
)
def test_a_first_line_says_when_there_is_more(text, line):
    assert first_line(text, 5 if "\0" not in text else 9) == line
