"""Pickles made of other pickles, which stay unopened until somebody reads the whole.

A monitor never unpickles what a task was given or what it returned. It can still put the results of
an iter's elements into one list, and hand one link's result to the next: what it writes is a pickle
that says "open these, and put them together so". The opening is done by whoever loads it, a worker
or the caller of `result`.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from djq.core.call import (
    PICKLE_PROTOCOL,
    Arguments,
    Function,
    KeywordArguments,
    load_call,
    load_value,
)


class ElementFailed(str):
    """The line that says why an element of an iter failed, in its place in the list of results.

    It is a text, and its class tells it from a text that an element returned.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<failed: {self}>"


class _Later:
    """Stands for what a function gives, and pickles as the call of it."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self._call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def join_values(outcomes: Sequence[tuple[bool, bytes]]) -> bytes:
    """Pickle the list of results, given whether each is a success and its own pickle."""
    return _dump(_Later(_load_values, tuple(outcomes)))


def join_calls(func: str, bodies: Sequence[bytes]) -> bytes:
    """Pickle one call for many of one function: its arguments are theirs, each in a tuple."""
    return _dump(_Later(_load_calls, func, tuple(bodies)))


def with_first_argument(value: bytes, body: bytes) -> bytes:
    """Pickle a call that has one argument more, before the others."""
    return _dump(_Later(_load_with_first, value, body))


def _dump(value: object) -> bytes:
    return pickle.dumps(value, PICKLE_PROTOCOL)


def _load_values(outcomes: Sequence[tuple[bool, bytes]]) -> list[Any]:
    return [
        load_value(value) if success else ElementFailed(load_value(value))
        for success, value in outcomes
    ]


def _load_calls(func: str, bodies: Sequence[bytes]) -> tuple[Function, Arguments, KeywordArguments]:
    calls = [load_call(body) for body in bodies]
    return func, tuple(args for _, args, _ in calls), calls[0][2] if calls else {}


def _load_with_first(value: bytes, body: bytes) -> tuple[Function, Arguments, KeywordArguments]:
    func, args, kwargs = load_call(body)
    return func, (load_value(value), *args), kwargs
