"""Reporters as users write them, and some that are none."""

from __future__ import annotations

GIVEN = []
"""What they were told: who, the error, the facts, and the options."""


def report(error, about, **options):
    GIVEN.append(("function", error, about, options))


class Reporter:
    def __init__(self, **options):
        self.options = options

    def report(self, error, about):
        GIVEN.append(("class", error, about, self.options))


class Other:
    """Has no method `report`."""


NUMBER = 5
