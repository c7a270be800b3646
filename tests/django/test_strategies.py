"""Runs the examples of the page about Hypothesis strategies, as written."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.cluster.pages import blocks_of
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "strategies.md"
EXAMPLES_MIN = 6


def examples():
    for block in blocks_of(PAGE):
        names = {"__name__": "page"}
        code = compile("\n" * block.line + block.text, str(PAGE), "exec", dont_inherit=True)
        exec(code, names)
        yield from ((name, test) for name, test in names.items() if name.startswith("test_"))


EXAMPLES = dict(examples())


@pytest.mark.django_db
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_page_are_true(name):
    few = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))

    few(EXAMPLES[name])()


def test_no_example_is_left_out():
    assert len(EXAMPLES) >= EXAMPLES_MIN
