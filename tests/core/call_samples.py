"""Functions and classes for the tests of calls: what a user's module may hold."""

from __future__ import annotations

import functools

NOT_CALLABLE = 3


def add(*numbers: int) -> int:
    return sum(numbers)


class Shelf:
    class Drawer:
        @staticmethod
        def open() -> str:
            return "open"

    @classmethod
    def name(cls) -> str:
        return cls.__name__

    def method(self) -> str:
        return "method"


class Stamp:
    """Callable, and without a name of its own."""

    def __call__(self) -> str:
        return "stamped"


class Refusing:
    """An argument whose own pickling code raises."""

    def __reduce__(self) -> str:
        raise ValueError("I stay here")


half_open = functools.partial(add, 1)


def shadowed() -> str:
    return "the hidden one"


hidden = shadowed


def shadowed() -> str:  # type: ignore[no-redef]
    return "the one that is found"
