"""Suites that say what a part of djq has to do: subclass one, tell it how to make your part, run it."""

from __future__ import annotations
