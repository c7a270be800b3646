"""The arguments of a schedule as text: written and read as literals, and never evaluated.

Texts are kept in the documented forms: `2, -2` for positional arguments, `x=1, y=2` or `{'x': 1}` for
keywords. What has no literal form (a date, a model, a number that is no number) is refused when the
schedule is made; what cannot be read is refused when it is due, and costs nobody but its schedule.

Reading is bounded before Python's parser sees the text, since a deep nesting or a very long text can
exhaust the stack or the memory of the process that reads it.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from djq.exceptions import ScheduleRefused

CHARACTERS_MAX = 100_000
DEPTH_MAX = 50
DIGITS_MAX = 4_000
SHOWN_CHARACTERS_MAX = 100

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(...))
_OPENING, _CLOSING, _UNARY = "([{", ")]}", "-+~!"


def read_args(text: str) -> tuple[Any, ...]:
    """Read positional arguments: a tuple is taken as it is, anything else is the only argument.

    Raises:
        ScheduleRefused: The text cannot be read as literals.
    """
    if not text.strip():
        return ()
    value = _literal(_parse("args", text.strip(), "2, -2"), "args", text, "2, -2")
    return value if isinstance(value, tuple) else (value,)


def read_keywords(field: str, text: str) -> dict[str, Any]:
    """Read keywords, in either of the two forms; `field` is named in what is refused.

    Raises:
        ScheduleRefused: The text cannot be read as literals.
    """
    form = "x=1, y=2 or {'x': 1}"
    stripped = text.strip()
    if not stripped:
        return {}
    if stripped.startswith("{"):
        value = _literal(_parse(field, stripped, form), field, text, form)
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise _unreadable(field, text, form, "its keys must be texts")
        return value
    call = _parse(field, stripped, form, call=True)
    # Whoever closes the bracket has written another expression than one call of one name.
    if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
        raise _unreadable(field, text, form, "it is no list of keywords")
    found: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise _unreadable(field, text, form, "it unpacks something")
        if keyword.arg in found:
            raise _unreadable(field, text, form, f"it names {keyword.arg} twice")
        found[keyword.arg] = _literal(keyword.value, field, text, form)
    return found


def write_args(args: tuple[Any, ...]) -> str:
    """Write positional arguments as text that `read_args` reads as the same.

    Raises:
        ScheduleRefused: One of them has no literal form, or they are too long.
    """
    for number, value in enumerate(args, 1):
        _check(value, f"argument {number}")
    text = repr(args)[1:-1]
    if len(args) == 1 and not isinstance(args[0], tuple):
        text = text.removesuffix(",")
    return _bounded("args", text)


def write_keywords(field: str, kwargs: Mapping[str, Any]) -> str:
    """Write keywords as text that `read_keywords` reads as the same.

    Raises:
        ScheduleRefused: One of them has no literal form, or they are too long.
    """
    for key, value in kwargs.items():
        _check(value, f"{field} {key}=")
    if all(key.isidentifier() and key.isascii() and not iskeyword(key) for key in kwargs):
        return _bounded(field, ", ".join(f"{key}={value!r}" for key, value in kwargs.items()))
    return _bounded(field, repr(dict(kwargs)))


def _parse(field: str, text: str, form: str, *, call: bool = False) -> ast.expr:
    """Parse an expression, or what stands between the brackets of a call."""
    if len(text) > CHARACTERS_MAX:
        raise ScheduleRefused(
            f"{field} is longer than the {CHARACTERS_MAX:,} characters that are read; pass a "
            "reference to the data instead (a primary key, a file name)"
        )
    if _depth(text) > DEPTH_MAX:
        raise _unreadable(field, text, form, f"it is nested more than {DEPTH_MAX} deep")
    try:
        with warnings.catch_warnings():
            # Of doubtful literals; a process of its own may make errors of all warnings.
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(f"dict({text}\n)" if call else text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise _unreadable(field, text, form, why) from error


def _depth(text: str) -> int:
    """How deep brackets stand in brackets, or signs before signs, at most."""
    deepest = depth = signs = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        signs = signs + 1 if character in _UNARY else signs if character.isspace() else 0
        deepest = max(deepest, depth, signs)
    return deepest


def _literal(node: ast.expr, field: str, text: str, form: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise _unreadable(field, text, form, "only literals are read") from error


def _unreadable(field: str, text: str, form: str, why: str) -> ScheduleRefused:
    shown = repr(text[:SHOWN_CHARACTERS_MAX]) + ("..." if len(text) > SHOWN_CHARACTERS_MAX else "")
    reason = why[:SHOWN_CHARACTERS_MAX].rstrip()
    return ScheduleRefused(
        f"{field} is {shown}, which cannot be read ({reason}); write it as {form}"
    )


def _bounded(field: str, text: str) -> str:
    if len(text) > CHARACTERS_MAX:
        raise ScheduleRefused(
            f"{field} takes {len(text):,} characters as text, at most {CHARACTERS_MAX:,} are kept; "
            "pass a reference to the data instead (a primary key, a file name)"
        )
    return text


def _check(value: object, label: str, depth: int = 0) -> None:
    """Refuse what does not come back from its literal as what it is."""
    kind = type(value)
    parts: list[object] = []
    if kind in (list, tuple, set):
        parts = list(value)  # type: ignore[call-overload]
    elif kind is dict:
        parts = [part for pair in value.items() for part in pair]  # type: ignore[attr-defined]
    elif kind not in _PLAIN or (kind in (float, complex) and not _comes_back(value)):
        shown = f"{value!r:.100}" if kind in (float, complex) else f"of type {kind.__qualname__!r}"
        raise ScheduleRefused(
            f"{label} is {shown}, which has no literal form; pass plain values (numbers, texts, "
            "lists, dicts), such as a date's isoformat() or an object's primary key"
        )
    if kind is int and abs(value) >= 10**DIGITS_MAX:  # type: ignore[arg-type]
        raise ScheduleRefused(f"{label} has more than {DIGITS_MAX:,} digits")
    if depth > DEPTH_MAX // 2:
        raise ScheduleRefused(f"{label} is nested more than {DEPTH_MAX // 2} deep")
    for part in parts:
        _check(part, label, depth + 1)


def _comes_back(value: object) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except ValueError:
        return False
