"""Holds the pickled call: what can be queued, what is refused and why, and how a path is found."""

from __future__ import annotations

import functools
import math
import pickle
import threading
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djq.core.call import (
    dump_call,
    dump_value,
    func_path,
    load_call,
    load_text,
    load_value,
    resolve,
)
from djq.exceptions import TaskRefused
from djq_testing.strategies import values
from tests.core import call_samples as samples

SAMPLES = samples.__name__


@given(st.lists(values(), max_size=4).map(tuple), st.dictionaries(st.text(), values(), max_size=4))
def test_a_call_comes_back_as_it_was_given(args, kwargs):
    assert load_call(dump_call("math.copysign", args, kwargs)) == ("math.copysign", args, kwargs)


@pytest.mark.parametrize(
    "func",
    [math.copysign, samples.add, samples.Shelf, samples.Shelf.name, samples.Shelf.Drawer.open],
)
def test_a_function_comes_back_as_the_same_one(func):
    found, _, _ = load_call(dump_call(func, (), {}))

    assert found == func


@pytest.mark.parametrize(
    "func", [samples.half_open, samples.Stamp(), samples.Shelf().method, "text".upper]
)
def test_a_callable_that_pickles_by_value_is_taken(func):
    found, args, kwargs = load_call(dump_call(func, (), {}))

    assert found(*args, **kwargs) == func()


def test_a_function_is_pickled_by_reference():
    body = dump_call(samples.add, (1,), {})

    assert SAMPLES.encode() in body
    assert len(body) < 100


def a_nested_function():
    def nested():
        return 1

    return nested


@pytest.mark.parametrize(
    "func", [lambda: 1, a_nested_function(), samples.hidden, functools.partial(lambda: 1)]
)
def test_a_function_that_cannot_be_found_again_is_refused_with_the_way_out(func):
    with pytest.raises(TaskRefused, match=r"cannot be queued.*top of a module"):
        dump_call(func, (), {})


def test_the_refusal_of_a_lambda_names_it_and_its_module():
    with pytest.raises(TaskRefused, match=r"test_call\.test_the_refusal.*<lambda>"):
        dump_call(lambda: 1, (), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "label"),
    [
        ((1, threading.Lock()), {}, r"argument 2 is an object of type 'lock'"),
        ((), {"a": 1, "numbers": (n for n in ())}, r"argument numbers= .*'generator'"),
        ((lambda: 1,), {}, r"argument 1 is an object of type 'function'"),
        ((samples.Refusing(),), {}, r"argument 1 .*'Refusing'.*I stay here"),
    ],
)
def test_an_argument_that_cannot_be_pickled_is_named(args, kwargs, label):
    with pytest.raises(TaskRefused, match=label):
        dump_call("math.modf", args, kwargs)


def test_an_endless_argument_is_refused():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(TaskRefused, match="RecursionError"):
        dump_call("math.modf", (deep,), {})

    # Taken apart from outside, since the interpreter would recurse as deep as pickle did.
    while deep:
        deep = deep.pop()


def test_a_refusal_does_not_show_the_value_of_an_argument():
    with pytest.raises(TaskRefused) as refusal:
        dump_call("math.modf", ("a secret", threading.Lock()), {"password": "another"})

    assert "secret" not in str(refusal.value)
    assert "another" not in str(refusal.value)


@given(values())
def test_a_value_comes_back_as_it_was(value):
    assert load_value(dump_value(value)) == value


@pytest.mark.parametrize("value", [threading.Lock(), (n for n in ()), samples.Refusing()])
def test_a_value_that_cannot_be_pickled_says_what_to_return(value):
    with pytest.raises(pickle.PicklingError, match=r"the function returned .* return plain values"):
        dump_value(value)


