"""Decides which keywords of an enqueue call are options and which belong to the function.

Without `q_options` the option names are options wherever they appear. With `q_options` every option
comes from it alone, and all other keywords are the function's own, also those that are called like
an option: that is what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from math import inf
from typing import Any

import attrs

from djq.core.call import PATH_CHARACTERS_MAX, func_path, is_dotted, resolve
from djq.exceptions import TaskRefused

LABEL_CHARACTERS_MAX = 100


@attrs.frozen(kw_only=True)
class Options:
    """What the caller of one task wants beside the call; None everywhere: as configured."""

    hook: str | None = None
    """Dotted path of the function to call with the finished task. None: no hook."""

    group: str | None = None
    """Label of a group of tasks, at most 100 characters. None: no group."""

    save: bool | None = None
    """Whether a success is kept. None: as `save_limit` says."""

    timeout: float | None = None
    """Seconds that one run may take, above 0. None: the cluster's own timeout."""

    sync: bool | None = None
    """Whether the call runs here and now. None: as configured."""

    cached: bool | float | None = None
    """Whether the result goes to the cache, or for how many seconds. None: as configured."""

    broker: Any = None
    """The broker to send by. None: this process' own."""

    task_name: str | None = None
    """Name of the task, 1 to 100 characters. None: four words made from its id."""

    on_commit: bool | None = None
    """Whether it is sent when the transaction commits. None: as configured."""

    max_attempts: int | None = None
    """Deliveries without an outcome before it is recorded as failed. None: as configured."""


Q_OPTIONS = "q_options"
NO_OPTIONS = Options()
OF_THE_ROAD = ("sync", "broker", "on_commit")
"""Options that say how tasks leave the process: one answer for all that are sent together."""


def split(kwargs: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Give the options of an enqueue call, and the keywords that are left for the function.

    Raises:
        TaskRefused: An option has a value that is not allowed, or `q_options` a key.
    """
    rest = dict(kwargs)
    q_options = rest.pop(Q_OPTIONS, None)
    if q_options is None:
        given = {key: rest.pop(key) for key in kwargs if key in _RULES}
    elif isinstance(q_options, Mapping):
        given = dict(q_options)
        for key in given:
            if key not in _RULES:
                raise _unknown(key)
    else:
        raise _refused(Q_OPTIONS, q_options, "a dict of options")
    if not given:
        return NO_OPTIONS, rest
    checked: dict[str, Any] = {
        key: _RULES[key](key, value) for key, value in given.items() if value is not None
    }
    return Options(**checked), rest


def _unknown(key: object) -> TaskRefused:
    near = get_close_matches(str(key), _RULES, n=1, cutoff=0.0)[0]
    return TaskRefused(
        f"{key!r:.100} in q_options is no option; did you mean {near!r}? The options are: "
        f"{', '.join(_RULES)}. The function's own keywords go beside q_options, not into it"
    )


def _refused(key: str, value: object, allowed: str) -> TaskRefused:
    return TaskRefused(f"the option {key} is {value!r:.100}; it must be {allowed}, or left out")


def _hook(key: str, value: object) -> str:
    if isinstance(value, str):
        if not is_dotted(value) or len(value) > PATH_CHARACTERS_MAX:
            allowed = f"a dotted path of at most {PATH_CHARACTERS_MAX} characters, or a function"
            raise _refused(key, value, allowed)
        return value
    if not callable(value):
        raise _refused(key, value, "a function or its dotted path")
    path = func_path(value)
    try:
        found = resolve(path)
    except (ImportError, AttributeError, TypeError):
        found = None
    # Two takes of one class method are equal and not identical.
    if found is None or found != value:
        raise TaskRefused(
            f"the hook {path!r} cannot be found again by its module and name; use a function at "
            "the top of a module (no lambda, no function inside another, no method of an object)"
        )
    return path


def _label(key: str, value: object) -> str:
    allowed = f"a text of at most {LABEL_CHARACTERS_MAX} characters"
    if not isinstance(value, str) or len(value) > LABEL_CHARACTERS_MAX:
        raise _refused(key, value, allowed)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise _refused(key, value, f"{allowed}, without NUL characters and lone surrogates")
    return value


def _task_name(key: str, value: object) -> str:
    if value == "":
        raise _refused(key, value, f"a text of 1 to {LABEL_CHARACTERS_MAX} characters")
    return _label(key, value)


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refused(key, value, "True or False")
    return value


def _seconds(key: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < inf:
        try:
            return float(value)
        except OverflowError:
            pass
    raise _refused(key, value, "a number of seconds above 0")


def _cached(key: str, value: object) -> bool | float:
    if isinstance(value, bool):
        return value
    try:
        return _seconds(key, value)
    except TaskRefused:
        raise _refused(key, value, "True, False or a number of seconds above 0") from None


def _broker(key: str, value: object) -> object:
    if isinstance(value, type) or not callable(getattr(value, "enqueue", None)):
        raise _refused(key, value, "a broker, as djq.brokers.get_broker() gives it")
    return value


def _count(key: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _refused(key, value, "a whole number from 1 up")
    return value


_RULES: Mapping[str, Callable[[str, object], object]] = {
    "hook": _hook,
    "group": _label,
    "save": _flag,
    "timeout": _seconds,
    "sync": _flag,
    "cached": _cached,
    "broker": _broker,
    "task_name": _task_name,
    "on_commit": _flag,
    "max_attempts": _count,
}
