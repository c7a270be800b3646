"""The page about the simulator names all that there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from djq_testing.sim.faults import CALM
from djq_testing.sim.faults import __file__ as faults_file
from djq_testing.sim.schedule_scene import ScheduleFaults
from tests.sim import (
    cluster_mutants,
    composition_mutants,
    mutants,
    schedule_mutants,
    server_mutants,
)
from tests.sim.catchers import CATCHERS, SCHEDULE_CATCHERS

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text("utf-8")
FILES = (mutants, cluster_mutants, composition_mutants, server_mutants, schedule_mutants)
KINDS = {name: kind for file in FILES for name, kind in vars(file).items() if inspect.isclass(kind)}
FAULTS = 30


def row_of(name, invariant, seed):
    promise, _, _ = inspect.cleandoc(KINDS[name].__doc__).partition("\n")
    return f"| `{name}` | {promise} | {invariant} | {seed + 1} |"


def test_each_mutant_has_a_catcher():
    assert CATCHERS.keys() == mutants.MUTANTS.keys()
    assert SCHEDULE_CATCHERS.keys() == schedule_mutants.MUTANTS.keys()
    assert len(CATCHERS) + len(SCHEDULE_CATCHERS) >= 25


@pytest.mark.parametrize("catchers", [CATCHERS, SCHEDULE_CATCHERS])
def test_page_has_a_row_for_every_mutant(catchers):
    rows = [row_of(name, *caught) for name, caught in catchers.items()]

    assert "\n".join(rows) in PAGE


def test_page_says_of_every_fault_what_happens():
    source = Path(faults_file).read_text("utf-8")
    said = dict(re.findall(r'    (\w+): float = 0\.0\n    """(.*)\."""', source))

    assert said.keys() == {field.name for field in CALM.__attrs_attrs__}
    assert [name for name, words in said.items() if f"| `{name}` | {words} |" not in PAGE] == []


def test_page_names_every_fault_of_the_schedulers_own_world():
    names = [field.name for field in ScheduleFaults().__attrs_attrs__]

    assert [name for name in names if f"| `{name}` |" not in PAGE] == []


def test_page_says_where_each_fault_of_the_list_is():
    rows = re.findall(r"^\| F(\d+) \| .* \| (.*) \|$", PAGE, re.MULTILINE)

    assert [int(number) for number, _ in rows] == list(range(1, FAULTS + 1))
    fields = {field.name for field in CALM.__attrs_attrs__}
    named = {word for _, cell in rows for word in re.findall(r"`(\w+)`", cell)}
    assert fields - named == {"slow_message"}, "that one is told of below the table"
    files = [path for _, cell in rows for path in re.findall(r"`(tests/\S+)`", cell)]
    assert [path for path in files if not (Path(__file__).parents[2] / path).exists()] == []