@pytest.mark.parametrize(
    ("func", "path"),
    [
        ("math.copysign", "math.copysign"),
        ("pkg.mod.Class.method", "pkg.mod.Class.method"),
        (math.copysign, "math.copysign"),
        (print, "builtins.print"),
        (samples.add, f"{SAMPLES}.add"),
        (samples.Shelf, f"{SAMPLES}.Shelf"),
        (samples.Shelf.name, f"{SAMPLES}.Shelf.name"),
        (samples.Shelf().method, f"{SAMPLES}.Shelf.method"),
        (samples.Shelf.Drawer.open, f"{SAMPLES}.Shelf.Drawer.open"),
        (samples.Stamp(), f"{SAMPLES}.Stamp"),
        (samples.half_open, "functools.partial"),
        (str.upper, "builtins.str.upper"),
        (datetime.isoformat, "datetime.datetime.isoformat"),
        ([].append, "builtins.list.append"),
    ],
)
def test_a_function_has_a_dotted_path(func, path):
    assert func_path(func) == path


@pytest.mark.parametrize(
    "func",
    ["", "print", "math.", ".math", "math..modf", "math modf", "math.mo df", "a.1b", "f.g()"],
)
def test_a_text_that_is_no_dotted_path_is_refused(func):
    with pytest.raises(TaskRefused, match=r"no dotted path.*package\.module\.function"):
        func_path(func)


@pytest.mark.parametrize("func", [None, 7, b"math.modf", ["math.modf"], {}])
def test_what_cannot_be_called_is_refused(func):
    with pytest.raises(TaskRefused, match="cannot be called"):
        func_path(func)


def test_a_path_too_long_to_keep_is_refused():
    assert func_path("m." + "f" * 254)

    with pytest.raises(TaskRefused, match="257 characters, at most 256"):
        func_path("m." + "f" * 255)


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("math.copysign", math.copysign),
        ("os.path.join", __import__("os").path.join),
        ("builtins.print", print),
        ("builtins.str.upper", str.upper),
        (f"{SAMPLES}.add", samples.add),
        (f"{SAMPLES}.Shelf", samples.Shelf),
        (f"{SAMPLES}.Shelf.name", samples.Shelf.name),
        (f"{SAMPLES}.Shelf.Drawer.open", samples.Shelf.Drawer.open),
    ],
)
def test_a_path_is_found_through_modules_and_attributes(path, function):
    assert resolve(path) == function


@pytest.mark.parametrize("path", ["nowhere_at_all.function", "my.buggy.code"])
def test_a_missing_module_is_an_import_error_that_names_path_and_module(path):
    with pytest.raises(ImportError, match=rf"'{path}' cannot be found: "):
        resolve(path)


@pytest.mark.parametrize("path", ["math.nothing", "djq.nothing.f.g", f"{SAMPLES}.Nothing.open"])
def test_a_missing_attribute_is_an_attribute_error_that_names_the_path(path):
    with pytest.raises(AttributeError, match=rf"'{path}' cannot be found: .*'(nothing|Nothing)'"):
        resolve(path)


def test_a_module_that_fails_to_import_shows_its_own_error():
    with pytest.raises(ModuleNotFoundError) as failure:
        resolve("tests.core.broken_samples.never_reached")

    assert failure.value.name == "a_module_that_does_not_exist"
    assert "cannot be found" not in str(failure.value)


@pytest.mark.parametrize("path", [f"{SAMPLES}.NOT_CALLABLE", "math.pi"])
def test_what_a_path_names_must_be_callable(path):
    with pytest.raises(TypeError, match=rf"'{path}' .*cannot be called"):
        resolve(path)


@pytest.mark.parametrize("path", ["", "print", "..f", "os.path."])
def test_a_malformed_path_is_an_import_error(path):
    with pytest.raises(ImportError, match="no dotted path"):
        resolve(path)


class Fickle:
    """Pickles at the second try."""

    tries = 0

    def __reduce__(self):
        self.tries += 1
        if self.tries == 1:
            raise ValueError("not yet")
        return (Fickle, ())


def test_a_call_that_cannot_be_pickled_for_no_part_s_fault_is_refused_all_the_same():
    with pytest.raises(TaskRefused, match=r"the call cannot be pickled \(ValueError: not yet\)"):
        dump_call("math.floor", (Fickle(),), {})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (dump_value("ValueError: told to"), "ValueError: told to"),
        (dump_value(7), None),
        (dump_value(math.floor), None),
        (dump_value(datetime(2026, 11, 29)), None),  # noqa: DTZ001 - it only has to be imported
        (b"", None),
        (b"no pickle", None),
    ],
)
def test_a_text_is_read_and_nothing_else_is_opened(data, text):
    assert load_text(data) == text
