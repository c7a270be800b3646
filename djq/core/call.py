"""How a call is pickled and found again: the function by reference, its arguments by value.

Only the caller pickles and only a worker unpickles: nobody between them may need the function's
module. What cannot be pickled, or could not be found again by a worker, is refused in the caller,
where the mistake is.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

from djq.exceptions import DjqError, TaskRefused

PATH_CHARACTERS_MAX = 256
PICKLE_PROTOCOL = 5

Function: TypeAlias = Callable[..., Any] | str
"""What the caller names: the function itself or its dotted path."""

Arguments: TypeAlias = tuple[Any, ...]
KeywordArguments: TypeAlias = dict[str, Any]


class ResultTooLarge(DjqError):
    """What the function returned is larger than `max_payload` allows; return a reference to it."""


class CallUnreadable(DjqError):
    """A worker cannot unpickle the call: it lacks what the caller passed, or has it otherwise."""


def dump_call(func: Function, args: Arguments, kwargs: Mapping[str, Any]) -> bytes:
    """Pickle a call.

    Raises:
        TaskRefused: The function or an argument cannot be pickled; the message says which.
    """
    try:
        return pickle.dumps((func, args, dict(kwargs)), PICKLE_PROTOCOL)
    except Exception as error:  # pickling runs the arguments' own code
        raise TaskRefused(_why_not(func, args, kwargs, error)) from error


def load_call(body: bytes) -> tuple[Function, Arguments, KeywordArguments]:
    """Unpickle a call: runs code that the caller chose, so only a worker does it.

    Raises:
        CallUnreadable: It cannot be unpickled here; the message is a sentence for the task's owner.
    """
    try:
        func, args, kwargs = pickle.loads(body)  # its signature was checked
    except CallUnreadable:
        # A call inside this one, as of a chain's link: it has said already what is wrong.
        raise
    except Exception as error:  # unpickling runs the arguments' own code
        raise CallUnreadable(
            f"the call cannot be unpickled ({type(error).__name__}: {error}); the worker must have "
            "the same code as the caller, with every class and function that was passed"
        ) from error
    return func, args, kwargs


def dump_value(value: object) -> bytes:
    """Pickle what a task returned.

    Raises:
        pickle.PicklingError: It cannot be pickled; the message is a sentence for the task's owner.
    """
    try:
        return pickle.dumps(value, PICKLE_PROTOCOL)
    except Exception as error:  # pickling runs the value's own code
        raise pickle.PicklingError(
            f"the function returned {_kind_of(value)}, which cannot be pickled ({error}); "
            "return plain values such as numbers, texts, lists and dicts"
        ) from error


def load_value(data: bytes) -> Any:
    """Unpickle what `dump_value` made."""
    return pickle.loads(data)  # written by our own worker


def load_text(data: bytes) -> str | None:
    """Read a pickled text, as of a failure, without running anything. None: it is something else."""
    try:
        found = _PlainUnpickler(io.BytesIO(data)).load()
    except Exception:  # noqa: BLE001 - what bytes may do to an unpickler is not listed anywhere
        return None
    return found if type(found) is str else None


class _PlainUnpickler(pickle.Unpickler):
    """Knows numbers, texts and their lists, and imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def func_path(func: object) -> str:
    """Give the dotted path that stands for a function in logs and lists.

    Raises:
        TaskRefused: Neither a callable nor a dotted path, or longer than 256 characters.
    """
    if isinstance(func, str):
        path = func
        if not is_dotted(path):
            raise TaskRefused(
                f"{path!r:.300} is no dotted path of a function; it must look like "
                "'package.module.function' (a builtin is written 'builtins.print')"
            )
    elif callable(func):
        path = _path_of(func)
    else:
        raise TaskRefused(
            f"{_kind_of(func)} cannot be called; give a function or its dotted path as text"
        )
    if len(path) > PATH_CHARACTERS_MAX:
        raise TaskRefused(
            f"the function's dotted path has {len(path)} characters, at most {PATH_CHARACTERS_MAX} "
            f"can be kept: {path!r:.300}"
        )
    return path


def is_dotted(path: str) -> bool:
    """Say whether a text could be the path of something in a module."""
    parts = path.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def resolve(path: str) -> Callable[..., Any]:
    """Find what a dotted path names: the longest prefix that is a module, then its attributes.

    Raises:
        ImportError: No such module; what a module raises while it is imported is raised as it is.
        AttributeError: The module has no such attribute.
        TypeError: What was found cannot be called.
    """
    if not is_dotted(path):
        raise ImportError(f"{path!r} is no dotted path such as 'package.module.function'")
    module, attributes = _import_longest(path.split("."))
    found: Any = module
    for attribute in attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise AttributeError(f"{path!r} cannot be found: {error}") from error
    if not callable(found):
        raise TypeError(f"{path!r} is {_kind_of(found)}, which cannot be called")
    return found  # type: ignore[no-any-return]  # the attribute of a module is any object


def _import_longest(parts: list[str]) -> tuple[object, list[str]]:
    missing: ModuleNotFoundError | None = None
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            # A module that exists and itself imports one that does not: that is the story to tell.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            missing = error
    raise ImportError(f"{'.'.join(parts)!r} cannot be found: {missing}") from missing


def _path_of(func: Callable[..., Any]) -> str:
    """Name a callable by where it was defined; one without a name (a partial, say) by its type."""
    named: Any = func if hasattr(func, "__qualname__") else type(func)
    # `str.upper` and `[].append` know their class or object, but no module.
    owner = getattr(named, "__objclass__", None) or type(getattr(named, "__self__", None))
    return f"{getattr(named, '__module__', None) or owner.__module__}.{named.__qualname__}"


def _kind_of(value: object) -> str:
    return f"an object of type {type(value).__qualname__!r}"


def _why_not(func: object, args: Arguments, kwargs: Mapping[str, Any], error: Exception) -> str:
    """Say which part of a call cannot be pickled, why, and what to do."""
    reason = _pickle_error(func)
    if reason is not None:
        return (
            f"{_path_of(func) if callable(func) else func!r:.300} cannot be queued: a worker finds "
            f"a function by its module and name, and this one cannot be found there ({reason}); "
            "use a function at the top of a module (no lambda, no function inside another)"
        )
    parts = [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    parts += [(f"argument {name}=", value) for name, value in kwargs.items()]
    for label, value in parts:
        reason = _pickle_error(value)
        if reason is not None:
            return (
                f"{label} is {_kind_of(value)}, which cannot be pickled ({reason}); "
                "pass plain values, or what the function needs to make it by itself"
            )
    return f"the call cannot be pickled ({type(error).__name__}: {error}); pass plain values"


def _pickle_error(value: object) -> str | None:
    try:
        pickle.dumps(value, PICKLE_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - pickling runs the value's own code
        return f"{type(error).__name__}: {error}"
    return None
