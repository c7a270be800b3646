"""Tells whether the parameters of a task object have changed since it was run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from djq.core.options import Q_OPTIONS


class Snapshot:
    """Parameters at one moment; equal to another when each value is the same object there.

    Values are told apart by identity and never compared: an array would answer with an array. So a
    value that is replaced is noticed, in a dict that was changed in place too; one that was itself
    changed (a list that got another item, say) is not.
    """

    __hash__ = None  # type: ignore[assignment]  # parameters need not be hashable

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._shape: list[object] = []
        """Names and numbers, which are compared as such."""

    def add(self, values: Iterable[Any]) -> Snapshot:
        """Add values in their order."""
        before = len(self._values)
        self._values += values
        self._shape.append(len(self._values) - before)
        return self

    def add_keywords(self, kwargs: object) -> Snapshot:
        """Add the values of a dict by their names, those of the options in it too."""
        if not isinstance(kwargs, Mapping):
            return self.add([kwargs])
        for name, value in kwargs.items():
            self._shape.append(name)
            if name == Q_OPTIONS:
                self.add_keywords(value)
            else:
                self.add([value])
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Snapshot):
            return NotImplemented
        return self._shape == other._shape and all(
            mine is theirs for mine, theirs in zip(self._values, other._values, strict=True)
        )
