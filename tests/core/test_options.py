"""Holds the rules of options: which keywords they are, whose they are, and what they may be."""

from __future__ import annotations

import copy
import functools
import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.options import NO_OPTIONS, Options, split
from djq.exceptions import TaskRefused
from tests.core import call_samples as samples

NAMES = [field.name for field in attrs.fields(Options)]


class AnyBroker:
    def enqueue(self, task: str) -> None: ...


GOOD: dict[str, list[object]] = {
    "hook": ["hooks.print_result", "a.b.C.method", None],
    "group": ["math", "", "g" * 100, None],
    "save": [True, False, None],
    "timeout": [1, 0.001, 86_400 * 365, None],
    "sync": [True, False, None],
    "cached": [True, False, 60, 0.5, None],
    "broker": [AnyBroker(), None],
    "task_name": ["a", "n" * 100, "Größe 你好", None],
    "on_commit": [True, False, None],
    "max_attempts": [1, 10**6, None],
}

BAD: dict[str, list[object]] = {
    "hook": ["", "print", "a b.c", "m." + "h" * 255, 7, b"a.b", lambda task: task],
    "group": [7, b"g", "g" * 101, "a\0b", "\ud800"],
    "save": [1, 0, "yes"],
    "timeout": [0, -1, True, "30", math.inf, math.nan, 10**400],
    "sync": [1, "true"],
    "cached": [0, -1, "60", math.nan, math.inf],
    "broker": ["default", 7, AnyBroker, object()],
    "task_name": ["", 7, "n" * 101, "a\0b", "\ud800"],
    "on_commit": [1, 0],
    "max_attempts": [0, -3, 1.5, True, "3"],
}

good_options = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in GOOD.items()}
)
keywords = st.dictionaries(
    st.text().filter(lambda key: key not in [*NAMES, "q_options"]), st.none()
)


def each(cases: dict[str, list[object]]) -> list[tuple[str, object]]:
    return [(name, value) for name, values in cases.items() for value in values]


def test_every_option_has_its_examples():
    assert sorted(GOOD) == sorted(BAD) == sorted(NAMES)


def test_the_documented_options_are_options():
    documented = "hook group save timeout sync cached broker task_name on_commit max_attempts"

    assert sorted(NAMES) == sorted(documented.split())


@given(good_options, keywords)
def test_keywords_are_parted_into_options_and_the_rest(options, rest):
    found, left = split(options | rest)

    assert found == Options(**options)
    assert left == rest


@given(good_options, keywords | good_options)
def test_q_options_leaves_every_other_keyword_to_the_function(options, rest):
    found, left = split(rest | {"q_options": options})

    assert found == Options(**options)
    assert left == rest


def test_with_q_options_the_function_gets_keywords_that_are_called_like_options():
    found, left = split({"group": 7, "timeout": "soon", "q_options": {"task_name": "mine"}})

    assert found == Options(task_name="mine")
    assert left == {"group": 7, "timeout": "soon"}


def test_empty_q_options_are_given_all_the_same():
    assert split({"group": "mine", "q_options": {}}) == (NO_OPTIONS, {"group": "mine"})


def test_q_options_of_none_are_not_given():
    assert split({"group": "g", "q_options": None}) == (Options(group="g"), {})


@given(good_options, keywords)
def test_the_dicts_of_the_caller_are_never_changed(options, rest):
    given_keywords = rest | {"q_options": options, "group": "the function's"}
    before = copy.copy(given_keywords), copy.copy(options)

    _, left = split(given_keywords)
    left["more"] = 1

    assert (given_keywords, options) == before


@pytest.mark.parametrize(("name", "value"), each(GOOD))
def test_a_value_that_is_allowed_is_kept(name, value):
    for kwargs in ({name: value}, {"q_options": {name: value}}):
        assert getattr(split(kwargs)[0], name) == value


@pytest.mark.parametrize(("name", "value"), each(BAD))
def test_a_value_that_is_not_allowed_is_refused_by_name(name, value):
    for kwargs in ({name: value}, {"q_options": {name: value}}):
        with pytest.raises(TaskRefused, match=name):
            split(kwargs)


@pytest.mark.parametrize(
    ("key", "near"),
    [("grup", "group"), ("time_out", "timeout"), ("name", "task_name"), (7, ""), ("args", "")],
)
def test_an_unknown_key_in_q_options_is_refused_with_the_nearest_one(key, near):
    with pytest.raises(TaskRefused, match=rf"{key!r} in q_options .*did you mean '{near}"):
        split({"q_options": {key: 1}})


def test_q_options_cannot_hold_q_options():
    with pytest.raises(TaskRefused, match="'q_options' in q_options"):
        split({"q_options": {"q_options": {}}})


@pytest.mark.parametrize("q_options", [[("group", "g")], "group", 0, False])
def test_q_options_must_be_a_dict(q_options):
    with pytest.raises(TaskRefused, match="q_options"):
        split({"q_options": q_options})


@pytest.mark.parametrize(
    ("hook", "path"),
    [
        (math.floor, "math.floor"),
        (samples.add, f"{samples.__name__}.add"),
        (samples.Shelf, f"{samples.__name__}.Shelf"),
        (samples.Shelf.name, f"{samples.__name__}.Shelf.name"),
        (samples.Shelf.Drawer.open, f"{samples.__name__}.Shelf.Drawer.open"),
    ],
)
def test_a_hook_given_as_a_function_is_kept_as_its_path(hook, path):
    assert split({"hook": hook})[0].hook == path


@pytest.mark.parametrize(
    "hook",
    [
        lambda task: task,
        samples.hidden,
        samples.Stamp(),
        samples.Shelf().method,
        functools.partial(samples.add, 1),
        [].append,
    ],
)
def test_a_hook_that_its_path_does_not_find_again_is_refused(hook):
    with pytest.raises(TaskRefused, match=r"the hook .*top of a module"):
        split({"hook": hook})


def test_a_timeout_is_kept_as_a_float():
    assert isinstance(split({"timeout": 30})[0].timeout, float)
