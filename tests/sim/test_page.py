"""The page about the simulator names all that there is."""

from __future__ import annotations

from pathlib import Path

import attrs

from djq_testing.sim.faults import CALM
from tests.sim.mutants import MUTANTS

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")


def test_page_names_every_fault():
    assert [name for name in attrs.asdict(CALM) if f"| `{name}` |" not in PAGE] == []


def test_page_names_every_mutant():
    assert [name for name in MUTANTS if f"| `{name}` |" not in PAGE] == []
