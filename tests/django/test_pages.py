"""Runs the examples of the pages about tasks, in sync mode and as written."""

from __future__ import annotations

import doctest
from io import StringIO

import pytest

from tests.house.source import ROOT

EXAMPLES_MIN = {
    "tasks": 30,
    "groups": 20,
    "iter": 20,
    "chains": 20,
    "caching": 15,
    "async": 10,
}
"""The pages, and so many examples that none was left out by a fence that does not open."""

LOCAL_MEMORY = {
    "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
    "OPTIONS": {"MAX_ENTRIES": 10_000},
}


@pytest.mark.django_db
@pytest.mark.parametrize("page", EXAMPLES_MIN)
def test_the_examples_of_a_page_are_true(page, settings):
    settings.Q_CLUSTER = {"name": "tests", "orm": "default", "sync": True}
    settings.CACHES = {"default": {**LOCAL_MEMORY, "LOCATION": f"page {page}"}}
    path = ROOT / "docs" / f"{page}.md"

    # The fence that ends an example would be taken for its output.
    text = path.read_text("utf-8").replace("```", "")
    parser = doctest.DocTestParser()
    examples = parser.get_doctest(text, {"__name__": "__main__"}, path.name, str(path), 0)
    report = StringIO()
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    runner.run(examples, out=report.write)

    assert len(examples.examples) >= EXAMPLES_MIN[page]
    assert runner.failures == 0, report.getvalue()
