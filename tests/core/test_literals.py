"""Arguments as text: what comes back, what is refused, and that nothing is ever evaluated."""

from __future__ import annotations

import datetime
import decimal
import enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.literals import read_args, read_keywords, write_args, write_keywords
from djq.exceptions import ScheduleRefused


class Colour(enum.IntEnum):
    RED = 1


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.binary() | st.complex_numbers(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)  # fmt: skip


def keywords(text):
    return read_keywords("kwargs", text)


@given(st.lists(plain, max_size=4))
def test_args_come_back_as_they_were(args):
    assert read_args(write_args(tuple(args))) == tuple(args)


@given(st.dictionaries(st.text() | st.sampled_from(["x", "class", "é"]), plain, max_size=3))
def test_keywords_come_back_as_they_were(kwargs):
    assert keywords(write_keywords("kwargs", kwargs)) == kwargs


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("2,-2", (2, -2)),
        ("(2, -2)", (2, -2)),
        (" 'clearsessions' ", ("clearsessions",)),
        ("[1, 2]", ([1, 2],)),
        ("(1, 2),", ((1, 2),)),
        ("", ()),
        (" \n", ()),
        ("()", ()),
    ],
)
def test_documented_forms_of_args(text, args):
    assert read_args(text) == args


@pytest.mark.parametrize("text", ["x=1, y=2", "{'x': 1, 'y': 2}", " x=1,\n y=2, # so be it"])
def test_documented_forms_of_keywords(text):
    assert keywords(text) == {"x": 1, "y": 2}


def test_documented_forms_are_written():
    assert write_args((2, -2)) == "2, -2"
    assert write_args(("clearsessions",)) == "'clearsessions'"
    assert write_args(()) == write_keywords("kwargs", {}) == ""
    assert write_keywords("kwargs", {"x": 1, "y": "b"}) == "x=1, y='b'"
    assert write_keywords("kwargs", {"class": 1, "y": "b"}) == "{'class': 1, 'y': 'b'}"


EVIL = [
    '__import__("os").system("true")',
    "x",
    "open('x')",
    "f'{1}'",
    "[x for x in (1,)]",
    "lambda: 1",
    "1 + 1",
    "2 ** 9",
    "'a' * 9",
    "1\0",
    "1;2",
    "\ud800",
    "(" * 90_000,
    "-" * 90_000 + "1",
    "[-" * 40_000,
    "1+" * 45_000 + "1",
    "a." * 30_000 + "b",
    "not " * 20_000 + "1",
    "1 if 1 else " * 8_000 + "1",
    "lambda:" * 14_000 + "1",
    "9" * 90_000,
    "1or " * 20_000 + "1",
    "{" * 40 + "1" + "}" * 40,
    "'" * 99_999,
    "1," * 600_000,
]


@pytest.mark.parametrize("text", EVIL, ids=[f"{text[:12]}-{len(text)}" for text in EVIL])
@pytest.mark.parametrize("form", ["{}", "x={}", "{{'x': {}}}"])
def test_what_is_no_literal_is_refused(form, text):
    with pytest.raises(ScheduleRefused, match=r"cannot be read|longer than"):
        (read_args if form == "{}" else keywords)(form.format(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1)+(2", "no list of keywords"),
        ("x=1)(y=2", "no list of keywords"),
        ("1, 2", "no list of keywords"),
        ("**{'x': 1}", "unpacks"),
        ("x=1, x=2", "twice"),
        ("{1: 2}", "keys must be texts"),
        ("{'x': 1}, 2", "keys must be texts"),
        ("x", "no list of keywords"),
    ],
)
def test_other_expressions_are_no_keywords(text, why):
    with pytest.raises(ScheduleRefused, match=why):
        keywords(text)


@pytest.mark.parametrize(
    "value",
    [
        datetime.date(2026, 1, 1),
        decimal.Decimal(1),
        float("nan"),
        float("inf"),
        frozenset({1}),
        Colour.RED,
        object(),
        [{"deep": print}],
        10**4_100,
    ],
)
def test_what_has_no_literal_form_is_refused(value):
    with pytest.raises(ScheduleRefused, match="argument 1"):
        write_args((value,))
    with pytest.raises(ScheduleRefused, match="kwargs x="):
        write_keywords("kwargs", {"x": value})


def test_what_is_too_long_to_be_read_is_not_written():
    with pytest.raises(ScheduleRefused, match="150,002 characters"):
        write_args(("a" * 150_000,))


def test_what_is_too_deep_to_be_read_is_not_written():
    deep = []
    for _ in range(100):
        deep = [deep]

    with pytest.raises(ScheduleRefused, match="nested"):
        write_args((deep,))
